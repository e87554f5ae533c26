// A chart: one curve drawn by uPlot, a line of last values in a band from minimum to maximum.
//
// Values that cannot be drawn get a marker: a triangle at the edge for infinities and beyond 1e300, a cross at the
// bottom for NaN. Axes span at least a billionth of their values, as uPlot needs representable tick increments.

import { numeric, ticks } from "./values.js";

const DRAWN_MAX = 1e300;
const WIDTH_MIN = 1e-9;
const POINTS_SHOWN_MAX = 40;
const FONT = "11px system-ui, sans-serif";
const [STEP, LAST, LOW, HIGH] = [0, 1, 2, 3];

export class Chart {
  constructor(box, buckets, zoomed, pointed, sync) {
    this.box = box;
    this.zoomed = zoomed;
    this.pointed = pointed;
    this.sync = sync;
    this.set(buckets);
  }

  /** Draw buckets, in any order of steps. */
  set(buckets) {
    this.buckets = buckets.toSorted((a, b) => Number(a.step) - Number(b.step));
    const key = [this.buckets.some(({ count }) => count > 1), buckets.length <= POINTS_SHOWN_MAX, colour("--line")].join();
    if (key !== this.key) this.destroy(); // another kind of curve, or another colour scheme
    this.key = key;
    const data = columns(this.buckets);
    if (this.plot) this.plot.setData(data);
    else this.plot = new uPlot(this.#options(), data, this.box);
  }

  destroy() {
    this.plot?.destroy();
    this.plot = null;
  }

  fit() {
    const { clientWidth: width, clientHeight: height } = this.box;
    if (this.plot && width && (this.plot.width !== width || this.plot.height !== height)) this.plot.setSize({ width, height });
  }

  /** Move the cursor to a bucket by index, null for none. */
  point(at) {
    const left = at === null ? -10 : this.plot.valToPos(this.plot.data[STEP][at], "x");
    this.plot?.setCursor({ left, top: at === null ? -10 : 1 });
  }

  /** Move the cursor by that many buckets. */
  move(by) {
    const end = this.buckets.length - 1;
    const at = this.plot?.cursor.idx ?? (by > 0 ? -1 : end + 1);
    if (end >= 0) this.point(Math.max(0, Math.min(end, at + by)));
  }

  #options() {
    const [line, muted, rule] = ["--curve", "--muted", "--line"].map(colour);
    const banded = this.buckets.some(({ count }) => count > 1);
    const axis = { stroke: muted, font: FONT, grid: { stroke: rule, width: 1 }, ticks: { show: false }, gap: 6 };
    const edge = { stroke: null, width: 0, points: { show: false } };
    return {
      width: this.box.clientWidth || 300,
      height: this.box.clientHeight || 150,
      padding: [8, 10, 0, 0],
      legend: { show: false },
      scales: { x: { time: false, range: ({ data: [steps] }) => span(steps[0], steps.at(-1), 0) }, y: { range: (_plot, low, high) => span(low, high, 0.06) } },
      axes: [
        { ...axis, size: 24, space: 56, values: (_plot, splits) => ticks(splits) },
        { ...axis, size: labelWidth, space: 24, values: (_plot, splits) => ticks(splits) },
      ],
      series: [
        {},
        { stroke: line, width: 1.5, points: { show: this.buckets.length <= POINTS_SHOWN_MAX, size: 5, fill: line } },
        edge,
        edge,
      ],
      bands: banded ? [{ series: [HIGH, LOW], fill: colour("--band") }] : [],
      cursor: {
        y: false,
        drag: { x: true, y: false, setScale: false },
        points: { size: (_plot, at) => (at === LAST ? 7 : 0), fill: line },
        // The cursor is synchronized across charts, the selection is not.
        sync: { key: this.sync, filters: { pub: (type) => type === "mousemove" || type === "mouseleave" } },
      },
      hooks: { setCursor: [() => this.#pointing()], setSelect: [() => this.#selected()], draw: [(plot) => this.#marks(plot)] },
    };
  }

  #pointing() {
    const { idx, left } = this.plot?.cursor ?? {};
    this.pointed(idx === null || idx === undefined || left < 0 ? null : this.buckets[idx]);
  }

  #selected() {
    const { left, width } = this.plot.select;
    if (width < 4) return;
    const [from, to] = [left, left + width].map((x) => Math.round(this.plot.posToVal(x, "x")));
    this.plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    if ([from, to].every(Number.isSafeInteger)) this.zoomed(from, to);
  }

  #marks(plot) {
    const { ctx, bbox } = plot;
    const size = 4 * devicePixelRatio;
    ctx.save();
    ctx.fillStyle = ctx.strokeStyle = colour("--alarm");
    ctx.lineWidth = 1.5 * devicePixelRatio;
    this.buckets.forEach((bucket, at) => {
      const x = plot.valToPos(plot.data[STEP][at], "x", true);
      for (const sign of signs(bucket)) {
        const y = sign > 0 ? bbox.top + size : bbox.top + bbox.height - size;
        ctx.beginPath();
        if (sign === 0) {
          ctx.moveTo(x - size, y - size), ctx.lineTo(x + size, y + size);
          ctx.moveTo(x + size, y - size), ctx.lineTo(x - size, y + size);
          ctx.stroke();
        } else {
          ctx.moveTo(x - size, y + sign * size), ctx.lineTo(x + size, y + sign * size), ctx.lineTo(x, y - sign * size);
          ctx.fill();
        }
      }
    });
    ctx.restore();
  }
}

/** The markers of a bucket: 1 and -1 for too large, 0 for NaN. */
function signs({ min, max, last }) {
  const found = new Set();
  for (const value of [min, max, last].map(numeric)) {
    if (Number.isNaN(value)) found.add(0);
    else if (Math.abs(value) > DRAWN_MAX) found.add(Math.sign(value));
  }
  return found;
}

function columns(buckets) {
  const drawn = (value) => {
    const known = numeric(value);
    return known !== undefined && Math.abs(known) <= DRAWN_MAX ? known : null;
  };
  const rows = buckets.map(({ step, last, min, max }) => [Number(step), ...[last, min, max].map(drawn)]);
  return [STEP, LAST, LOW, HIGH].map((column) => rows.map((row) => row[column]));
}

/** The range of an axis for these values, with padding. */
function span(low, high, room) {
  if (low === null || low === undefined || high === null || high === undefined) return [0, 1];
  const least = Math.max(Math.abs(low), Math.abs(high)) * WIDTH_MIN;
  if (high - low <= least) {
    const around = low === 0 ? 1 : Math.max(Math.abs(low) * (room ? 0.1 : WIDTH_MIN), room ? 0 : 1);
    return [low - around, high + around];
  }
  return [low - (high - low) * room, high + (high - low) * room];
}

function labelWidth(_plot, values) {
  return 14 + 6.4 * Math.max(3, ...(values ?? []).map((text) => String(text ?? "").length));
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
