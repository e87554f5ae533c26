// What is under the cursor: beside the pointer, or in the chart's corner while the keyboard reads.

import { readoutOf } from "../charts/readout.js";
import { many, visible } from "../data/values.js";
import { html, useLayoutEffect, useRef } from "../ui.js";
import { Stroke } from "./chart_legend.js";

const AWAY = 16; // pixels from the pointer
const ROWS_MAX = 12;

/** A screen reader has the same from the chart itself. */
export function Tip({ board, chart, drawn, pointer }) {
  const element = useRef(null);
  const at = board.cursor.value;
  const readout = at?.key === chart.key ? readoutOf(drawn.value, at.x, { most: ROWS_MAX, chosen: at.id }) : null;
  const place = pointer.value;
  useLayoutEffect(() => readout && put(element.current, place));
  if (!readout) return null;
  const row = ({ id, label, value, extremes, ...line }) => html`
    <tr key=${id} class=${id === at.id ? "pointed" : ""}>
      <th><span><${Stroke} ...${line} /><bdi class="cut">${visible(label)}</bdi></span></th><td>${value}</td>
      <td class="muted">${extremes}</td>
    </tr>
  `;
  return html`
    <div class="tip" ref=${element} aria-hidden="true">
      <p class="muted">${readout.place}</p>
      <table><tbody>${readout.rows.map(row)}</tbody></table>
      ${readout.more > 0 && html`<p class="muted">and ${many(readout.more, "more line")}</p>`}
      ${drawn.value.notes?.map((note) => html`<p key=${note} class="muted">${note}</p>`)}
    </div>
  `;
}

/** Beside the pointer, on the side that has the room. */
function put(element, place) {
  const { width, height } = element.getBoundingClientRect();
  const chart = element.parentElement.getBoundingClientRect();
  const { left, top } = place ?? { left: chart.right - width - AWAY, top: chart.top - AWAY };
  const beside = left + AWAY + width <= innerWidth - 4 ? left + AWAY : left - AWAY - width;
  element.style.left = `${Math.max(4, beside)}px`;
  element.style.top = `${Math.max(4, Math.min(top + AWAY, innerHeight - height - 4))}px`;
}
