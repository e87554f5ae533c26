// The projects of all namespaces, kept up to date.

import { signal } from "../ui.js";
import { api } from "./address.js";
import { Missing, read } from "./api.js";
import { poll } from "./poll.js";

const OFTEN = { least: 5, most: 60 };
const AT_ONCE = 4;

export class Projects {
  constructor() {
    /** `{namespace, slug, display_name, runs, running, seen}`, the last active first; null until they are known. */
    this.all = signal(null);
    this.ends = new AbortController();
  }

  /** Keep them up to date, until the returned function is called. */
  follow() {
    poll(() => this.#ask(), { signal: this.ends.signal }).catch((error) => {
      if (!this.ends.signal.aborted) throw error;
    });
    return () => this.ends.abort();
  }

  async #ask() {
    const waiting = (await read(api.namespaces())).map(({ slug }) => slug);
    const found = [];
    const some = async () => {
      while (waiting.length) found.push(...(await projectsOf(waiting.shift())));
    };
    await Promise.all(Array.from({ length: AT_ONCE }, some));
    found.sort((one, other) => activity(other) - activity(one) || one.slug.localeCompare(other.slug));
    const changed = JSON.stringify(found) !== JSON.stringify(this.all.value);
    if (changed) this.all.value = found;
    return { changed, ...OFTEN };
  }
}

/** When something last happened in a project, in ms since the epoch. */
export const activity = ({ seen, date_created: created }) => Date.parse(seen ?? created);

async function projectsOf(namespace) {
  try {
    return (await read(api.projects(namespace))).map((project) => ({ namespace, ...project }));
  } catch (error) {
    if (error instanceof Missing) return [];
    throw error;
  }
}
