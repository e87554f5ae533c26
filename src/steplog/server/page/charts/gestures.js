// Mouse, wheel and touch on a chart.
//
//   drag                          zoom into x, into y where it goes up or down, into both where it goes across
//   Shift+drag, the middle button  pan
//   Ctrl/⌘+wheel                  zoom at the pointer; without a key on a chart that has the focus
//   two fingers                   zoom and pan; one finger scrolls the page
//   a long press                  the cursor, which follows the finger
//   double click                  everything

import { Touches } from "./touches.js";

const DRAG_PX = 5; // less is a click
const ACROSS = 0.3; // of a drag's longer side, from which its shorter one counts too
const WHEEL_REST_MS = 160; // after which a wheel has come to rest
const WHEEL_RATE = 0.0022; // of a zoom, by a pixel
const WHEEL_MOST = 0.4; // of a zoom, by one event
const LINE_PX = 24;

export class Gestures {
  constructor(chart) {
    this.chart = chart;
    this.drag = null;
    this.resting = null;
    this.touches = new Touches(chart);
    const { root } = chart;
    this.ears = new AbortController();
    const { signal } = this.ears;
    const hear = (type, heard, options = {}) => root.addEventListener(type, heard, { signal, ...options });
    hear("pointerdown", (event) => this.#down(event));
    hear("pointermove", (event) => this.#move(event));
    hear("pointerup", (event) => this.#up(event));
    hear("pointercancel", () => this.cancel());
    hear("pointerleave", (event) => event.pointerType === "mouse" && !this.drag && this.chart.point(null));
    hear("dblclick", () => this.chart.reset());
    hear("wheel", (event) => this.#wheel(event), { passive: false });
    hear("auxclick", (event) => event.button === 1 && event.preventDefault());
  }

  end() {
    this.ears.abort();
    this.touches.end();
    clearTimeout(this.resting);
  }

  /** Give up a drag; false if there is none. */
  cancel() {
    if (!this.drag) return false;
    if (this.drag.pans && this.drag.moved) this.chart.restore(this.drag.before);
    this.drag = null;
    this.chart.select(null);
    return true;
  }

  #down(event) {
    if (event.pointerType === "touch" || !this.chart.view || event.button > 1) return;
    if (event.button === 1) event.preventDefault(); // no automatic scrolling
    const [left, top] = this.chart.placeOf(event);
    const { view, own } = this.chart;
    this.drag = { left, top, pans: event.shiftKey || event.button === 1, view, before: { ...own }, moved: false };
    this.chart.root.setPointerCapture(event.pointerId);
  }

  #move(event) {
    if (event.pointerType === "touch") return;
    const place = this.chart.placeOf(event);
    if (!this.drag) return this.chart.point(place);
    const { left, top, pans, view } = this.drag;
    this.drag.moved ||= Math.hypot(place[0] - left, place[1] - top) > DRAG_PX * this.chart.ratio;
    if (!this.drag.moved) return undefined;
    if (pans) return this.chart.preview(pannedBy(view, place[0] - left, place[1] - top, this.chart.own.y));
    return this.chart.select(boxOf(this.drag, place));
  }

  #up(event) {
    const { drag } = this;
    this.drag = null;
    if (!drag) return;
    this.chart.select(null);
    const place = this.chart.placeOf(event);
    if (!drag.moved) {
      if (event.button === 0) this.chart.pick(place);
      return;
    }
    if (!drag.pans) {
      const { left, top, width, height, x, y } = boxOf(drag, place);
      const { view } = drag;
      this.chart.preview({
        x: x ? [view.xAt(left), view.xAt(left + width)] : undefined,
        y: y ? [view.yAt(top + height), view.yAt(top)] : undefined,
      });
    }
    this.chart.settle();
  }

  #wheel(event) {
    const { chart } = this;
    const asked = event.ctrlKey || event.metaKey || chart.root.contains(document.activeElement);
    if (!asked || !chart.view || this.drag) return;
    event.preventDefault();
    const size = [1, LINE_PX, chart.size.height][event.deltaMode];
    const [left] = chart.placeOf(event);
    const view = chart.coming; // several events may come in a frame
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      chart.preview(pannedBy(view, -event.deltaX * size * chart.ratio, 0, null));
    } else {
      const by = Math.max(-WHEEL_MOST, Math.min(WHEEL_MOST, event.deltaY * size * WHEEL_RATE));
      chart.preview({ x: zoomedAt(view, left, Math.exp(by)) });
    }
    clearTimeout(this.resting);
    this.resting = setTimeout(() => chart.settle(), WHEEL_REST_MS);
  }
}

/** The ranges of a view that was moved by pixels; of y only where it was zoomed into. */
export function pannedBy(view, across, down, y) {
  const [byX, byY] = [across / view.kx, down / view.ky];
  return { x: [view.x0 - byX, view.x1 - byX], y: y ? [view.y0 + byY, view.y1 + byY] : undefined };
}

/** The range of x of a view, `factor` times as wide, with the same at the pixel `left`. */
export function zoomedAt(view, left, factor) {
  const still = view.xAt(Math.max(view.left, Math.min(view.left + view.width, left)));
  return [still - (still - view.x0) * factor, still + (view.x1 - still) * factor];
}

/** What a drag has chosen, in device pixels, and which ranges it is about. */
function boxOf({ left, top, view }, [endLeft, endTop]) {
  const within = (value, from, size) => Math.max(from, Math.min(from + size, value));
  const [wide, tall] = [Math.abs(endLeft - left), Math.abs(endTop - top)];
  const x = wide >= tall * ACROSS;
  const y = tall >= wide * ACROSS && tall > 4 * DRAG_PX;
  const lefts = x ? [left, endLeft] : [view.left, view.left + view.width];
  const tops = y ? [top, endTop] : [view.top, view.top + view.height];
  const [from, to] = lefts.map((value) => within(value, view.left, view.width)).sort((a, b) => a - b);
  const [high, low] = tops.map((value) => within(value, view.top, view.height)).sort((a, b) => a - b);
  return { left: from, top: high, width: to - from, height: low - high, x, y };
}
