// A run's config, where it ran, and the exception that ended it.

import { el } from "./dom.js";
import { cut, json, many, visible } from "./values.js";

const OPEN_MAX = 12; // entries; a longer config starts collapsed, as does any on a small screen
const ROOM = "(min-width: 600px)";
const ROWS_MAX = 1000;
const LINE_MAX = 60; // characters; what is longer has lines of its own, JSON indented
const COMMIT = 12; // characters of a hash
const PLACE = { host: "Host", user: "User", pid: "Process", python: "Python", command: "Command", git: "Git", job: "Job" };

/** The config: a row an entry, nested ones by path; `omitted` is the number of keys that are not in it. */
export function configPanel(config, omitted = 0) {
  const rows = [...flat(config, [])];
  const open = rows.length <= OPEN_MAX && matchMedia(ROOM).matches;
  const beyond = omitted ? `, without ${many(omitted, "key")} beyond the limit` : "";
  return panel("config", "Config", many(rows.length, "value") + beyond, open, rows);
}

/** Where and from what it was started. */
export function provenancePanel(provenance) {
  const known = Object.keys(PLACE).filter((key) => Object.hasOwn(provenance, key));
  const rows = known.filter((key) => provenance[key] !== null).map((key) => [[PLACE[key]], key === "git" ? commit(provenance.git) : provenance[key]]);
  const others = Object.entries(provenance).filter(([key]) => !Object.hasOwn(PLACE, key));
  for (const [key, value] of others) rows.push(...flat(value, [key]));
  const { host, user } = provenance;
  const short = [user, host].filter((part) => typeof part === "string" && part).join("@");
  return panel("provenance", "Started from", short, false, rows);
}

/** The exception: text, or an object's type, message and traceback. */
export function exceptionPanel(value) {
  const parts = typeof value === "object" && value !== null ? value : {};
  const line = ["type", "message"].map((name) => parts[name]).filter((part) => typeof part === "string");
  const text = typeof value === "string" ? value : typeof parts.traceback === "string" ? parts.traceback : "";
  const body = text || (line.length ? "" : json(value, 2));
  const last = line.length ? line.join(": ") : (body.trimEnd().split("\n").at(-1) ?? "");
  return el(
    "details",
    { class: "panel exception", open: "" },
    el("summary", {}, el("h2", {}, "Exception"), " ", el("bdi", {}, visible(last.trim().replace(/\s*\n\s*/g, " ")).slice(0, 300))),
    body && body.trim() !== last && el("pre", { tabindex: "0" }, cut(visible(body, { lines: true }))),
  );
}

function panel(kind, title, short, open, rows) {
  const more = rows.length - ROWS_MAX;
  return el(
    "details",
    { class: `panel ${kind}`, open: open ? "" : null },
    el("summary", {}, el("h2", {}, title), " ", el("bdi", { class: "muted" }, visible(short))),
    el("dl", {}, ...rows.slice(0, ROWS_MAX).map(([path, leaf]) => el("div", {}, el("dt", {}, term(path)), meaning(leaf)))),
    more > 0 && el("p", { class: "muted" }, `and ${many(more, "more value")}`),
  );
}

/** A path, its parents paler than its last part. */
function term(path) {
  const parents = path.slice(0, -1).map((name) => `${visible(name)}.`).join("");
  return el("bdi", {}, parents && el("span", { class: "muted" }, parents), visible(path.at(-1)));
}

function meaning(leaf) {
  const text = typeof leaf === "string" ? leaf : json(leaf);
  const block = text.length > LINE_MAX || text.includes("\n");
  if (!block) return el("dd", {}, el("bdi", {}, cut(visible(text))));
  const lines = typeof leaf === "string" ? leaf : json(leaf, 2);
  return el("dd", { class: "block" }, el("pre", { tabindex: "0" }, cut(visible(lines, { lines: true }))));
}

/** A commit in words, or what is there instead. */
function commit(git) {
  if (typeof git !== "object" || git === null || typeof git.commit !== "string") return git;
  const { commit: hash, branch, dirty, ...others } = git;
  const on = typeof branch === "string" ? ` on ${branch}` : "";
  const state = dirty === true ? ", with uncommitted changes" : dirty === false ? "" : ", changes unknown";
  const more = Object.keys(others).length ? ` ${json(others)}` : "";
  return hash.slice(0, COMMIT) + on + state + more;
}

function* flat(value, path) {
  const entries = typeof value === "object" && value !== null && !Array.isArray(value) ? Object.entries(value) : [];
  if (!entries.length) yield [path.length ? path : ["value"], value];
  for (const [name, held] of entries) yield* flat(held, [...path, name]);
}
