// What the charts of a panel share: their runs and curves, the cursor, and whose turn it is to be drawn.

import { Curves } from "../data/curves.js";
import { signal } from "../ui.js";

const NEAR = "400px 0px"; // of the window: charts that far away are drawn before they come into view
const FEW = 12; // runs, each point of which may well be seen
const BUCKETS_OF_FEW = 1.5; // a pixel
const BUCKETS_OF_MANY = 0.75;
const FRAME_MS = 12; // of drawing in one frame

export class Board {
  /**
   * `runs` is a signal of the shown runs, `emphasis` one of the uuid of the run that is pointed at, or null. What
   * `coarser` has, other curves, is drawn until its own have come.
   */
  constructor({ here, view, runs, names, emphasis = signal(null), coarser = null }) {
    Object.assign(this, { here, view, runs, names, emphasis, coarser });
    this.curves = new Curves({ here, runs, view });
    this.cursor = signal(null); // {x, chart}: where the cursor is, and in which chart
    this.tasks = new Map();
    this.frame = 0;
    this.seen = new Map(); // element → what to call
    this.observer = new IntersectionObserver(
      (entries) => entries.forEach(({ target, isIntersecting }) => this.seen.get(target)?.(isIntersecting)),
      { rootMargin: NEAR },
    );
  }

  /** Tells whether an element is near the window, each time that changes; returns what ends that. */
  whenNear(element, tell) {
    this.seen.set(element, tell);
    this.observer.observe(element);
    return () => {
      this.seen.delete(element);
      this.observer.unobserve(element);
    };
  }

  /** Note how wide a chart is. Every bucket has its extremes: of many runs there may be fewer of them than pixels. */
  measure({ clientWidth }) {
    const buckets = this.runs.peek().length > FEW ? BUCKETS_OF_MANY : BUCKETS_OF_FEW;
    if (clientWidth) this.curves.pixels.value = Math.round(clientWidth * buckets);
  }

  /** Lift a line's run out of the others, or, where it is, no longer. */
  pick(id) {
    const run = this.runs.value.find(({ uuid }) => id === uuid || id.startsWith(`${uuid} `));
    if (run) this.emphasis.value = this.emphasis.value === run.uuid ? null : run.uuid;
  }

  /** Do a task in one of the next frames, in place of an earlier one of the same owner; null: none. */
  inFrame(owner, task) {
    if (task) this.tasks.set(owner, task);
    else this.tasks.delete(owner);
    if (this.tasks.size) this.frame ||= requestAnimationFrame(() => this.#work());
  }

  #work() {
    const end = performance.now() + FRAME_MS;
    this.frame = 0;
    for (const [owner, task] of this.tasks) {
      this.tasks.delete(owner);
      task();
      if (performance.now() > end) break;
    }
    if (this.tasks.size) this.frame = requestAnimationFrame(() => this.#work());
  }

  /** Let go of what it asks and observes. */
  end() {
    this.observer.disconnect();
    this.tasks.clear();
    this.curves.end();
  }
}
