// What is known of a run, under its name: facts in a line, tags, description, notes.

import { query, web } from "./address.js";
import { el, fill, setText } from "./dom.js";
import { lengthOf, resumed, startOf } from "./life.js";
import { ago, fullDate } from "./time.js";
import { cut, many, visible } from "./values.js";

const LABELS = ["Started", "Ended", "Duration", "Last point", "By", "Id", "Group", "Job type", "Resumed", "Address"];

export class Facts {
  constructor(here) {
    this.here = here;
    this.values = Object.fromEntries(LABELS.map((label) => [label, el("dd")]));
    this.line = el("dl", { class: "facts" }, ...LABELS.map((label) => el("div", { hidden: "" }, el("dt", {}, label), this.values[label])));
    this.tags = el("ul", { class: "tags", "aria-label": "Tags", hidden: "" });
    this.description = el("p", { class: "description", hidden: "" });
    this.notes = el("section", { class: "notes", hidden: "" });
    this.element = el("div", { class: "about" }, this.line, this.tags, this.description, this.notes);
  }

  /** `others` is the number of older runs at this address. */
  show(run, others) {
    this.run = run;
    this.tick();
    this.#say("By", run.user.username);
    this.#say("Id", run.id);
    this.#say("Group", run.group, "group");
    this.#say("Job type", run.job_type);
    this.#say("Resumed", resumed(run));
    this.#say("Address", others ? `the newest of ${many(others + 1, "run")} there` : null);
    this.#show(this.tags, run.tags?.length && run.tags, (tags) => tags.map((tag) => el("li", {}, this.#link("tag", tag, "tag"))));
    this.#show(this.description, run.description, (text) => [cut(visible(text, { lines: true }))]);
    this.#show(this.notes, run.notes, (text) => [el("h2", {}, "Notes"), el("p", { tabindex: "0" }, cut(visible(text, { lines: true })))]);
  }

  /** Bring what depends on the time up to date. */
  tick() {
    const { run } = this;
    const running = run.status === "RUNNING";
    this.#date("Started", startOf(run));
    this.#date("Ended", running ? null : run.ended);
    this.#say("Duration", lengthOf(run));
    this.#date("Last point", running ? run.last_point : null, { fine: true });
  }

  #date(label, iso, how) {
    const value = this.values[label];
    value.parentElement.hidden = !iso;
    if (!iso) return;
    let time = value.firstElementChild;
    if (time?.dateTime !== iso) fill(value, (time = el("time", { datetime: iso, title: fullDate(iso) })));
    setText(time, ago(iso, how));
  }

  /** With `filter`, a link to the project's runs of which that is so. */
  #say(label, text, filter = null) {
    const value = this.values[label];
    value.parentElement.hidden = !text;
    if (!text || value.said === text) return;
    fill(value, filter ? this.#link(filter, text) : el("bdi", {}, cut(visible(text))));
    value.said = text;
  }

  #link(filter, text, style = null) {
    return el("a", { class: style, href: web.project(this.here) + query({ [filter]: text }) }, el("bdi", {}, cut(visible(text))));
  }

  #show(element, value, children) {
    const now = JSON.stringify(value || null);
    if (now !== element.said) fill(element, ...(value ? children(value) : []));
    element.said = now;
    element.hidden = !value;
  }
}
