// A list of runs: a row each, a hundred at first.

import { web } from "./address.js";
import { arrange, el, fill, setText } from "./dom.js";
import { datesInFull, lasting, lengthOf, resumed, showStatus, startOf, statusChip } from "./life.js";
import { lossMark } from "./losses.js";
import { ago, since } from "./time.js";
import { cut, visible } from "./values.js";

const IDLE_MS = 120_000; // lists are read too seldom to say less
const PAGE = 100; // runs shown, and added by each "more"

export class RunList {
  /** `current` is the uuid of the run on this page, if any. */
  constructor(here, current = null) {
    this.here = here;
    this.current = current;
    this.runs = [];
    this.most = PAGE;
    this.rows = new Map(); // uuid -> Row
    this.list = el("ul", { class: "runs" });
    this.more = el("button", { class: "more", hidden: "", click: () => this.#showMore() }, "Show more");
    this.element = el("div", {}, this.list, this.more);
  }

  /** The runs on the screen. */
  get shown() {
    return this.runs.slice(0, this.most);
  }

  show(runs) {
    this.runs = runs;
    arrange(this.list, this.shown.map((run) => this.#row(run).element));
    this.more.hidden = runs.length <= this.most;
  }

  /** Bring what depends on the time up to date. */
  tick() {
    for (const { uuid } of this.shown) this.rows.get(uuid).tick();
  }

  #showMore() {
    this.most += PAGE;
    this.show(this.runs);
  }

  #row(run) {
    let row = this.rows.get(run.uuid);
    if (!row) this.rows.set(run.uuid, (row = new Row(web.run(this.here, run.uuid), run.uuid === this.current)));
    row.update(run);
    return row;
  }
}

class Row {
  constructor(href, current) {
    this.status = statusChip();
    this.time = el("time");
    this.length = el("span");
    this.link = el("a", { href, "aria-current": current ? "page" : null });
    this.element = el("li", {}, this.link);
  }

  update(run) {
    this.run = run;
    const { name, description, tags, report } = run;
    const now = JSON.stringify(lasting(run));
    if (now !== this.before) {
      this.time.dateTime = startOf(run);
      this.time.title = datesInFull(run);
      fill(
        this.link,
        el("bdi", { class: "name" }, visible(name)),
        this.status,
        el("span", { class: "when muted" }, this.time, this.length),
        about(run),
        tags?.length ? el("span", { class: "tags" }, ...tags.map(tag)) : null,
        description && el("span", { class: "said muted" }, el("bdi", {}, cut(visible(description.replace(/\s+/g, " "))))),
        lossMark(report),
      );
    }
    this.before = now;
    this.tick();
  }

  tick() {
    showStatus(this.status, this.run);
    setText(this.time, ago(startOf(this.run)));
    const length = lengthOf(this.run);
    const { status, last_point: last } = this.run;
    const idle = status === "RUNNING" && since(last) > IDLE_MS ? ` · last point ${ago(last)}` : "";
    setText(this.length, (length ? ` · ${length}` : "") + idle);
  }
}

const tag = (text) => el("bdi", { class: "tag" }, visible(text));

/** Id, group, job type, and how often it was resumed. */
function about(run) {
  const { id, name, group, job_type: job } = run;
  const times = resumed(run);
  const parts = [id && id !== name && ["id", id], group && ["group", group], job && ["job", job]].filter(Boolean);
  if (!parts.length && !times) return null;
  return el(
    "span",
    { class: "about muted" },
    ...parts.map(([word, text]) => el("span", {}, `${word} `, el("bdi", {}, visible(text)))),
    times && el("span", {}, `resumed ${times}`),
  );
}
