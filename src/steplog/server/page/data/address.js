// URLs: what the current one refers to, and those of the API and of other pages.

const PATH = /^\/([^/]+)\/projects\/([^/]+)(?:\/runs\/([^/]+))?\/?$/;

/** What an address means: `{kind: "home" | "project" | "trash" | "run", namespace, project, run}`. */
export function place({ pathname, search }) {
  const match = PATH.exec(pathname);
  if (!match) return { kind: "home" };
  const [namespace, project, run] = match.slice(1).map((part) => part && decoded(part));
  const kind = run !== undefined ? "run" : new URLSearchParams(search).has("trash") ? "trash" : "project";
  return { kind, namespace, project, run };
}

export const api = {
  session: () => path("api", "v0", "session"),
  namespaces: () => path("api", "v0", "namespaces"),
  projects: (namespace) => path("api", "v0", namespace, "projects"),
  project: ({ namespace, project }) => path("api", "v0", namespace, "projects", project),
  table: ({ namespace, project }) => path("api", "v0", namespace, "projects", project, "table"),
  columns: ({ namespace, project }) => path("api", "v0", namespace, "projects", project, "table", "columns"),
  curves: ({ namespace, project }) => path("api", "v0", namespace, "projects", project, "curves"),
  views: ({ namespace, project }) => path("api", "v0", namespace, "projects", project, "views"),
  view: ({ namespace, project }, uuid) => path("api", "v0", namespace, "projects", project, "views", uuid),
  runs: ({ namespace, project }) => path("api", "v0", namespace, "projects", project, "runs"),
  run: ({ namespace, project }, uuid) => path("api", "v0", namespace, "projects", project, "runs", uuid),
  restored: ({ namespace, project }, uuid) =>
    path("api", "v0", namespace, "projects", project, "runs", uuid, "restore"),
  history: ({ namespace, project }, uuid) => path("api", "v0", namespace, "projects", project, "runs", uuid, "history"),
  /** The content of a file, and what a run has of them. */
  file: ({ namespace, project }, uuid, id) =>
    bare("api", "v0", namespace, "projects", project, "runs", uuid, "files", id),
  files: ({ namespace, project }, uuid) => path("api", "v0", namespace, "projects", project, "runs", uuid, "files"),
  artifacts: ({ namespace, project }) => path("api", "v0", namespace, "projects", project, "artifacts"),
  artifact: ({ namespace, project }, name, version) =>
    path("api", "v0", namespace, "projects", project, "artifacts", name, version),
  artifactFile: ({ namespace, project }, name, version, file) =>
    bare("api", "v0", namespace, "projects", project, "artifacts", name, version, "files", ...file.split("/")),
  series: ({ namespace, project }, uuid) => path("api", "v0", namespace, "projects", project, "runs", uuid, "series"),
};

/** A run's page has its uuid or its slug in the path; only the uuid is unique. */
export const web = {
  home: () => "/",
  project: ({ namespace, project }) => path(namespace, "projects", project),
  trash: ({ namespace, project }) => `${path(namespace, "projects", project)}?trash=1`,
  run: ({ namespace, project }, uuid) => path(namespace, "projects", project, "runs", uuid),
};

/** `?name=value&…`, without empty values. */
export function query(fields) {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length ? `?${given.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&")}` : "";
}

const bare = (...parts) => `/${parts.map(encodeURIComponent).join("/")}`;
const path = (...parts) => `${bare(...parts)}/`;

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
