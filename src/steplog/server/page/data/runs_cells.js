// What a run has of a field of the filter language: from a row of the table, or from the run itself.

import { json, numeric, shown, visible } from "./values.js";

const LIST = "tag";

/** The value of a field in a run's JSON, undefined where it has none. Metrics are not in there. */
export function cellOf(run, field) {
  if (!field.startsWith("config.")) return { ...run, tag: run.tags, user: run.user?.username }[field];
  let value = run.config;
  for (const key of keysOf(field.slice("config.".length))) {
    if (value === null || typeof value !== "object" || !Object.hasOwn(value, key)) return undefined;
    value = value[key];
  }
  return value;
}

/** The entries of a config that a table has as columns: `[field, value]`. */
export function configCells(config, path = "config") {
  return Object.entries(config ?? {}).flatMap(([key, value]) => {
    const field = `${path}.${/^[A-Za-z0-9_/-]+$/.test(key) ? key : JSON.stringify(key)}`;
    const isNested = value !== null && typeof value === "object" && !Array.isArray(value) && Object.keys(value).length;
    return isNested ? configCells(value, field) : [[field, value]];
  });
}

/** The text by which a row is grouped, null where it has no value. */
export function groupText(row, field) {
  const value = field ? row[field] : undefined;
  if (value === undefined || value === null) return null;
  if (field === LIST) return value.length ? value.map((tag) => visible(tag)).sort().join(", ") : null;
  return shown(value);
}

/** Whether a value is right-aligned among others. */
export const isNumber = (value) => typeof value !== "boolean" && numeric(value) !== undefined;

/** Two values as one text each, so that they can be compared. */
export const same = (one, other) => json(one) === json(other);

/** The keys of a path: `optim."a.b"` has two. */
export function keysOf(path) {
  const parts = path.match(/"(?:[^"\\]|\\.)*"|[^."]+/g) ?? [];
  return parts.map((part) => (part.startsWith('"') ? JSON.parse(part) : part));
}
