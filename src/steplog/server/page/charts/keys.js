// The keyboard on a chart that has the focus.
//
//   ← →          the point before, the next one; with Shift: pan      + −      zoom
//   ↑ ↓          the line that is read                                0        everything
//   Home End     the first point, the last one                        Escape   no cursor, then everything
//   Page Up/Down ten points                                           Enter    picks the line

import { pannedBy, zoomedAt } from "./gestures.js";
import { nearest, toAxis } from "./ranges.js";
import { readoutOf, spoken } from "./readout.js";

const ZOOM = 1.5;
const PAN = 0.1; // of the width
const SAY_MS = 150; // keys that follow each other faster are told of once

export class Keys {
  constructor(chart) {
    this.chart = chart;
    this.timer = null;
    this.ears = new AbortController();
    const { signal } = this.ears;
    chart.root.addEventListener("keydown", (event) => this.#key(event), { signal });
    chart.root.addEventListener("blur", () => this.#left(), { signal });
  }

  end() {
    this.ears.abort();
    clearTimeout(this.timer);
  }

  #key(event) {
    const { chart } = this;
    if (!chart.view || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = this.#actOf(event);
    if (!act || act() === false) return;
    event.preventDefault();
    event.stopPropagation();
  }

  #actOf({ key, shiftKey }) {
    const { chart } = this;
    const acts = {
      ArrowLeft: () => (shiftKey ? this.#pan(-PAN) : this.#read(-1)),
      ArrowRight: () => (shiftKey ? this.#pan(PAN) : this.#read(1)),
      PageUp: () => this.#read(-10),
      PageDown: () => this.#read(10),
      Home: () => this.#read(-Infinity),
      End: () => this.#read(Infinity),
      ArrowUp: () => this.#choose(-1),
      ArrowDown: () => this.#choose(1),
      "+": () => this.#zoom(1 / ZOOM),
      "=": () => this.#zoom(1 / ZOOM),
      "-": () => this.#zoom(ZOOM),
      0: () => chart.reset(),
      Enter: () => (chart.meant === null ? false : chart.onPick(chart.meant)),
      Escape: () => this.#escape(),
    };
    return Object.hasOwn(acts, key) ? acts[key] : null;
  }

  #escape() {
    const { chart } = this;
    if (chart.gestures.cancel()) return true;
    if (chart.cursor !== null && chart.reading) {
      this.#left();
      return true;
    }
    if (!chart.zoomed) return false;
    chart.reset();
    return true;
  }

  #left() {
    const { chart } = this;
    if (!chart.reading) return;
    chart.reading = false;
    chart.point(null);
  }

  #zoom(factor) {
    const { chart } = this;
    const view = chart.coming;
    const at = chart.cursor === null ? NaN : view.x(toAxis(chart.cursor, chart.scene.x.log));
    const { left, width } = view;
    this.#show({ x: zoomedAt(view, at >= left && at <= left + width ? at : left + width / 2, factor) });
  }

  #pan(part) {
    this.#show(pannedBy(this.chart.coming, -part * this.chart.view.width, 0, null));
  }

  #show(ranges) {
    this.chart.preview(ranges);
    this.chart.settle();
  }

  /** The trace that is read: the chosen one, else the one with the most points in sight. */
  #trace() {
    const { traces, meant, view } = this.chart;
    const among = traces.filter(({ x }) => x.length);
    const inSight = ({ x }) => {
      const [from, to] = view.inSight(x);
      return to - from;
    };
    const fuller = (most, each) => (!most || inSight(each) > inSight(most) ? each : most);
    return among.find(({ line }) => line.id === meant) ?? among.reduce(fuller, null);
  }

  /** Move the cursor by so many points. */
  #read(by) {
    const { chart } = this;
    const trace = this.#trace();
    if (!trace) return;
    const { x, line, skip } = trace;
    const view = chart.coming;
    const [first, last] = [Math.max(0, nearest(x, view.x0)), nearest(x, view.x1)];
    const outside = by > 0 ? first - 1 : last + 1; // from where the first key comes in
    const at = chart.cursor === null ? outside : nearest(x, toAxis(chart.cursor, chart.scene.x.log));
    this.#showAt(line.x[Math.max(first, Math.min(last, at + by)) + skip]);
  }

  #choose(by) {
    const { chart } = this;
    const among = chart.traces.filter(({ x }) => x.length);
    if (!among.length) return;
    const at = among.findIndex(({ line }) => line.id === chart.meant);
    const to = at < 0 ? (by > 0 ? 0 : among.length - 1) : Math.max(0, Math.min(among.length - 1, at + by));
    chart.meant = among[to].line.id;
    const { line } = among[to];
    const x = chart.cursor ?? line.x[line.x.length - 1];
    this.#showAt(line.x[nearest(line.x, x)]);
  }

  #showAt(x) {
    const { chart } = this;
    chart.reading = true;
    chart.cursor = x;
    chart.refreshOver();
    chart.onHover(x, chart.meant);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      const readout = readoutOf(chart.scene, chart.cursor, { chosen: chart.meant });
      if (readout) chart.said.textContent = spoken(readout, chart.meant === null ? 4 : 1);
    }, SAY_MS);
  }
}
