// How many samples runs have of some metrics, kept up to date by asking for what has changed.

import { api } from "./address.js";
import { ask } from "./api.js";

const RUNS_MAX = 200; // of a question; more are not shown side by side

export class SampleCounts {
  constructor(here) {
    this.path = api.curves(here);
    this.since = undefined;
    this.buckets = new Map(); // by metric and run: buckets by their place, of which a curve has two at most
  }

  /** By metric and run `{count, last}`, with the step of the last sample; every name that was asked for is there. */
  async read(runs, names) {
    const asked = { runs: runs.slice(0, RUNS_MAX), names, buckets: 2, since: this.since };
    if (runs.length && names.length) {
      const answer = await ask("POST", this.path, asked);
      this.#take(answer);
      this.since = answer.since;
    }
    const counted = (name) => new Map([...this.#of(name)].map(([uuid, held]) => [uuid, total(held)]));
    return new Map(names.map((name) => [name, counted(name)]));
  }

  #take({ reset, missing, whole, series, runs, names, buckets }) {
    if (reset) this.buckets.clear();
    for (const of of this.buckets.values()) missing.forEach((uuid) => of.delete(uuid));
    const held = series.map(([run, name]) => {
      const of = this.#of(names[name]);
      if (!of.has(runs[run])) of.set(runs[run], new Map());
      return of.get(runs[run]);
    });
    whole.forEach((at) => held[at].clear());
    for (const { series: at, bucket, count, step } of buckets) held[at].set(bucket, { count, step });
  }

  #of(name) {
    if (!this.buckets.has(name)) this.buckets.set(name, new Map());
    return this.buckets.get(name);
  }
}

function total(held) {
  const all = [...held].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, bucket]) => bucket);
  return { count: Math.round(all.reduce((sum, { count }) => sum + count, 0)), last: all.at(-1)?.step ?? null };
}
