// Histograms of one metric over its last steps: a column a sample, the darker the more values are there.

import { isHistogram } from "../data/media.js";
import { number } from "../data/values.js";
import { html, useLayoutEffect, useMemo, useRef, useSignal } from "../ui.js";
import { onScheme } from "../charts/inks.js";
import { useLoaded } from "./media_parts.js";
import { Icon } from "./parts/icon.js";

const SAMPLES_MAX = 256;
const ROWS = 96;

/** Asked for once it is opened. `place`: as `MediaPlace` has it. */
export function HeatMap({ place }) {
  const open = useSignal(false);
  return html`
    <details class="heat" onToggle=${({ currentTarget }) => (open.value = currentTarget.open)}>
      <summary><${Icon} name="chevron" /><h4>Over steps</h4></summary>
      ${open.value && html`<${Loaded} place=${place} />`}
    </details>
  `;
}

function Loaded({ place }) {
  const { state, found } = useLoaded(() => place.latest(SAMPLES_MAX));
  if (state) return html`<p class="muted">They cannot be read now.</p>`;
  if (!found) return html`<p class="muted" aria-busy="true">…</p>`;
  const rows = found.filter(({ value }) => isHistogram(value));
  return rows.length ? html`<${Drawing} rows=${rows} place=${place} />` : html`<p class="muted">There are none.</p>`;
}

function Drawing({ rows, place }) {
  const canvas = useRef(null);
  const pointed = useSignal(null);
  const [least, most] = useMemo(() => rangeOf(rows), [rows]);
  useLayoutEffect(() => {
    const draw = () => paint(canvas.current, rows, least, most);
    draw();
    return onScheme(draw);
  }, [rows]);
  const at = ({ currentTarget, clientX, clientY }) => {
    const { left, top, width, height } = currentTarget.getBoundingClientRect();
    const inside = (share) => Math.max(0, Math.min(0.999999, share));
    const row = rows[Math.floor(inside((clientX - left) / width) * rows.length)];
    return { row, value: most - inside((clientY - top) / height) * (most - least) };
  };
  const point = (event) => (pointed.value = at(event));
  const leave = () => (pointed.value = null);
  const steps = `steps ${number(rows[0].step)} to ${number(rows.at(-1).step)}`;
  const told = pointed.value
    ? `step ${number(pointed.value.row.step)}, ${number(Number(pointed.value.value.toPrecision(4)))}`
    : `${steps}, ${number(least)} to ${number(most)}`;
  return html`
    <canvas ref=${canvas} class="pixelated" width=${rows.length} height=${ROWS} role="img"
      aria-label="Histograms of ${steps}, from ${number(least)} to ${number(most)}"
      onPointerMove=${point} onPointerLeave=${leave} onClick=${(event) => place.show(at(event).row.step)}></canvas>
    <p class="figures muted" role="status">${told}</p>
  `;
}

/** From the least edge to the greatest. */
function rangeOf(rows) {
  const least = Math.min(...rows.map(({ value: { bins } }) => bins[0]));
  const most = Math.max(...rows.map(({ value: { bins } }) => bins.at(-1)));
  return least < most && Number.isFinite(most - least) ? [least, most] : [least - 0.5, least + 0.5];
}

function paint(canvas, rows, least, most) {
  const drawing = canvas.getContext("2d");
  drawing.clearRect(0, 0, canvas.width, canvas.height);
  drawing.fillStyle = getComputedStyle(canvas).color;
  rows.forEach(({ value }, column) => {
    const density = densityOf(value, least, (most - least) / ROWS);
    const greatest = Math.max(...density);
    density.forEach((held, at) => {
      if (!held) return;
      drawing.globalAlpha = Math.sqrt(held / greatest);
      drawing.fillRect(column, ROWS - 1 - at, 1, 1);
    });
  });
}

/** How much of a histogram is in each row, of `height`, from `least` on. */
function densityOf({ values, bins }, least, height) {
  const density = new Float64Array(ROWS);
  values.forEach((count, at) => {
    const [from, to] = [(bins[at] - least) / height, (bins[at + 1] - least) / height];
    const first = Math.max(0, Math.min(ROWS - 1, Math.floor(from)));
    const last = Math.max(first, Math.min(ROWS - 1, Math.ceil(to) - 1));
    for (let row = first; row <= last; row++) {
      const share = to > from ? (Math.min(to, row + 1) - Math.max(from, row)) / (to - from) : 1 / (last - first + 1);
      density[row] += Math.max(0, count) * Math.max(0, share);
    }
  });
  return density;
}
