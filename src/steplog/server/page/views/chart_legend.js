// What a chart's lines are, and their values: at the cursor, or else the last ones.

import { lastValues, readoutOf } from "../charts/readout.js";
import { many, number, visible } from "../data/values.js";
import { html } from "../ui.js";

const SHORT = new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 4 });
const LEAST_SHORT = 1e-3;
const END = 6; // characters at the end of a name that are always seen

/** `most`: how many lines are named; of the others their number is said. */
export function Legend({ board, drawn, most }) {
  const scene = drawn.value;
  if (!scene) return html`<ul class="legend"></ul>`;
  const lines = scene.lines.filter(({ x }) => x.length).slice(0, most);
  const more = scene.lines.length - lines.length;
  const values = valuesOf(board, { ...scene, lines });
  const item = ({ id, uuid, label, ...line }) => html`
    <li key=${id} class=${uuid && board.emphasis.value === uuid ? "pointed" : ""}
      onPointerEnter=${() => (board.emphasis.value = uuid)} onPointerLeave=${() => (board.emphasis.value = null)}>
      <${Stroke} ...${line} /><${Ends} text=${visible(label)} />
      <span class="figures">${values.get(id)}</span>
    </li>
  `;
  return html`
    <ul class="legend">
      ${lines.map(item)}
      ${more > 0 && html`<li class="muted" key="">and ${many(more, "more line")}</li>`}
    </ul>
  `;
}

/** The value of a chart that has one line: of one run or group, and one metric. */
export function Value({ board, drawn }) {
  const scene = drawn.value;
  if (scene?.lines.length !== 1) return null;
  return html`<span class="value figures">${valuesOf(board, scene).get(scene.lines[0].id)}</span>`;
}

/** The value of each line, at the cursor where there is one. */
function valuesOf({ cursor }, scene) {
  const most = scene.lines.length;
  const found = cursor.value ? readoutOf(scene, cursor.value.x, { most }) : lastValues(scene, { most });
  return new Map((found?.rows ?? []).map((row) => [row.id, brief(row)]));
}

/** How many rows a chart's legend has: none for a line alone. */
export function legendRows({ runs, view }, { names }) {
  const each = view.group.value ? new Set(runs.value.map(({ group }) => group)).size : runs.value.length;
  const lines = each * names.length;
  return lines < 2 ? 0 : Math.min(3, Math.ceil(lines / 2));
}

/** A name that is cut, where it must be, before its end: that tells the runs of a sweep apart. */
function Ends({ text }) {
  const letters = [...text];
  const end = letters.splice(Math.max(0, letters.length - END));
  return html`<bdi class="ends" title=${text}><span>${letters.join("")}</span><span>${end.join("")}</span></bdi>`;
}

/** A value in four digits, a small integer with all: what is under the cursor has them all. */
function brief({ y, value }) {
  if (!Number.isFinite(y) || (Number.isInteger(y) && value.length <= 6)) return value;
  return Math.abs(y) < LEAST_SHORT ? number(Number(y.toPrecision(4))) : SHORT.format(y).replace("-", "−");
}

/** A line of a chart, in short: its colour, and its dashes. */
export function Stroke({ colour, dashes = [] }) {
  return html`
    <svg class="stroke" viewBox="0 0 14 4" aria-hidden="true"><path d="M0 2h14" stroke=${colour}
      stroke-dasharray=${dashes.join(" ")} /></svg>
  `;
}
