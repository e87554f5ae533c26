// The reserved metrics under steplog/: a run's config and exception.

import { el } from "./dom.js";
import { cut, json, many, visible } from "./values.js";

const OPEN_MAX = 12; // entries; a longer config starts collapsed, as does any on a small screen
const ROOM = "(min-width: 600px)";
const ROWS_MAX = 1000;

/** The config: a row an entry, nested ones by path. */
export function configPanel(value) {
  const rows = [...flat(value, "")];
  const shownRows = rows.slice(0, ROWS_MAX).map(([path, leaf]) =>
    el("div", {}, el("dt", {}, el("bdi", {}, visible(path))), el("dd", {}, el("bdi", {}, cut(visible(typeof leaf === "string" ? leaf : json(leaf)))))),
  );
  return el(
    "details",
    { class: "panel config", open: rows.length <= OPEN_MAX && matchMedia(ROOM).matches ? "" : null },
    el("summary", {}, "Config ", el("span", { class: "muted" }, many(rows.length, "value"))),
    el("dl", {}, ...shownRows),
    rows.length > ROWS_MAX && el("p", { class: "muted" }, `and ${many(rows.length - ROWS_MAX, "more value")}`),
  );
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
    el("summary", {}, "Exception ", el("bdi", {}, visible(last.trim().replace(/\s*\n\s*/g, " ")).slice(0, 300))),
    body && body.trim() !== last && el("pre", { tabindex: "0" }, cut(visible(body, { lines: true }))),
  );
}

function* flat(value, path) {
  const entries = typeof value === "object" && value !== null && !Array.isArray(value) ? Object.entries(value) : [];
  if (!entries.length) yield [path || "value", value];
  for (const [name, held] of entries) yield* flat(held, path ? `${path}.${name}` : name);
}
