// The metrics of a run: filter, curves or table, range of steps. Those that steplog measures of the machine are apart.

import { Curves } from "./curves.js";
import { el, setText } from "./dom.js";
import { Table } from "./table.js";
import { many, visible } from "./values.js";

const TYPING_MS = 120;

/** Metrics that steplog itself writes: config, exception and the like. They are no curves. */
export const isReserved = (name) => name.startsWith("steplog/");

/** Metrics of the machine. */
export const isSystem = (name) => name.startsWith("system/");

export class Metrics {
  constructor(here, uuid) {
    this.series = [];
    const asked = new URLSearchParams(location.search);
    this.filter = el("input", { type: "search", "aria-label": "Filter the metrics by name", placeholder: "Filter by name" });
    this.filter.value = asked.get("filter") ?? "";
    this.steps = ["from", "to"].map((end) =>
      el("input", { type: "number", step: "1", placeholder: end, "aria-label": `Curves ${end} step`, change: () => this.#zoomed() }),
    );
    this.whole = el("button", { hidden: "", click: () => this.#zoom(null, null) }, "All steps");
    this.count = el("span", { class: "muted", role: "status" });
    this.curves = new Curves(here, uuid, (from, to) => this.#zoom(from, to));
    this.system = new SystemCurves(here, uuid, asked.has("system") || null, () => this.#draw());
    this.table = new Table();
    this.views = { curves: el("div", {}, this.curves.element, this.system.element), table: this.table.element };
    this.buttons = Object.keys(this.views).map((name) =>
      el("button", { click: () => this.#look(name) }, name[0].toUpperCase() + name.slice(1)),
    );
    this.range = el("span", { class: "range" }, "Steps", this.steps[0], "–", this.steps[1], this.whole);
    const views = el("span", { class: "views", role: "group", "aria-label": "Show as" }, ...this.buttons);
    this.tools = el("div", { class: "tools" }, views, this.filter, this.range, this.count);
    this.element = el("section", { "aria-label": "Metrics" }, el("h2", { class: "unseen" }, "Metrics"), this.tools, ...Object.values(this.views));
    let typing = null;
    this.filter.addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(() => this.#draw(), TYPING_MS);
    });
    this.#look(Object.hasOwn(this.views, asked.get("view") ?? "") ? asked.get("view") : "curves");
  }

  /** Show the summaries of all metrics; `running`: more may come. */
  show(series, running) {
    this.series = series;
    this.running = running;
    this.#draw();
  }

  /** While paused, no curve is requested. */
  pause(paused) {
    this.curves.paused = this.system.curves.paused = paused;
  }

  #look(view) {
    this.view = view;
    Object.keys(this.views).forEach((name, at) => {
      this.views[name].hidden = name !== view;
      this.buttons[at].setAttribute("aria-pressed", name === view);
    });
    this.range.hidden = view !== "curves";
    this.#draw();
  }

  #draw() {
    const words = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = this.series.filter(({ name }) => {
      const text = `${name}\n${visible(name)}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    const [own, system] = split(found);
    const all = split(this.series)[0].length;
    const none = this.running ? "No metric yet." : "No metric was logged.";
    this.tools.classList.toggle("empty", !this.series.length);
    setText(this.count, !all ? none : own.length === all ? many(all, "metric") : `${own.length} of ${many(all, "metric")}`);
    if (this.view === "table") {
      this.table.show(own, system);
    } else {
      this.curves.show(own);
      this.system.show(system, !own.length);
    }
    this.#remember();
  }

  #zoomed() {
    const [from, to] = this.steps.map(({ value }) => (/^-?\d{1,18}$/.test(value) ? Number(value) : null));
    this.#zoom(from, to);
  }

  #zoom(from, to) {
    this.steps[0].value = from ?? "";
    this.steps[1].value = to ?? "";
    this.whole.hidden = from === null && to === null;
    this.curves.zoom(from, to);
  }

  /** Keep the state in the URL, for a reload. */
  #remember() {
    const kept = new URLSearchParams();
    if (this.view !== "curves") kept.set("view", this.view);
    if (this.filter.value) kept.set("filter", this.filter.value);
    if (this.system.wanted) kept.set("system", "1");
    const search = kept.size ? `?${kept}` : "";
    if (search !== location.search) history.replaceState(null, "", location.pathname + search);
  }
}

/** The curves of the machine: closed at first, with steps of their own, since they are not the caller's. */
class SystemCurves {
  constructor(here, uuid, wanted, opened) {
    this.wanted = wanted; // whether it was opened or closed by hand; null: neither
    this.opened = opened;
    this.curves = new Curves(here, uuid, (from, to) => this.#zoom(from, to), "system");
    this.whole = el("button", { hidden: "", click: () => this.#zoom(null, null) }, "All steps");
    this.count = el("span", { class: "muted" });
    const summary = el("summary", {}, el("h2", {}, "System"), " ", this.count);
    this.element = el("details", { class: "system", hidden: "", toggle: () => this.#toggled() }, summary, this.whole, this.curves.element);
  }

  /** `alone`: there are no other curves to show. */
  show(series, alone) {
    this.element.hidden = !series.length;
    setText(this.count, many(series.length, "metric"));
    this.open = this.wanted ?? alone;
    this.element.open = this.open;
    if (this.open) this.curves.show(series);
  }

  #toggled() {
    if (this.element.open === this.open) return; // it was done here
    this.wanted = this.element.open;
    this.opened();
  }

  #zoom(from, to) {
    this.whole.hidden = from === null && to === null;
    this.curves.zoom(from, to);
  }
}

/** The caller's metrics, and those of the machine. */
const split = (series) => [series.filter(({ name }) => !isSystem(name)), series.filter(({ name }) => isSystem(name))];
