// A run: summary, status, config, exception, metrics, and the project's other runs.

import { api, query } from "./address.js";
import { Missing, read } from "./api.js";
import { configPanel, exceptionPanel } from "./reserved.js";
import { el, fill } from "./dom.js";
import { lossLines } from "./losses.js";
import { Metrics } from "./metrics.js";
import { poll } from "./poll.js";
import { RunList } from "./runs.js";
import { say, standing, statusChip } from "./top.js";
import { ago, fullDate, many, visible } from "./values.js";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const RESERVED = { "steplog/config": configPanel, "steplog/exception": exceptionPanel };
const ALIVE = { least: 2, most: 15 };
const ENDED = { least: 10, most: 60 }; // a worker may still deliver

export async function showRun(here, main) {
  const view = new RunView(here, main);
  try {
    await Promise.all([poll(() => view.ask(), standing), view.listed.then((list) => poll(() => list(), () => {}))]);
  } catch (error) {
    if (!(error instanceof Missing)) throw error;
    say("This run is not on the server.", "gone");
  }
}

class RunView {
  constructor(here, main) {
    this.here = here;
    this.main = main;
    this.run = null;
    this.before = "";
    this.listed = new Promise((ready) => (this.ready = ready));
  }

  async ask() {
    if (!this.run) this.#build(await find(this.here));
    const [run, series] = await Promise.all([
      read(api.run(this.here, this.run.uuid)),
      read(api.series(this.here, this.run.uuid)),
    ]);
    const now = [run.status, run.date_updated, ...series.map(({ count }) => count)].join();
    const changed = now !== this.before;
    this.before = now;
    this.#describe(run);
    this.#show(run, series); // even if unchanged: a curve may have failed to load
    return { changed, ...(run.status === "RUNNING" ? ALIVE : ENDED) };
  }

  #build(run) {
    this.run = run;
    document.title = `${visible(run.name)} · steplog`;
    this.chip = el("span");
    this.facts = el("p", { class: "muted facts" });
    this.losses = el("section", { class: "losses", "aria-label": "What is missing", hidden: "" });
    this.reserved = el("div");
    this.metrics = new Metrics(this.here, run.uuid);
    const list = new RunList(this.here, run.uuid);
    const beside = el("details", { class: "beside" }, el("summary", {}, "Runs of this project"), list.element);
    const wide = matchMedia("(min-width: 1100px)");
    const fit = () => (beside.open = wide.matches);
    wide.addEventListener("change", fit);
    fit();
    fill(
      this.main,
      el(
        "div",
        { class: "run" },
        el("aside", { "aria-label": "Runs of this project" }, beside),
        el(
          "div",
          { class: "content" },
          el("div", { class: "title" }, el("h1", {}, el("bdi", {}, visible(run.name))), this.chip),
          this.facts,
          this.losses,
          run.description ? el("p", { class: "description" }, visible(run.description, { lines: true })) : null,
          this.reserved,
          this.metrics.element,
        ),
      ),
    );
    this.ready(async () => ({ changed: await list.ask(), least: 5, most: 30 }));
  }

  #describe(run) {
    if (run.status !== this.chip.textContent) fill(this.chip, statusChip(run.status));
    const dated = (word, iso) => el("span", {}, `${word} `, el("time", { datetime: iso, title: fullDate(iso) }, ago(iso)));
    const others = this.run.others ? `the newest of ${many(this.run.others + 1, "run")} at this address` : null;
    const facts = [
      dated("created", run.date_created),
      dated("updated", run.date_updated),
      el("span", {}, "by ", el("bdi", {}, visible(run.user.username))),
      others && el("span", {}, others),
    ];
    const text = facts.map((fact) => fact?.textContent).join();
    if (text !== this.told) fill(this.facts, ...facts);
    this.told = text;
  }

  #show(run, series) {
    const reserved = series.filter(({ name }) => Object.hasOwn(RESERVED, name));
    const seen = JSON.stringify(reserved.map(({ name, count }) => [name, count]));
    if (seen !== this.seen) {
      // The exception comes before the config.
      const panels = reserved.toSorted((a, b) => (a.name < b.name ? 1 : -1)).map(({ name, last }) => RESERVED[name](last));
      fill(this.reserved, ...panels);
    }
    this.seen = seen;
    const metrics = series.filter(({ name }) => !Object.hasOwn(RESERVED, name));
    this.#showLosses(lossLines(run.report, series.reduce((total, { count }) => total + count, 0)));
    this.metrics.show(metrics, run.status === "RUNNING");
  }

  #showLosses(lines) {
    const text = lines.join("\n");
    if (text !== this.missing) fill(this.losses, ...lines.map((line) => el("p", {}, line)));
    this.missing = text;
    this.losses.hidden = !lines.length;
  }
}

/** Find the run by uuid, or by slug, which several may share. */
async function find(here) {
  if (UUID.test(here.run)) {
    try {
      return await read(api.run(here, here.run));
    } catch (error) {
      if (!(error instanceof Missing)) throw error;
    }
  }
  const found = await read(api.runs(here) + query({ slug: here.run }));
  if (!found.length) throw new Missing();
  return { ...found.at(-1), others: found.length - 1 };
}
