// What is under the cursor: beside the pointer, or beside the chart while a finger or the keyboard reads.

import { readoutOf } from "../charts/readout.js";
import { many, visible } from "../data/values.js";
import { html, useEffect, useLayoutEffect, useRef } from "../ui.js";
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
  const isThere = readout !== null;
  useEffect(() => (isThere ? onScrollOf(element.current, () => (board.cursor.value = null)) : undefined), [isThere]);
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

/** Calls `gone` when an element is scrolled away from where it is. */
function onScrollOf(element, gone) {
  const scrolled = ({ target }) => target.contains(element.parentElement) && gone();
  addEventListener("scroll", scrolled, { capture: true, passive: true });
  return () => removeEventListener("scroll", scrolled, { capture: true });
}

/** Beside the pointer, on the side that has the room; for a finger and the keyboard below the chart, or above it. */
function put(element, place) {
  const { width, height } = element.getBoundingClientRect();
  const chart = element.parentElement.getBoundingClientRect();
  if (!place || place.isFinger) {
    const [below, above] = [chart.bottom, chart.top - height];
    const top = below + height <= innerHeight - 4 ? below : above >= 4 ? above : chart.top;
    element.style.left = `${Math.max(4, chart.right - width)}px`;
    element.style.top = `${top}px`;
    return;
  }
  const { left, top } = place;
  const beside = left + AWAY + width <= innerWidth - 4 ? left + AWAY : left - AWAY - width;
  element.style.left = `${Math.max(4, beside)}px`;
  element.style.top = `${Math.max(4, Math.min(top + AWAY, innerHeight - height - 4))}px`;
}
