// A project: its runs, those of a choice, or its trash.

import { api, query, web } from "./address.js";
import { Missing, read } from "./api.js";
import { el, fill, setText } from "./dom.js";
import { poll } from "./poll.js";
import { RunFilter } from "./run_filter.js";
import { RunList } from "./run_list.js";
import { Runs } from "./runs.js";
import { everySecond } from "./time.js";
import { say, standing } from "./top.js";
import { TrashList } from "./trash.js";
import { many, number, visible } from "./values.js";

export async function showProject(here, main) {
  document.title = `${visible(here.project)} · steplog`;
  const view = new URLSearchParams(location.search).has("trash") ? new TrashList(here) : new ProjectRuns(here);
  let named = false;

  async function ask() {
    if (!named) {
      const project = await read(api.project(here));
      fill(main, el("h1", {}, el("bdi", {}, visible(project.display_name))), view.element);
      named = true;
    }
    return { changed: await view.ask(), least: 3, most: 20 };
  }

  everySecond(() => named && view.tick());
  try {
    await poll(ask, standing);
  } catch (error) {
    if (!(error instanceof Missing)) throw error;
    say("This project is not on the server.", "gone");
  }
}

class ProjectRuns {
  constructor(here) {
    this.runs = new Runs(here);
    this.list = new RunList(here);
    this.filter = new RunFilter(() => this.#draw());
    this.count = el("p", { class: "muted", role: "status" });
    const trash = el("a", { href: web.project(here) + query({ trash: 1 }) }, "Trash");
    const head = el("div", { class: "head" }, el("h2", {}, "Runs"), this.count, trash);
    this.element = el("section", { class: "panel" }, head, this.filter.element, this.list.element);
  }

  async ask() {
    const changed = await this.runs.ask(this.list.shown);
    this.#draw();
    return changed;
  }

  tick() {
    this.list.tick();
  }

  #draw() {
    const { all } = this.runs;
    const found = this.filter.apply(all);
    this.filter.element.hidden = !all.length;
    const some = found.length === all.length ? "" : `${number(found.length)} of `;
    setText(this.count, all.length ? some + many(all.length, "run") : "No run yet.");
    this.list.show(found);
  }
}
