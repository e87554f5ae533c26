// Fingers on a chart: two zoom and pan, one that stays for a while shows the cursor. Else the page scrolls.

const LONG_MS = 450;
const STILL_PX = 10;

export class Touches {
  constructor(chart) {
    this.chart = chart;
    this.pinch = null; // where two fingers began, and the view then
    this.pressed = null; // where one finger is
    this.reading = false;
    this.timer = null;
    this.ears = new AbortController();
    const options = { signal: this.ears.signal, passive: false };
    const hear = (type, heard) => chart.root.addEventListener(type, heard, options);
    hear("touchstart", (event) => this.#start(event));
    hear("touchmove", (event) => this.#move(event));
    hear("touchend", (event) => this.#end(event));
    hear("touchcancel", (event) => this.#end(event));
    hear("contextmenu", (event) => this.pressed && event.preventDefault());
  }

  end() {
    this.ears.abort();
    clearTimeout(this.timer);
  }

  #start(event) {
    clearTimeout(this.timer);
    const { chart } = this;
    if (!chart.view) return;
    if (event.touches.length === 2) {
      keep(event);
      this.reading = false;
      this.pinch = { places: this.#places(event), view: chart.view };
      return;
    }
    this.pressed = chart.placeOf(event.touches[0]);
    this.timer = setTimeout(() => {
      this.reading = true;
      chart.point(this.pressed);
    }, LONG_MS);
  }

  #move(event) {
    const { chart } = this;
    if (this.pinch && event.touches.length === 2) {
      keep(event);
      chart.preview({ x: pinched(this.pinch, this.#places(event), chart.ratio) });
      return;
    }
    const place = chart.placeOf(event.touches[0]);
    if (this.reading) {
      keep(event);
      chart.point(place);
    } else if (this.pressed && apart(place, this.pressed) > STILL_PX * chart.ratio) {
      clearTimeout(this.timer); // the page scrolls
      this.pressed = null;
    }
  }

  #end(event) {
    clearTimeout(this.timer);
    if (this.pinch && event.touches.length < 2) {
      this.pinch = null;
      this.chart.settle();
    }
    if (this.reading) {
      keep(event); // no click where the finger was
      this.reading = false;
    }
    this.pressed = null;
  }

  #places(event) {
    return [...event.touches].map((touch) => this.chart.placeOf(touch));
  }
}

/** Keep a touch from the page, which may have begun to scroll by it. */
const keep = (event) => event.cancelable && event.preventDefault();

const apart = ([left, top], [otherLeft, otherTop]) => Math.hypot(left - otherLeft, top - otherTop);

/** The range of x with what was under two fingers under them still. */
function pinched({ places, view }, now, ratio) {
  const [a, b] = places.map(([left]) => left).sort((one, other) => one - other);
  const [c, d] = now.map(([left]) => left).sort((one, other) => one - other);
  const wide = (one, other) => Math.max(other - one, 24 * ratio);
  const factor = wide(a, b) / wide(c, d);
  const still = view.xAt((a + b) / 2);
  const from = still - ((c + d) / 2 - view.left) * (factor / view.kx);
  return [from, from + (view.x1 - view.x0) * factor];
}
