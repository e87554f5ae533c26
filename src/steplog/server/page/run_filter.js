// Which runs of a project are listed, and in which order: by words, tag, status, group. The choice is in the URL.

import { el, fill } from "./dom.js";
import { startOf } from "./life.js";
import { visible } from "./values.js";

const TYPING_MS = 120;
const ORDERS = { newest: "Newest first", oldest: "Oldest first" };
const STATUSES = ["RUNNING", "COMPLETED", "CRASHED", "FAILED"];

export class RunFilter {
  /** Calls `chosen` when the choice changes. */
  constructor(chosen) {
    this.chosen = chosen;
    const asked = new URLSearchParams(location.search);
    this.words = el("input", { type: "search", "aria-label": "Filter the runs by words", placeholder: "Name, id, tag, notes …" });
    this.words.value = asked.get("text") ?? "";
    this.selects = {
      status: this.#select("Status", asked.get("status")),
      tag: this.#select("Tag", asked.get("tag")),
      group: this.#select("Group", asked.get("group")),
    };
    this.order = el("select", { "aria-label": "Order, by start", change: () => this.#change() });
    fill(this.order, ...Object.entries(ORDERS).map(([value, text]) => el("option", { value }, text)));
    this.order.value = Object.hasOwn(ORDERS, asked.get("sort") ?? "") ? asked.get("sort") : "newest";
    this.clear = el("button", { type: "button", click: () => this.#clear() }, "All runs");
    const parts = [this.words, ...Object.values(this.selects), this.order, this.clear];
    this.element = el("div", { class: "choice", role: "search", "aria-label": "Runs" }, ...parts);
    let typing = null;
    this.words.addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(() => this.#change(), TYPING_MS);
    });
  }

  /** The runs that were chosen, in order. */
  apply(runs) {
    this.#offer("status", STATUSES.filter((status) => runs.some((run) => run.status === status)));
    this.#offer("tag", among(runs.flatMap(({ tags }) => tags ?? [])));
    this.#offer("group", among(runs.map(({ group }) => group)));
    const { status, tag, group } = this.#chosen();
    const words = this.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    this.clear.hidden = !(status || tag || group || words.length);
    const found = runs.filter(
      (run) =>
        (!status || run.status === status) &&
        (!tag || run.tags?.includes(tag)) &&
        (!group || run.group === group) &&
        (!words.length || has(run, words)),
    );
    const newest = newestFirst(found);
    return this.order.value === "oldest" ? newest.reverse() : newest;
  }

  #chosen() {
    return Object.fromEntries(Object.entries(this.selects).map(([name, select]) => [name, wanted(select)]));
  }

  #select(label, value) {
    const select = el("select", { "aria-label": label, change: () => this.#change() });
    select.wanted = value ?? "";
    select.all = `Any ${label.toLowerCase()}`;
    return select;
  }

  /** Fill a select with values; what was chosen stays, even if no run has it any more. */
  #offer(name, values) {
    const select = this.selects[name];
    const chosen = wanted(select);
    const offered = chosen && !values.includes(chosen) ? [chosen, ...values] : values;
    const now = JSON.stringify(offered);
    if (now !== select.offered) {
      const options = offered.map((value) => el("option", { value }, visible(value)));
      fill(select, el("option", { value: "" }, select.all), ...options);
      select.value = chosen;
    }
    select.offered = now;
    select.wanted = undefined;
    select.hidden = !offered.length;
  }

  #clear() {
    this.words.value = "";
    for (const select of Object.values(this.selects)) select.value = select.wanted = "";
    this.words.focus();
    this.#change();
  }

  #change() {
    const chosen = { text: this.words.value, ...this.#chosen() };
    const kept = new URLSearchParams(Object.entries(chosen).filter(([, value]) => value));
    if (this.order.value !== "newest") kept.set("sort", this.order.value);
    history.replaceState(null, "", location.pathname + (kept.size ? `?${kept}` : ""));
    this.chosen();
  }
}

/** Runs by start, the latest first. */
export function newestFirst(runs) {
  const dated = runs.map((run, at) => [Date.parse(startOf(run)), at, run]);
  return dated.sort(([a, i], [b, j]) => b - a || j - i).map(([, , run]) => run);
}

/** What is selected, or is to be once it is offered. */
const wanted = (select) => select.wanted ?? select.value;

/** Whether each word is in one of a run's texts. */
function has({ name, id, description, notes, group, job_type: job, tags, user }, words) {
  const texts = [name, id, description, notes, group, job, ...(tags ?? []), user.username].filter(Boolean);
  const text = texts.map((each) => `${each}\n${visible(each)}`).join("\n").toLowerCase();
  return words.every((word) => text.includes(word));
}

const among = (values) => [...new Set(values.filter(Boolean))].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
