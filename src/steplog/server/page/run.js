// A run: what is known of it, exception, config, provenance, metrics, and the project's other runs; or that it is deleted.

import { api, query, web } from "./address.js";
import { Missing, read } from "./api.js";
import { el, fill, setText } from "./dom.js";
import { Facts } from "./facts.js";
import { isCause, lasting, showStatus, statusChip } from "./life.js";
import { lossLines } from "./losses.js";
import { Metrics, isReserved, isSystem } from "./metrics.js";
import { poll } from "./poll.js";
import { configPanel, exceptionPanel, provenancePanel } from "./reserved.js";
import { newestFirst } from "./run_filter.js";
import { RunList } from "./run_list.js";
import { Runs } from "./runs.js";
import { everySecond } from "./time.js";
import { say, standing } from "./top.js";
import { readTrash, restoring } from "./trash.js";
import { json, many, visible } from "./values.js";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const ALIVE = { least: 2, most: 15 };
const ENDED = { least: 10, most: 60 }; // a worker may still deliver
const TRASHED = { least: 20, most: 120 };
const ELSEWHERE = "It may have another name now, or be deleted.";

export async function showRun(here, main) {
  const beside = new OtherRuns(here);
  const view = new RunView(here, main, beside);
  everySecond(() => view.tick());
  await Promise.all([follow(here, main, view, beside), view.built.then(() => beside.follow())]);
}

/** Show the run until it is gone for good. */
async function follow(here, main, view, beside) {
  for (;;) {
    try {
      await poll(() => view.ask(), standing);
    } catch (error) {
      if (!(error instanceof Missing)) throw error;
      view.pause();
      if (await waitInTrash(here, view.run)) continue; // it is restored, or gone for good: its address tells
      if (view.run) return say("This run was deleted.", "gone");
      say("This run is not on the server.", "gone");
      const name = el("h1", {}, el("bdi", {}, visible(here.run)));
      fill(main, name, el("section", { class: "panel" }, el("h2", {}, "Runs of this project"), el("p", { class: "muted" }, ELSEWHERE), beside.element));
      return beside.follow();
    }
  }
}

/** Say that a run is in the trash for as long as it is; returns whether it ever was. */
async function waitInTrash(here, run) {
  let words = "";
  const ask = async () => {
    const wanted = run?.uuid ?? here.run;
    const trash = await readTrash(here);
    const known = trash.find(({ uuid, id }) => uuid === wanted || (id && id === wanted));
    const trashed = known ?? (run ? undefined : (await readTrash(here, wanted)).at(-1));
    if (!trashed) throw new Missing();
    words = `This run was moved to the trash, and stays there for a day. To restore it, type: ${restoring(trashed, trash)}`;
    return { changed: false, ...TRASHED };
  };
  try {
    await poll(ask, (away_s) => (away_s ? standing(away_s) : say(words, "gone")));
  } catch (error) {
    if (!(error instanceof Missing)) throw error;
  }
  return words !== "";
}

class RunView {
  /** `beside` lists the other runs; `built` resolves once the run was found. */
  constructor(here, main, beside) {
    this.here = here;
    this.main = main;
    this.beside = beside;
    this.run = null;
    this.before = "";
    this.built = new Promise((ready) => (this.ready = ready));
  }

  async ask() {
    if (!this.run) this.#build(await find(this.here));
    const address = api.run(this.here, this.run.uuid);
    const [brief, series] = await Promise.all([read(address + query({ brief: 1 })), read(api.series(this.here, this.run.uuid))]);
    const run = { ...brief, ...(await this.#large(address, brief, series)) };
    const now = JSON.stringify([lasting(brief), series.map(({ count }) => count)]);
    const changed = now !== this.before;
    this.before = now;
    this.#show(run, series); // even if unchanged: a curve may have failed to load
    return { changed, ...(run.status === "RUNNING" ? ALIVE : ENDED) };
  }

  tick() {
    this.beside.tick();
    if (!this.facts?.run) return;
    showStatus(this.chip, this.facts.run);
    this.facts.tick();
  }

  /** Request no curves until the next response. */
  pause() {
    this.metrics?.pause(true);
  }

  /** What may be large, read again only after it may have changed, as it may have since the run was found. */
  async #large(address, { date_updated: updated }, series) {
    const now = JSON.stringify([updated, series.filter(({ name }) => isReserved(name)).map(({ count }) => count)]);
    if (now === this.read) return this.large;
    const first = this.read === undefined;
    const { config, config_omitted, provenance } = first ? this.run : await read(address);
    const large = { config, config_omitted, provenance };
    if (json(large) !== json(this.large ?? null)) this.large = large;
    this.read = first ? null : now;
    return this.large;
  }

  #build(run) {
    this.run = run;
    this.name = el("bdi");
    this.chip = statusChip();
    this.facts = new Facts(this.here);
    this.losses = el("section", { class: "losses", "aria-label": "What is missing", hidden: "" });
    this.panels = Object.fromEntries(["exception", "config", "provenance"].map((kind) => [kind, el("div")]));
    this.metrics = new Metrics(this.here, run.uuid);
    const title = el("div", { class: "title" }, el("h1", {}, this.name), this.chip);
    const panels = el("div", { class: "panels" }, ...Object.values(this.panels));
    const content = el("div", { class: "content" }, title, this.facts.element, this.losses, panels, this.metrics.element);
    fill(this.main, el("div", { class: "run" }, this.beside.aside(run.uuid), content));
    this.#call(run.name);
    this.ready();
  }

  #show(run, series) {
    this.#call(run.name);
    this.facts.show(run, this.run.others);
    showStatus(this.chip, run);
    const exception = series.find(({ name, last_time: date }) => name === "steplog/exception" && isCause(run, date));
    this.#panel("exception", exception?.count ?? null, () => exceptionPanel(exception.last));
    const { config, config_omitted: omitted, provenance } = run;
    this.#panel("config", Object.keys(config).length ? this.large : null, () => configPanel(config, omitted));
    this.#panel("provenance", Object.keys(provenance ?? {}).length ? this.large : null, () => provenancePanel(provenance));
    const counted = series.filter(({ name }) => !isSystem(name)); // system metrics are not the caller's
    this.#showLosses(lossLines(run.report, counted.reduce((total, { count }) => total + count, 0)));
    this.metrics.pause(false);
    this.metrics.show(series.filter(({ name }) => !isReserved(name)), run.status === "RUNNING");
  }

  /** Show its name. An address with the slug of an earlier one leads nowhere any more, so it becomes that of the uuid. */
  #call(name) {
    if (name === this.called) return;
    if (this.called !== undefined && !UUID.test(this.here.run)) {
      history.replaceState(null, "", web.run(this.here, this.run.uuid) + location.search);
    }
    this.called = name;
    document.title = `${visible(name)} · steplog`;
    setText(this.name, visible(name));
  }

  /** Show a panel, made anew if its version is another one; null for none. */
  #panel(kind, version, made) {
    const place = this.panels[kind];
    if (version === place.version) return;
    place.version = version;
    const before = place.firstElementChild;
    fill(place, version === null ? null : made());
    if (before && place.firstElementChild) place.firstElementChild.open = before.open;
  }

  #showLosses(lines) {
    const text = lines.join("\n");
    if (text !== this.missing) fill(this.losses, ...lines.map((line) => el("p", {}, line)));
    this.missing = text;
    this.losses.hidden = !lines.length;
  }
}

/** The runs of the project, beside the one that is shown. */
class OtherRuns {
  constructor(here) {
    this.here = here;
    this.runs = new Runs(here);
    this.count = el("p", { class: "muted" });
    this.element = el("div", {}, this.count);
  }

  /** The list in the margin, with the run of this page marked. */
  aside(uuid) {
    this.#list(uuid);
    const details = el("details", { class: "beside" }, el("summary", {}, el("h2", {}, "Runs of this project")), this.element);
    const wide = matchMedia("(min-width: 1100px)");
    const fit = () => (details.open = wide.matches);
    wide.addEventListener("change", fit);
    fit();
    return el("aside", { "aria-label": "Runs of this project" }, details);
  }

  /** Keep it up to date while the project exists. */
  async follow() {
    if (!this.list) this.#list(null);
    try {
      await poll(() => this.#ask(), () => {});
    } catch (error) {
      if (!(error instanceof Missing)) throw error;
    }
  }

  tick() {
    this.list?.tick();
  }

  #list(uuid) {
    this.list = new RunList(this.here, uuid);
    this.element.append(this.list.element);
  }

  async #ask() {
    const changed = await this.runs.ask(this.list.shown);
    const { all } = this.runs;
    setText(this.count, all.length ? many(all.length, "run") : "No run yet.");
    this.list.show(newestFirst(all));
    return { changed, least: 5, most: 30 };
  }
}

/** Find the run by uuid, by slug, which several may share, or by its caller's id. */
async function find(here) {
  if (UUID.test(here.run)) {
    try {
      return await read(api.run(here, here.run));
    } catch (error) {
      if (!(error instanceof Missing)) throw error;
    }
  }
  const found = await read(api.runs(here) + query({ slug: here.run }));
  if (found.length) return { ...found.at(-1), others: found.length - 1 };
  const named = (await read(api.runs(here) + query({ brief: 1 }))).find(({ id }) => id === here.run);
  if (!named) throw new Missing();
  return read(api.run(here, named.uuid));
}
