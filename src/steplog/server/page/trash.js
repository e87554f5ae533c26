// A project's trash: its deleted runs, and how they are restored.

import { api, query, web } from "./address.js";
import { read } from "./api.js";
import { el, fill, setText } from "./dom.js";
import { showStatus, statusChip } from "./life.js";
import { ago, fullDate } from "./time.js";
import { many, visible } from "./values.js";

const NOTE = "A deleted run stays here for a day, and then goes for good. This page cannot restore it; type the command on a machine with the key.";

/** The runs in the trash; with `slug` those whose name has it. */
export const readTrash = (here, slug = null) => read(api.runs(here) + query({ trash: 1, brief: 1, slug }));

/** The command that restores a run, for a shell; by its uuid where the name is not plain, or another in the trash has it. */
export function restoring({ name, uuid }, trash) {
  const plain = /^[\w.][\w.-]*$/.test(name) && trash.every((other) => other.uuid === uuid || other.name !== name);
  return `steplog restore ${plain ? name : uuid}`;
}

export class TrashList {
  constructor(here) {
    this.here = here;
    this.count = el("p", { class: "muted", role: "status" });
    this.list = el("ul", { class: "links trash" });
    const head = el("div", { class: "head" }, el("h2", {}, "Trash"), this.count, el("a", { href: web.project(here) }, "Runs"));
    this.element = el("section", { class: "panel" }, head, el("p", { class: "muted" }, NOTE), this.list);
  }

  async ask() {
    const runs = await readTrash(this.here);
    const now = JSON.stringify(runs);
    const changed = now !== this.before;
    if (changed) {
      setText(this.count, runs.length ? many(runs.length, "run") : "Nothing is in it.");
      fill(this.list, ...runs.toSorted((a, b) => (a.deleted < b.deleted ? 1 : -1)).map((run) => row(run, runs)));
    }
    this.before = now;
    return changed;
  }

  tick() {
    for (const time of this.list.querySelectorAll("time")) setText(time, `deleted ${ago(time.dateTime)}`);
  }
}

function row(run, trash) {
  const chip = statusChip();
  showStatus(chip, { ...run, seen: run.deleted });
  const time = el("time", { class: "muted", datetime: run.deleted, title: fullDate(run.deleted) }, `deleted ${ago(run.deleted)}`);
  return el("li", {}, el("bdi", { class: "name" }, visible(run.name)), chip, time, el("code", {}, restoring(run, trash)));
}
