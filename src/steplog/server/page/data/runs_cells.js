// What a row of the table has of a field of the filter language.

import { json, numeric, shown, visible } from "./values.js";

const LIST = "tag";

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
