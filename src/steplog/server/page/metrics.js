// The metrics of a run: filter, curves or table, range of steps.

import { el, setText } from "./dom.js";
import { Curves } from "./curves.js";
import { Table } from "./table.js";
import { many, visible } from "./values.js";

const TYPING_MS = 120;

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
    this.table = new Table();
    this.views = { curves: this.curves, table: this.table };
    this.buttons = Object.keys(this.views).map((name) =>
      el("button", { click: () => this.#look(name) }, name[0].toUpperCase() + name.slice(1)),
    );
    this.range = el("span", { class: "range" }, "Steps", this.steps[0], "–", this.steps[1], this.whole);
    const views = el("span", { class: "views", role: "group", "aria-label": "Show as" }, ...this.buttons);
    this.tools = el("div", { class: "tools" }, views, this.filter, this.range, this.count);
    this.element = el("section", { "aria-label": "Metrics" }, this.tools, this.curves.element, this.table.element);
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

  #look(view) {
    this.view = view;
    Object.keys(this.views).forEach((name, at) => {
      this.views[name].element.hidden = name !== view;
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
    const all = this.series.length;
    const none = this.running ? "No metric yet." : "No metric was logged.";
    this.tools.classList.toggle("empty", !all);
    setText(this.count, !all ? none : found.length === all ? many(all, "metric") : `${found.length} of ${many(all, "metric")}`);
    this.views[this.view].show(found);
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
    const search = kept.size ? `?${kept}` : "";
    if (search !== location.search) history.replaceState(null, "", location.pathname + search);
  }
}
