// The runs of a project that are in its trash.

import { computed, signal } from "../ui.js";
import { api, query } from "./address.js";
import { Missing, read } from "./api.js";
import { Wake, poll } from "./poll.js";

const OFTEN = { least: 5, most: 60 };

export class Deleted {
  constructor(here) {
    this.here = here;
    this.all = signal(null);
    this.hidden = signal(new Set());
    /** The last deleted first; null until they are known. */
    this.runs = computed(() => this.all.value?.filter(({ uuid }) => !this.hidden.value.has(uuid)) ?? null);
    this.ends = new AbortController();
    this.how = { signal: this.ends.signal, wake: new Wake() };
  }

  /** Keep it up to date, until the returned function is called. */
  follow() {
    poll(() => this.#ask(), this.how).catch((error) => {
      if (error instanceof Missing) this.all.value = [];
      else if (!this.ends.signal.aborted) throw error;
    });
    return () => this.ends.abort();
  }

  /** Leave a run out while it is being restored. */
  hide(uuid, isHidden) {
    const hidden = new Set(this.hidden.value);
    if (isHidden) hidden.add(uuid);
    else hidden.delete(uuid);
    this.hidden.value = hidden;
    if (!isHidden) this.how.wake.call();
  }

  /** Take a run away that is not in it any more. */
  drop(uuid) {
    this.all.value = this.all.value.filter((run) => run.uuid !== uuid);
  }

  async #ask() {
    const found = await read(api.runs(this.here) + query({ trash: 1, brief: 1 }));
    found.sort((one, other) => Date.parse(other.deleted) - Date.parse(one.deleted));
    const changed = JSON.stringify(found) !== JSON.stringify(this.all.value);
    if (changed) this.all.value = found;
    return { changed, ...OFTEN };
  }
}
