// A sample by its kind: a text, a list of objects with like keys, a table, media, a tree of JSON, or one value.

import { areMedia, isFile, isMedia, tableOf } from "../data/media.js";
import { shown } from "../data/values.js";
import { html, useContext } from "../ui.js";
import { Media } from "./media.js";
import { MediaGrid } from "./media_grid.js";
import { MediaPlace } from "./media_parts.js";
import { FileTable } from "./media_table.js";
import { SampleRows } from "./samples_rows.js";
import { SampleText } from "./samples_text.js";
import { SampleTree } from "./samples_tree.js";

const RENDERERS = {
  text: ({ value, find, beside }) => html`<${SampleText} text=${value} find=${find} beside=${beside} />`,
  rows: ({ value, beside }) => html`<${SampleRows} rows=${value} beside=${beside} />`,
  table: ({ value, beside }) => html`<${Table} table=${tableOf(value)} beside=${beside} />`,
  file: ({ value }) => html`<${TableOfFile} value=${value} />`,
  media: ({ value }) => html`<${Media} value=${value} />`,
  grid: ({ value }) => html`<${MediaGrid} value=${value} />`,
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
  if (tableOf(value)) return "table";
  if (isMedia(value)) return isFile(value) && value._type === "table" ? "file" : "media";
  if (areMedia(value)) return "grid";
  return Array.isArray(value) && areAlike(value) ? "rows" : "tree";
}

function Table({ table: { columns, rows }, beside }) {
  const other = tableOf(beside)?.rows ?? beside;
  return html`<${SampleRows} rows=${rows} columns=${columns} beside=${other} />`;
}

function TableOfFile({ value }) {
  const path = useContext(MediaPlace).address(value.file);
  return html`<${FileTable} key=${path} value=${value} path=${path} />`;
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
