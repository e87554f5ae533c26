// Reading a project's runs. The server lists them oldest first, so an index is stable until a run is deleted, restored or
// moved: all are read once, then the newest, and from the oldest that is shown and alive. Each piece begins with the run
// before it; if that is another one, all are read anew.

import { api, query } from "./address.js";
import { read } from "./api.js";
import { lasting, unheard } from "./life.js";

const PIECE = 1000; // runs a request
const NEWEST = 100; // are always read again
const ATTEMPTS = 3;

export class Runs {
  constructor(here) {
    this.address = api.runs(here);
    this.all = [];
  }

  /** Update from the server; `shown` are runs on the screen. Returns whether anything changed but what only says "alive". */
  async ask(shown) {
    const before = this.all;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const first = attempt ? 0 : this.#firstOpen(shown);
      const fresh = await this.#from(first);
      if (!fresh) continue;
      this.all = [...before.slice(0, first), ...fresh];
      const changed = !this.read || text(fresh) !== text(before.slice(first));
      this.read = true;
      return changed;
    }
    return true; // runs come and go faster than they can be read: soon again
  }

  /** All runs from an index on; null where the list before it is not the one that is known. */
  async #from(first) {
    const fresh = [];
    for (;;) {
      const last = fresh.at(-1) ?? this.all[first - 1];
      const overlap = last ? 1 : 0;
      const piece = await read(this.address + query({ after: first + fresh.length - overlap, limit: PIECE, brief: 1 }));
      if (last && piece[0]?.uuid !== last.uuid) return null;
      fresh.push(...piece.slice(overlap));
      if (piece.length < PIECE) return fresh;
    }
  }

  #firstOpen(shown) {
    const newest = Math.max(0, this.all.length - NEWEST);
    const alive = new Set(shown.filter((run) => run.status === "RUNNING" && unheard(run) === null).map(({ uuid }) => uuid));
    const first = alive.size ? this.all.findIndex(({ uuid }) => alive.has(uuid)) : -1;
    return first === -1 ? newest : Math.min(first, newest);
  }
}

const text = (runs) => JSON.stringify(runs.map(lasting));
