// A chart in an element: draws a scene, at most once a frame, and tells of zooms, of the cursor, and of what is picked.

import { visible } from "../data/values.js";
import { Gestures } from "./gestures.js";
import { inks, onScheme } from "./inks.js";
import { Keys } from "./keys.js";
import { paintOver } from "./overlay.js";
import { paintPicture, xRangeOf, yRangeOf } from "./picture.js";
import { Projection } from "./projection.js";
import { fromAxis, sameRange } from "./ranges.js";
import { placeText } from "./time_ticks.js";
import { extentOf, nearestTrace, traceOf } from "./traces.js";

const ENDED = -1; // in the place of a frame's number: none is asked for any more
const NEAR_PX = 24; // from a line, for it to be meant

export class Plot {
  /** `onZoom(range | null)`, `onHover(x | null, id | null)`, `onPick(id)`; ranges and x are in the chart's units. */
  constructor(element, { onZoom = () => {}, onHover = () => {}, onPick = () => {} } = {}) {
    Object.assign(this, { element, onZoom, onHover, onPick });
    this.root = made("div", { className: "plot-root" });
    this.base = made("canvas", { className: "plot-base" });
    this.over = made("canvas", { className: "plot-over" });
    this.over.setAttribute("aria-hidden", "true");
    this.said = made("div", { className: "plot-said" });
    this.said.setAttribute("aria-live", "polite");
    this.root.append(this.base, this.over, this.said);
    element.append(this.root);
    this.own = { x: null, y: null }; // ranges of the user's hand, as the axes have them, until the scene has others
    this.full = null; // x from the first point to the last, where the scene had all
    this.emphasised = new Set();
    this.cursor = null;
    this.meant = null; // the id of the line at the pointer, or the one that the keyboard reads
    this.selection = null;
    this.frame = 0;
    this.gestures = new Gestures(this);
    this.keys = new Keys(this);
    this.observer = new ResizeObserver(() => this.fit());
    this.observer.observe(this.root);
    this.endScheme = onScheme(() => this.refresh());
  }

  /** Draw a scene in the next frame. What the user has zoomed into stays, until the scene has another range. */
  draw(scene) {
    const before = this.scene ?? scene;
    const sameAxis = scene.x.log === before.x.log && scene.x.kind === before.x.kind;
    if (!sameAxis || !sameRange(scene.x.range, before.x.range)) this.own.x = null;
    if (scene.y.log !== before.y.log || scene.label !== before.label) this.own.y = null;
    this.scene = scene;
    this.traces = scene.lines.map((line) => traceOf(line, scene));
    this.yRange = this.moving ? this.yRange : null;
    if (!sameAxis) this.full = null;
    if (!scene.x.range) this.full = extentOf(this.traces);
    this.refresh();
  }

  /** Show the cursor at x, in the chart's units; null: none. */
  setCursor(x) {
    if (x === this.cursor) return;
    this.cursor = x;
    this.refreshOver();
  }

  /** Lift lines out of the others, by their ids or their runs' uuids; none: all are alike. */
  emphasise(ids) {
    this.emphasised = new Set(ids ?? []);
    this.refreshOver();
  }

  /** Take the size of the element. */
  fit() {
    this.refresh();
  }

  destroy() {
    cancelAnimationFrame(this.frame);
    this.frame = ENDED;
    this.endScheme();
    this.observer.disconnect();
    this.gestures.end();
    this.keys.end();
    this.root.remove();
  }

  refresh() {
    this.stale = true;
    this.refreshOver();
  }

  refreshOver() {
    this.frame ||= requestAnimationFrame(() => this.paint());
  }

  /** Draw now what is to be drawn. */
  paint() {
    if (this.frame === ENDED) return;
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    if (!this.scene || !this.#measure()) return;
    if (this.stale) this.#paintBase();
    this.stale = false;
    paintOver(this.over.getContext("2d"), this);
  }

  /** Zoom by hand: ranges as the axes have them, undefined for one that stays. `settle` tells of it. */
  preview({ x, y }) {
    this.moving = true;
    if (x) this.own.x = this.#limited(x);
    if (y) this.own.y = y[1] - y[0] > 1e-290 ? y : this.own.y;
    this.refresh();
  }

  /** Tell of the zoom, which is at its end. */
  settle() {
    this.moving = false;
    if (!this.own.y) this.yRange = null;
    const { own, full, scene } = this;
    if (own.x) {
      const all = full && own.x[0] <= full[0] && own.x[1] >= full[1];
      this.onZoom(all ? null : rounded(own.x.map((end) => fromAxis(end, scene.x.log)), scene.x.kind));
      if (all) this.own.x = null;
    }
    this.refresh();
  }

  /** Show everything. */
  reset() {
    this.moving = false;
    this.own = { x: null, y: null };
    this.yRange = null;
    this.onZoom(null);
    this.refresh();
  }

  /** Go back to ranges of before. */
  restore(own) {
    this.moving = false;
    this.own = own;
    this.yRange = null;
    this.refresh();
  }

  /** Show what a drag has chosen, in device pixels; null: nothing. */
  select(box) {
    this.selection = box;
    this.refreshOver();
  }

  /** The place of an event in device pixels. */
  placeOf({ clientX, clientY }) {
    const { left, top } = this.root.getBoundingClientRect();
    return [(clientX - left) * this.ratio, (clientY - top) * this.ratio];
  }

  /** The projection as it is to be drawn next, while a hand moves it. */
  get coming() {
    const { view, own, scene, traces } = this;
    return new Projection(view, own.x ?? xRangeOf(scene, traces), own.y ?? [view.y0, view.y1]);
  }

  get zoomed() {
    return Boolean(this.own.x || this.own.y || this.scene?.x.range);
  }

  /** The pointer is there, in device pixels; null: it has left. */
  point(place) {
    const found = place && this.view ? nearestTrace(this.traces, this.view, ...place) : null;
    const x = found ? found.trace.line.x[found.at + found.trace.skip] : null;
    this.meant = found && found.distance < NEAR_PX * this.ratio ? found.trace.line.id : null;
    this.cursor = x;
    this.refreshOver();
    this.onHover(x, this.meant);
  }

  pick(place) {
    const found = this.view && nearestTrace(this.traces, this.view, ...place);
    if (found && found.distance < NEAR_PX * this.ratio) this.onPick(found.trace.line.id);
  }

  /** Size the canvases; false where there is no room for a chart. */
  #measure() {
    const { clientWidth: width, clientHeight: height } = this.root;
    this.ratio = devicePixelRatio || 1;
    if (width < 40 || height < 40) return false;
    for (const canvas of [this.base, this.over]) {
      const [wide, tall] = [Math.round(width * this.ratio), Math.round(height * this.ratio)];
      if (canvas.width === wide && canvas.height === tall) continue;
      canvas.width = wide;
      canvas.height = tall;
      this.stale = true;
    }
    this.size = { width, height };
    return true;
  }

  #paintBase() {
    const context = this.base.getContext("2d");
    context.clearRect(0, 0, this.base.width, this.base.height);
    this.xRange = this.own.x ?? xRangeOf(this.scene, this.traces);
    this.yRange = this.own.y ?? this.yRange ?? yRangeOf(this.scene, this.traces, this.xRange);
    this.view = paintPicture(context, this, inks());
    this.#name();
  }

  /** A range of x that is wide enough to tell its points apart. */
  #limited([from, to]) {
    const { kind, log } = this.scene.x;
    const size = Math.max(Math.abs(from), Math.abs(to));
    const least = Math.max(log ? 1e-3 : kind === "step" ? 2 : 1e-3, size * 1e-14);
    if (to - from >= least) return [from, to];
    const middle = (from + to) / 2;
    return [middle - least / 2, middle + least / 2];
  }

  #name() {
    const { kind, log } = this.scene.x;
    const label = visible(this.scene.label);
    const ends = this.xRange.map((end) => fromAxis(end, log));
    const words = ends.map((end) => placeText(kind, kind === "step" ? Math.round(end) : end)).join(" to ");
    const many = this.traces.length;
    const name = `${label}: ${many.toLocaleString("en-US")} ${many === 1 ? "line" : "lines"}, ${words}`;
    if (this.base.getAttribute("aria-label") === name) return;
    this.base.setAttribute("role", "img");
    this.base.setAttribute("aria-label", name);
    this.root.tabIndex = 0;
    this.root.setAttribute("role", "group");
    const keys = "Arrow keys read points, plus and minus zoom, 0 shows all.";
    this.root.setAttribute("aria-label", `${label}. ${keys}`);
  }
}

function made(tag, properties) {
  return Object.assign(document.createElement(tag), properties);
}

/** A range in a few digits: whole steps, else a part of some thousandths of its width. */
function rounded([from, to], kind) {
  if (kind === "step") return [Math.floor(from), Math.ceil(to)];
  const unit = 10 ** Math.floor(Math.log10((to - from) / 2000));
  const digits = Math.max(0, Math.min(20, -Math.log10(unit)));
  return [from, to].map((end) => Number((Math.round(end / unit) * unit).toFixed(digits)));
}
