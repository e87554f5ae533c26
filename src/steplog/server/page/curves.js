// Curves: a card for each metric. A card requests its curve when in view and outdated, a few at a time, and has a canvas
// only near the viewport: a thousand metrics cost what is visible.

import { api, query } from "./address.js";
import { Away, Missing, Refused, read } from "./api.js";
import { Card } from "./card.js";
import { arrange, el } from "./dom.js";

const PAGE = 48;
const QUESTIONS_MAX = 4;
const NEAR = "300px";

export class Curves {
  /** Calls `zoomed` with a range of steps selected in a chart; charts with the same `sync` share a cursor. */
  constructor(here, uuid, zoomed, sync = "steps") {
    this.address = api.series(here, uuid);
    this.zoomed = zoomed;
    this.sync = sync;
    this.paused = false;
    this.cards = new Map(); // name -> Card
    this.most = PAGE;
    this.from = null;
    this.to = null;
    this.asking = 0;
    this.waiting = new Set();
    this.grid = el("div", { class: "grid" });
    this.more = el("button", { class: "more", click: () => this.#showMore() }, "Show more");
    this.element = el("div", {}, this.grid, this.more);
    this.seen = new IntersectionObserver((entries) => entries.forEach((entry) => this.#look(entry)), { rootMargin: NEAR });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.cards.forEach((card) => card.redraw()));
  }

  show(series) {
    this.series = series;
    const cards = series.slice(0, this.most).map((entry) => this.#card(entry));
    arrange(this.grid, cards.map((card) => card.element));
    this.more.hidden = series.length <= this.most;
    for (const card of cards) this.#want(card);
  }

  /** Show the steps `from` to `to`; null for no bound. */
  zoom(from, to) {
    this.from = from;
    this.to = to;
    for (const card of this.cards.values()) this.#want(card);
  }

  #showMore() {
    this.most += PAGE;
    this.show(this.series);
  }

  #card(entry) {
    let card = this.cards.get(entry.name);
    if (!card) {
      card = new Card(entry, this.zoomed, () => this.#want(card), this.sync);
      this.cards.set(entry.name, card);
      this.seen.observe(card.element);
      card.element.card = card;
    }
    card.update(entry);
    return card;
  }

  #look({ target: { card }, isIntersecting: near }) {
    card.setNear(near);
    this.#want(card);
  }

  #want(card) {
    if (card.near && card.stale(this.from, this.to)) this.waiting.add(card);
    this.#next();
  }

  #next() {
    for (const card of this.waiting) {
      if (this.paused || this.asking >= QUESTIONS_MAX) return;
      this.waiting.delete(card);
      if (card.near) this.#ask(card);
    }
  }

  async #ask(card) {
    const { from, to } = this;
    const asked = { from, to, count: card.entry.count, points: card.points() };
    card.asked = asked;
    this.asking += 1;
    try {
      card.draw(await read(this.address + query({ name: card.entry.name, points: asked.points, from, to })), asked);
    } catch (error) {
      card.asked = null;
      // The requests for the run as a whole show the error, and retry this one.
      if (![Away, Missing, Refused].some((known) => error instanceof known)) throw error;
    } finally {
      this.asking -= 1;
      this.#next();
    }
  }
}
