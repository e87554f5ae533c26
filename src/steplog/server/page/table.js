// All metrics as a table, those of the machine last.

import { arrange, el, setText } from "./dom.js";
import { number, numeric, shown, visible } from "./values.js";

const PAGE = 200;
const HEADS = ["Metric", "Last", "Min", "Max", "Count", "First step", "Last step"];

export class Table {
  constructor() {
    this.most = PAGE;
    this.rows = new Map(); // name -> cells
    this.body = el("tbody");
    this.apart = el("tr", { class: "apart" }, el("th", { scope: "rowgroup", colspan: HEADS.length }, "System"));
    this.more = el("button", { class: "more", click: () => this.#showMore() }, "Show more");
    const head = el("thead", {}, el("tr", {}, ...HEADS.map((text) => el("th", { scope: "col" }, text))));
    this.element = el(
      "div",
      { class: "panel table" },
      el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Metrics in a table" }, el("table", {}, head, this.body)),
      this.more,
    );
  }

  show(own, system) {
    this.series = [own, system];
    const rows = own.slice(0, this.most).map((entry) => this.#row(entry));
    const room = this.most - own.length;
    if (system.length && room > 0) rows.push(this.apart, ...system.slice(0, room).map((entry) => this.#row(entry)));
    arrange(this.body, rows);
    this.more.hidden = own.length + system.length <= this.most;
  }

  #showMore() {
    this.most += PAGE;
    this.show(...this.series);
  }

  #row({ name, count, first_step: first, last_step: last, last: value, min, max }) {
    let held = this.rows.get(name);
    if (!held) {
      const cells = HEADS.slice(1).map(() => el("td", {}));
      const head = el("th", { scope: "row", title: visible(name) }, el("bdi", {}, visible(name)));
      held = { row: el("tr", {}, head, ...cells), cells };
      this.rows.set(name, held);
    }
    const texts = [shown(value).slice(0, 200), end(min), end(max), number(count), number(first), number(last)];
    texts.forEach((text, at) => setText(held.cells[at], text));
    return held.row;
  }
}

/** The minimum or maximum; empty if there is none. */
function end(value) {
  const known = numeric(value);
  return known === undefined ? "" : number(typeof value === "bigint" ? value : known);
}
