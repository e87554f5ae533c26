// What a chart's lines are, and their values: at the cursor, or else the last ones.

import { lastValues, readoutOf } from "../charts/readout.js";
import { many, visible } from "../data/values.js";
import { html } from "../ui.js";

const SHORT = new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 4 });

/** `most`: how many lines are named; of the others their number is said. */
export function Legend({ board, drawn, most }) {
  const scene = drawn.value;
  if (!scene) return html`<ul class="legend"></ul>`;
  const named = { ...scene, lines: scene.lines.filter(({ x }) => x.length).slice(0, most) };
  const more = scene.lines.length - named.lines.length;
  const at = board.cursor.value;
  const found = at && readoutOf(named, at.x, { most });
  const { rows } = (at ? found : lastValues(named, { most })) ?? { rows: [] };
  const values = new Map(rows.map((row) => [row.id, brief(row)]));
  const item = ({ id, uuid, label, ...line }) => html`
    <li key=${id} class=${uuid && board.emphasis.value === uuid ? "pointed" : ""}>
      <${Stroke} ...${line} /><bdi class="cut" title=${visible(label)}>${visible(label)}</bdi><span class="figures">
        ${values.get(id)}</span>
    </li>
  `;
  return html`
    <ul class="legend">
      ${named.lines.map(item)}
      ${more > 0 && html`<li class="muted" key="">and ${many(more, "more line")}</li>`}
    </ul>
  `;
}

/** A value in four digits: what is under the cursor has them all. */
function brief({ y, value }) {
  return Number.isFinite(y) && value.length > 6 ? SHORT.format(y).replace("-", "−") : value;
}

/** A line of a chart, in short: its colour, and its dashes. */
export function Stroke({ colour, dashes = [] }) {
  return html`
    <svg class="stroke" viewBox="0 0 14 4" aria-hidden="true"><path d="M0 2h14" stroke=${colour}
      stroke-dasharray=${dashes.join(" ")} /></svg>
  `;
}
