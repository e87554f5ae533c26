// Which lines of a long table are in view; what is in view stays in its place while lines come and go above it.

import { signal } from "../ui.js";

const BESIDES = 8; // lines above and below the view that exist, too

/** Follows an element that scrolls; tells `runs.inView`. */
export class Scroll {
  #lines = [];
  #sizes;

  constructor(element, runs) {
    this.element = element;
    this.runs = runs;
    this.height = signal(parseFloat(getComputedStyle(element).getPropertyValue("--row")) || 28); // of a line, in pixels
    this.fresh = signal(0); // lines that have come above what is in view
    this.look = () => this.#look();
    element.addEventListener("scroll", this.look, { passive: true });
    this.#sizes = new ResizeObserver(this.look);
    this.#sizes.observe(element);
    this.#look();
  }

  end() {
    this.element.removeEventListener("scroll", this.look);
    this.#sizes.disconnect();
    this.runs.inView.value = [0, 0];
  }

  toTop() {
    this.element.scrollTop = 0;
    this.fresh.value = 0;
  }

  /** Take new lines; what is at the top of the view stays there. */
  keepInPlace(lines) {
    const before = this.#lines;
    this.#lines = lines;
    if (!before.length) return;
    const first = Math.floor(this.element.scrollTop / this.height.value);
    if (first <= 0) return;
    const seen = before.slice(first, first + this.#count());
    if (seen.every(({ key }, at) => lines[first + at]?.key === key)) return;
    const places = new Map(lines.map(({ key }, at) => [key, at]));
    const shifts = seen.flatMap(({ key }, at) => (places.has(key) ? [places.get(key) - first - at] : []));
    if (!shifts.length) return;
    const shift = shifts.sort((a, b) => a - b)[Math.floor(shifts.length / 2)];
    this.element.scrollTop += shift * this.height.value;
    const known = new Set(before.map(({ key }) => key));
    this.fresh.value += lines.slice(0, Math.max(0, first + shift)).filter(({ key }) => !known.has(key)).length;
  }

  /** Scroll as little as needed until a line is in view. */
  show(index) {
    const top = index * this.height.value;
    const { element } = this;
    const room = element.clientHeight - this.#headHeight() - this.height.value;
    element.scrollTop = Math.max(top - room, Math.min(top, element.scrollTop));
  }

  /** How many lines fit into the view. */
  get page() {
    return Math.max(1, this.#count() - 1);
  }

  #count() {
    const height = Math.min(this.element.clientHeight, innerHeight); // a grid without bounds shows no more
    return Math.max(1, Math.floor((height - this.#headHeight()) / this.height.value));
  }

  #headHeight() {
    return this.element.querySelector(".runs-head")?.offsetHeight ?? 0;
  }

  #look() {
    const first = Math.floor(this.element.scrollTop / this.height.value);
    if (first <= 0) this.fresh.value = 0;
    const from = Math.max(0, first - BESIDES);
    const to = first + this.#count() + 1 + BESIDES;
    const [before, after] = this.runs.inView.value;
    if (from !== before || to !== after) this.runs.inView.value = [from, to];
  }
}
