// Groups of runs: the lines of a table whose rows are grouped by a field.

import { groupText } from "./runs_cells.js";

/**
 * `{key, row}` for each row. With a field, the rows of a group follow `{key, text, uuids, closed}`; those of a closed
 * one are left out. Groups stand in the order of their first rows.
 */
export function displayed(rows, field, closed) {
  if (!field) return rows.map(line);
  const groups = new Map();
  const texts = new Map(); // by value: many rows have few
  for (const row of rows) {
    const { [field]: value } = row;
    if (!texts.has(value)) texts.set(value, groupText(row, field));
    const text = texts.get(value);
    if (!groups.has(text)) groups.set(text, []);
    groups.get(text).push(row);
  }
  return [...groups].flatMap(([text, members]) => {
    const isClosed = closed.has(text);
    const key = text === null ? "no group" : `group ${text}`;
    const head = { key, text, uuids: members.map(({ uuid }) => uuid), closed: isClosed };
    return isClosed ? [head] : [head, ...members.map(line)];
  });
}

const line = (row) => ({ key: row.uuid, row });
