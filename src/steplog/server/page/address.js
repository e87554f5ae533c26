// URLs: what the current one refers to, and those of the API and of other pages.

const PATH = /^\/([^/]+)\/projects\/([^/]+)(?:\/runs\/([^/]+))?\/?$/;

/** Parse a path: `{kind: "home" | "project" | "run", namespace, project, run}`. */
export function place(path) {
  const match = PATH.exec(path);
  if (!match) return { kind: "home" };
  const [namespace, project, run] = match.slice(1).map((part) => part && decoded(part));
  return { kind: run === undefined ? "project" : "run", namespace, project, run };
}

export const api = {
  namespaces: () => path("api", "v0", "namespaces"),
  projects: (namespace) => path("api", "v0", namespace, "projects"),
  project: ({ namespace, project }) => path("api", "v0", namespace, "projects", project),
  runs: ({ namespace, project }) => path("api", "v0", namespace, "projects", project, "runs"),
  run: ({ namespace, project }, uuid) => path("api", "v0", namespace, "projects", project, "runs", uuid),
  series: ({ namespace, project }, uuid) => path("api", "v0", namespace, "projects", project, "runs", uuid, "series"),
};

/** A run's page has its uuid or its slug in the path; only the uuid is unique. */
export const web = {
  home: () => "/",
  project: ({ namespace, project }) => path(namespace, "projects", project),
  run: ({ namespace, project }, uuid) => path(namespace, "projects", project, "runs", uuid),
};

/** `?name=value&…`, without empty values. */
export function query(fields) {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length ? `?${given.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&")}` : "";
}

function path(...parts) {
  return `/${parts.map(encodeURIComponent).join("/")}/`;
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
