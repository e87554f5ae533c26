// A card: one metric's name, last value and curve, or its last text if it has no numbers.

import { Chart } from "./chart.js";
import { el, setText } from "./dom.js";
import { many, number, numeric, shown, visible } from "./values.js";

const TEXT_MAX = 2000;

export class Card {
  /** Calls `zoomed` with a selected range of steps, `resized` when the number of points changes. */
  constructor(entry, zoomed, resized, sync) {
    this.entry = entry;
    this.zoomed = zoomed;
    this.sync = sync;
    this.near = false;
    this.asked = null; // the parameters of the current request
    this.buckets = null;
    this.value = el("span", { class: "last" });
    this.readout = el("p", { class: "readout" });
    this.plot = el("div", { class: "plot", tabindex: "0", role: "img", keydown: (event) => this.#key(event), blur: () => this.chart?.point(null) });
    this.text = el("pre", { class: "text", tabindex: "0", hidden: "" });
    const label = visible(entry.name);
    this.wide = el("button", { class: "wide", "aria-pressed": "false", "aria-label": `Enlarge ${label}`, click: () => this.#widen() }, "⤢");
    this.element = el(
      "article",
      { class: "card" },
      el("header", {}, el("h3", { title: label }, el("bdi", {}, label)), this.value, this.wide),
      this.readout,
      this.plot,
      this.text,
    );
    new ResizeObserver(() => {
      this.chart?.fit();
      resized();
    }).observe(this.plot);
  }

  /** Update the summary. */
  update(entry) {
    this.entry = entry;
    const drawable = numeric(entry.min) !== undefined || numeric(entry.last) !== undefined;
    this.plot.hidden = !drawable;
    this.text.hidden = drawable;
    setText(this.value, drawable ? shown(entry.last).slice(0, 40) : "");
    this.value.title = this.value.textContent;
    if (!drawable) setText(this.text, shown(entry.last).slice(0, TEXT_MAX));
    this.drawable = drawable;
    if (!this.pointed) setText(this.readout, this.#summary());
  }

  /** Whether the curve must be requested again for these steps. */
  stale(from, to) {
    const asked = this.asked;
    if (!this.drawable) return false;
    return !asked || asked.count !== this.entry.count || asked.from !== from || asked.to !== to || asked.points < this.points();
  }

  /** The number of points that fit, one a pixel, rounded to hundreds so that small changes request nothing. */
  points() {
    return Math.max(200, Math.min(1600, Math.ceil(this.plot.clientWidth / 100) * 100));
  }

  /** Show the response to a request, unless it is outdated. */
  draw(buckets, asked) {
    if (asked !== this.asked) return;
    this.buckets = buckets;
    this.redraw();
    const { min, max, count, name } = this.entry;
    const between = numeric(min) === undefined ? "" : `, from ${shown(min)} to ${shown(max)}`;
    this.plot.setAttribute("aria-label", `Curve of ${visible(name)}: ${many(count, "point")}${between}. Arrow keys read it.`);
  }

  redraw() {
    if (!this.near || !this.buckets) return;
    if (this.chart) this.chart.set(this.buckets);
    else this.chart = new Chart(this.plot, this.buckets, this.zoomed, (bucket) => this.#read(bucket), this.sync);
  }

  /** Create or release the canvas. */
  setNear(near) {
    this.near = near;
    if (near) {
      this.redraw();
    } else {
      this.chart?.destroy();
      this.chart = null;
    }
  }

  #summary() {
    const { count, first_step: first, max_step: most } = this.entry;
    return count === 1 ? `1 point at step ${number(most)}` : `${many(count, "point")}, steps ${number(first)} – ${number(most)}`;
  }

  #read(bucket) {
    this.pointed = bucket !== null;
    if (bucket === null) {
      setText(this.readout, this.#summary());
      return;
    }
    const { step, last, min, max, count } = bucket;
    const between = count > 1 && min !== null ? `  (${shown(min)} … ${shown(max)} in ${many(count, "point")})` : "";
    setText(this.readout, `step ${number(step)}: ${shown(last).slice(0, 80)}${between}`);
  }

  #key(event) {
    const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -Infinity, End: Infinity };
    if (event.key === "Escape") this.chart?.point(null);
    if (!Object.hasOwn(moves, event.key)) return;
    event.preventDefault();
    this.chart?.move(moves[event.key]);
  }

  #widen() {
    const wide = this.element.classList.toggle("enlarged");
    this.wide.setAttribute("aria-pressed", wide);
  }
}
