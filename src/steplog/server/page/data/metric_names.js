// The names of the metrics of a project, as they come.

import { signal } from "../ui.js";
import { api, query } from "./address.js";
import { Missing, Refused, readChanged } from "./api.js";
import { poll } from "./poll.js";

const NAMES_MAX = 10_000;
const EVERY = { least: 4, most: 20 }; // seconds; where nothing is new, an answer is empty

export class MetricNames {
  constructor(here) {
    /** `{name, numeric, others}`: whether a metric has numbers, and whether it has others; null until that is known. */
    this.all = signal(null);
    this.here = here;
  }

  /** Keep the names up to date; returns a function that ends it. */
  follow() {
    const ends = new AbortController();
    let tag = null;
    const ask = async () => {
      const answer = await readChanged(api.columns(this.here) + query({ limit: NAMES_MAX }), tag);
      tag = answer.tag;
      if (answer.body) this.#take(answer.body);
      return { changed: answer.body !== null, ...EVERY };
    };
    poll(ask, { signal: ends.signal }).catch((error) => {
      if (error instanceof Missing) this.all.value ??= [];
      else if (!ends.signal.aborted && !(error instanceof Refused)) throw error;
    });
    return () => ends.abort();
  }

  #take({ metrics, kinds }) {
    this.all.value = metrics.map((name, at) => {
      return { name, numeric: kinds[at] !== "others", others: kinds[at] !== "numbers" };
    });
  }
}
