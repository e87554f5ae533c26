// A sample by its kind: a text, a list of objects with like keys, a table of columns and rows, a tree of JSON, or one
// value. Media are to come.

import { shown } from "../data/values.js";
import { html } from "../ui.js";
import { SampleRows } from "./samples_rows.js";
import { SampleText } from "./samples_text.js";
import { SampleTree } from "./samples_tree.js";

const made = new WeakMap(); // rows, by their table
const RENDERERS = {
  text: ({ value, find, beside }) => html`<${SampleText} text=${value} find=${find} beside=${beside} />`,
  rows: ({ value, beside }) => html`<${SampleRows} rows=${value} beside=${beside} />`,
  table: ({ value, beside }) => html`
    <${SampleRows} rows=${rowsOf(value)} beside=${beside && isTable(beside) ? rowsOf(beside) : beside} />
  `,
  tree: ({ value, beside }) => html`<${SampleTree} value=${value} beside=${beside} />`,
  plain: ({ value }) => html`<p class="sample-plain"><bdi>${shown(value)}</bdi></p>`,
};

/** `beside`: the value that this one is compared with, or null. */
export function SampleValue({ value, find, beside = null }) {
  return html`<${RENDERERS[kindOf(value)]} value=${value} find=${find} beside=${beside} />`;
}

/** The kind of a value, a key of `RENDERERS`. */
function kindOf(value) {
  if (typeof value === "string") return "text";
  if (typeof value !== "object" || value === null) return "plain";
  if (isTable(value)) return "table";
  return Array.isArray(value) && areAlike(value) ? "rows" : "tree";
}

/** Whether a value is a table as the modules for other loggers' calls keep it: the names of columns, a list a row. */
function isTable({ _type: kind, columns, data }) {
  return kind === "table" && Array.isArray(columns) && new Set(columns.map(String)).size === columns.length
    && Array.isArray(data) && data.length > 0 && data.every(Array.isArray);
}

/** A table's rows as objects, made once: their places tell what they are compared with. */
function rowsOf(table) {
  if (!made.has(table)) {
    const row = (cells) => Object.fromEntries(table.columns.map((name, at) => [name, cells[at]]));
    made.set(table, table.data.map(row));
  }
  return made.get(table);
}

/** Whether a list has objects alone, most of whose keys the first one has. */
function areAlike(list) {
  const isObject = (each) => typeof each === "object" && each !== null && !Array.isArray(each);
  if (!list.length || !list.every(isObject)) return false;
  const first = new Set(Object.keys(list[0]));
  if (!first.size) return false;
  return list.every((each) => {
    const keys = Object.keys(each);
    return keys.filter((key) => first.has(key)).length * 2 >= Math.max(keys.length, first.size);
  });
}
