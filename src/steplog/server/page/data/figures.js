// The figures of all metrics of some runs: of each metric its last, least and greatest value, and how many there are.

import { effect, signal } from "../ui.js";
import { api } from "./address.js";
import { Missing, Refused, readChanged } from "./api.js";
import { Wake, poll } from "./poll.js";

export const RUNS_MAX = 20; // whose figures are read
const LIVE = { least: 4, most: 20 };
const ENDED = { least: 20, most: 60 };

export class Figures {
  /** `runs` is a signal of runs, `{uuid, status}`. */
  constructor(here, runs) {
    this.here = here;
    this.runs = runs;
    /** By uuid a Map of name → `{last, min, max, count, first_step, max_step}`. */
    this.byRun = signal(new Map());
    this.tags = new Map(); // of the answers, by uuid
  }

  /** Keep them up to date; returns a function that ends it. */
  follow() {
    const ends = new AbortController();
    const wake = new Wake();
    const shown = () => this.runs.value.slice(0, RUNS_MAX);
    const stop = effect(() => void (shown().length && wake.call()));
    const ask = async () => {
      const asked = shown().filter(({ uuid, status }) => status === "RUNNING" || !this.byRun.value.has(uuid));
      const changes = await Promise.all(asked.map(({ uuid }) => this.#read(uuid)));
      const live = shown().some(({ status }) => status === "RUNNING");
      return { changed: changes.some(Boolean), ...(live ? LIVE : ENDED) };
    };
    poll(ask, { wake, signal: ends.signal }).catch((error) => {
      if (!ends.signal.aborted && !(error instanceof Refused)) throw error;
    });
    return () => {
      stop();
      ends.abort();
    };
  }

  /** Read the figures of a run; returns whether they have changed. */
  async #read(uuid) {
    let answer;
    try {
      answer = await readChanged(api.series(this.here, uuid), this.tags.get(uuid));
    } catch (error) {
      if (!(error instanceof Missing)) throw error;
      answer = { tag: null, body: [] };
    }
    if (!answer.body) return false;
    this.tags.set(uuid, answer.tag);
    const found = new Map(answer.body.map(({ name, ...figures }) => [name, figures]));
    this.byRun.value = new Map(this.byRun.value).set(uuid, found);
    return true;
  }
}
