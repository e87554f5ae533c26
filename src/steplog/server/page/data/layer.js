// What was answered to one question about an axis: the curves, which of them are here, and the tokens of the answers,
// by which the server sends what is new. No requests.

import { Grid } from "./grid.js";

const TOKENS_MAX = 32; // of a request
const FEW = 4; // a grid of which the curves fill no more than this part has become too wide

export class Layer {
  constructor(question) {
    this.question = question;
    this.grid = new Grid();
    this.versions = new Map(); // by name: how often its curves have changed
    this.sizes = new Map(); // by name: how many buckets they have
    this.states = new Map(); // by name: Map(uuid → "asked" | "here")
    this.answers = new Map(); // by name, the newest at the end: {names, runs, since, dropped}
    this.gone = new Set(); // runs that the server has not: they may come back
    this.losses = 0; // how often these were others
    this.fitted = null; // the runs for which the grids were found to be narrow enough
  }

  /** Whether a metric's curves of all these runs are here. */
  has(name, runs) {
    const states = this.states.get(name);
    return states !== undefined && runs.every((uuid) => states.get(uuid) === "here");
  }

  /** The runs whose curve of a metric is neither here nor asked for. */
  lacks(name, runs) {
    const states = this.states.get(name);
    return states ? runs.filter((uuid) => !states.has(uuid)) : runs;
  }

  /** Note that curves are "asked" for or, by null, that they have not come. */
  note({ names, runs }, state) {
    for (const name of names) {
      if (!this.states.has(name)) this.states.set(name, new Map());
      const states = this.states.get(name);
      for (const uuid of runs) {
        if (state) states.set(uuid, state);
        else states.delete(uuid);
      }
    }
  }

  /** The answers that a request for these metrics and runs goes on from. */
  before({ names, runs }) {
    const found = new Set();
    for (const name of names) {
      const answers = this.answers.get(name) ?? [];
      const one = answers.findLast((answer) => runs.every((uuid) => answer.runs.has(uuid)));
      for (const answer of one ? [one] : answers) found.add(answer);
    }
    return [...found].filter(({ dropped }) => !names.some((name) => dropped.has(name))).slice(-TOKENS_MAX);
  }

  /** Take the answer to what was `asked`, which goes on from the answers `before`; returns the metrics that changed. */
  take(table, asked, before) {
    const isKnown = (name, uuid) => before.some(({ names, runs }) => names.has(name) && runs.has(uuid));
    const changed = this.grid.take(table, asked, isKnown);
    if (table.about.reset) this.answers.clear();
    this.#lose(asked.runs, new Set(table.about.missing));
    const [names, runs] = [new Set(asked.names), new Set(asked.runs)];
    const answer = { names, runs, since: table.about.since, dropped: new Set() };
    for (const name of names) {
      const older = (this.answers.get(name) ?? []).filter((each) => ![...each.runs].every((uuid) => runs.has(uuid)));
      this.answers.set(name, [...older, answer]);
    }
    this.note(asked, "here");
    for (const name of changed) {
      this.versions.set(name, (this.versions.get(name) ?? 0) + 1);
      this.sizes.set(name, [...this.grid.metrics.get(name).values()].reduce((sum, { count }) => sum + count.length, 0));
    }
    return changed;
  }

  #lose(runs, missing) {
    for (const uuid of runs) {
      if (this.gone.has(uuid) === missing.has(uuid)) continue;
      if (missing.has(uuid)) this.gone.add(uuid);
      else this.gone.delete(uuid);
      this.losses += 1;
    }
  }

  /** Let go of a metric's curves. */
  forget(name) {
    for (const answers of this.answers.values()) for (const answer of answers) answer.dropped.add(name);
    const { versions, sizes, states, answers } = this;
    for (const held of [this.grid.metrics, versions, sizes, states, answers]) held.delete(name);
  }

  curvesOf = (name, runs) => this.grid.curvesOf(name, this.#there(runs));

  /** Whether each bucket of a metric's curves has one point: there is nothing finer. */
  isExact(name, runs) {
    const curves = this.grid.metrics.get(name);
    return this.#there(runs).every((uuid) => curves?.get(uuid)?.single ?? true);
  }

  /** Whether these runs would have finer grids if longer ones had not been there. */
  isTooWide(names, runs) {
    if (this.fitted === runs || !names.every((name) => this.has(name, runs))) return false;
    this.fitted = runs;
    return names.some((name) => this.#isTooWide(name, runs));
  }

  #isTooWide(name, runs) {
    const curves = this.grid.metrics.get(name);
    const ends = { low: Infinity, high: -Infinity, width: 1 };
    for (const uuid of curves ? this.#there(runs) : []) {
      const { bucket, width } = curves.get(uuid) ?? {};
      if (!bucket) continue;
      ends.low = Math.min(ends.low, Number(bucket[0]) * width);
      ends.high = Math.max(ends.high, (Number(bucket[bucket.length - 1]) + 1) * width);
      ends.width = Math.max(ends.width, width);
    }
    return ends.width > 1 && ends.high - ends.low < (ends.width * this.question.buckets) / FEW;
  }

  #there = (runs) => (this.gone.size ? runs.filter((uuid) => !this.gone.has(uuid)) : runs);
}
