// A project's runs, newest first. The server's list is oldest first and append-only, so an index is stable: all runs are
// read once, then only the newest and those that were running.

import { api, query, web } from "./address.js";
import { read } from "./api.js";
import { el, fill, setText } from "./dom.js";
import { lossMark } from "./losses.js";
import { statusChip } from "./top.js";
import { ago, fullDate, many, visible } from "./values.js";

const PIECE = 1000; // runs a request
const PAGE = 100; // runs shown, and added by each "more"

export class RunList {
  /** `current` is the uuid of the run on this page, if any. */
  constructor(here, current = null) {
    this.here = here;
    this.current = current;
    this.runs = [];
    this.shown = PAGE;
    this.count = el("p", { class: "muted" });
    this.rows = el("ul", { class: "runs" });
    this.more = el("button", { class: "more", hidden: "", click: () => this.#showMore() }, "Show more");
    this.element = el("div", {}, this.count, this.rows, this.more);
  }

  /** Update from the server; returns whether anything changed. */
  async ask() {
    const first = this.#firstOpen();
    const fresh = [];
    for (let piece; piece === undefined || piece.length === PIECE; ) {
      piece = await read(api.runs(this.here) + query({ after: first + fresh.length, limit: PIECE }));
      fresh.push(...piece);
    }
    const changed = !this.drawn || JSON.stringify(fresh) !== JSON.stringify(this.runs.slice(first));
    this.runs.splice(first, this.runs.length - first, ...fresh);
    if (changed) this.#draw();
    else this.#age();
    return changed;
  }

  /** Where to re-read from: the newest hundred, or the oldest shown that is running. */
  #firstOpen() {
    const newest = Math.max(0, this.runs.length - PAGE);
    const shown = Math.max(0, this.runs.length - this.shown);
    const running = this.runs.findIndex((run, at) => at >= shown && run.status === "RUNNING");
    return running === -1 ? newest : Math.min(running, newest);
  }

  #showMore() {
    this.shown += PAGE;
    this.#draw();
  }

  #draw() {
    this.drawn = true;
    const wanted = this.runs.slice(-this.shown).reverse();
    setText(this.count, this.runs.length ? many(this.runs.length, "run") : "No run yet.");
    fill(this.rows, ...wanted.map((run) => this.#row(run)));
    this.more.hidden = this.runs.length <= this.shown;
  }

  #row({ uuid, name, status, date_created: created, user, report }) {
    const here = uuid === this.current;
    return el(
      "li",
      {},
      el(
        "a",
        { href: web.run(this.here, uuid), "aria-current": here ? "page" : null },
        el("bdi", { class: "name" }, visible(name)),
        statusChip(status),
        el("time", { class: "muted", datetime: created, title: `${fullDate(created)} by ${visible(user.username)}` }, ago(created)),
        lossMark(report),
      ),
    );
  }

  #age() {
    for (const time of this.rows.querySelectorAll("time")) setText(time, ago(time.dateTime));
  }
}
