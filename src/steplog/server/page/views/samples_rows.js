// A list of objects with like keys, or a table, which can be sorted: evaluations with prompt, answer and score.

import { briefMedia, isMedia } from "../data/media.js";
import { same } from "../data/runs_cells.js";
import { json, many, numeric, number, shown, visible } from "../data/values.js";
import { html, useMemo, useSignal } from "../ui.js";
import { Media } from "./media.js";
import { Button } from "./parts/button.js";
import { Icon } from "./parts/icon.js";

const COLUMNS_MAX = 40;
const PAGE = 100;
const TEXT_MAX = 2000; // characters of a cell

/** `columns`: the keys in their order, if known; `beside`: the value whose rows these are compared with, or null. */
export function SampleRows({ rows, columns = null, beside = null }) {
  const sort = useSignal(null); // {key, down}
  const most = useSignal(PAGE);
  const all = useMemo(() => columns ?? [...new Set(rows.flatMap((row) => Object.keys(row)))], [rows]);
  const keys = all.slice(0, COLUMNS_MAX);
  const beyond = all.length - keys.length;
  const { key: by, down } = sort.value ?? {};
  const sorted = useMemo(() => (by === undefined ? rows : rows.toSorted(comparing(by, down))), [rows, by, down]);
  const turn = (key) => () => {
    const next = { none: { key, down: false }, ascending: { key, down: true }, descending: null };
    sort.value = next[key === by ? order(down) : "none"];
  };
  const kinds = useMemo(() => new Map(keys.map((key) => [key, areNumbers(rows, key) ? "number" : null])), [rows]);
  const head = (key) => html`
    <th key=${key} scope="col" class=${kinds.get(key)} aria-sort=${key === by ? order(down) : "none"}>
      <button type="button" aria-label="Sort by ${visible(key)}" onClick=${turn(key)}>
        <bdi>${visible(key)}</bdi>${key === by && html`<${Icon} name="down" />`}
      </button>
    </th>
  `;
  const places = useMemo(() => new Map(rows.map((row, at) => [row, at])), [rows]);
  const differs = (row, key) => {
    const other = Array.isArray(beside) ? beside[places.get(row)] : null;
    return beside !== null && !same(own(row, key), own(other ?? {}, key));
  };
  const cell = (row) => (key) => html`<${Cell} key=${key} value=${own(row, key)} differs=${differs(row, key)} />`;
  const left = sorted.length - most.value;
  return html`
    <div class="sample-rows" tabindex="0" role="group" aria-label="Samples in a table">
      <table>
        <thead><tr>${keys.map(head)}</tr></thead>
        <tbody>${sorted.slice(0, most.value).map((row, at) => html`
          <tr key=${at}>${keys.map(cell(row))}</tr>`)}
        </tbody>
      </table>
    </div>
    ${beyond > 0 && html`<p class="muted">and ${many(beyond, "more column")}</p>`}
    ${left > 0 && html`<${Button} onClick=${() => (most.value += PAGE)}>Show more (${number(left)})<//>`}
  `;
}

/** What a row has itself: a key may be called `constructor`. */
const own = (row, key) => (Object.hasOwn(row, key) ? row[key] : undefined);
const order = (down) => (down ? "descending" : "ascending");

function Cell({ value, differs }) {
  const whole = useSignal(false);
  if (value === undefined) return html`<td></td>`;
  const mark = (told) => (differs ? html`<mark class="differs">${told}</mark>` : told);
  if (typeof value === "number" || typeof value === "bigint") {
    return html`<td class="number">${mark(number(value))}</td>`;
  }
  if (isMedia(value)) return html`<td class="cell-media"><${Media} value=${value} small /></td>`;
  const text = textOf(value);
  const isCut = text.length > TEXT_MAX && !whole.value;
  return html`
    <td><bdi>${mark(isCut ? text.slice(0, TEXT_MAX) : text)}</bdi>
      ${isCut && html`… <${Button} onClick=${() => (whole.value = true)}>Show all<//>`}</td>
  `;
}

/** Whether a column has numbers alone. */
function areNumbers(rows, key) {
  return rows.every((row) => ["undefined", "number", "bigint"].includes(typeof own(row, key)));
}

function textOf(value) {
  if (typeof value === "string") return visible(value, { lines: true });
  return typeof value === "object" ? visible(json(value)) : shown(value);
}

/** Numbers first, then texts; what is missing last. */
function comparing(key, down) {
  const sign = down ? -1 : 1;
  const rank = (value) => (value === undefined || value === null ? 2 : numeric(value) === undefined ? 1 : 0);
  return (left, right) => {
    const [a, b] = [own(left, key), own(right, key)];
    if (rank(a) !== rank(b)) return rank(a) - rank(b);
    if (rank(a) === 2) return 0;
    if (rank(a) === 0) return sign * (numeric(a) - numeric(b));
    const [one, other] = [a, b].map((each) => (typeof each === "string" ? each : (briefMedia(each) ?? json(each))));
    return sign * (one < other ? -1 : one > other ? 1 : 0);
  };
}
