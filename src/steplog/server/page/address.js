// Addresses: which part of the server this one is about, and the ways from here to the API and to other pages.

const PATH = /^\/([^/]+)\/projects\/([^/]+)(?:\/runs\/([^/]+))?\/?$/;

/** `{kind: "home" | "project" | "run", namespace, project, run}` of a path. */
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

/** A run's page is reached by its uuid as well as by its slug; a uuid is never that of two runs. */
export const web = {
  home: () => "/",
  project: ({ namespace, project }) => path(namespace, "projects", project),
  run: ({ namespace, project }, uuid) => path(namespace, "projects", project, "runs", uuid),
};

/** `?name=value&…` of what has a value. */
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
