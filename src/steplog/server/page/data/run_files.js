// The files that a run has saved, and the artifacts of a run or of a project, kept up to date.

import { signal } from "../ui.js";
import { api, query } from "./address.js";
import { Missing, read, Refused } from "./api.js";
import { reach } from "./outage.js";
import { poll } from "./poll.js";
import { json } from "./values.js";

const PAGE = 1000;
const FILES_MAX = 10_000; // of a run; more are said to be there
const OFTEN = { least: 4, most: 30 }; // seconds, while files are to come
const SELDOM = { least: 15, most: 60 };

export class RunFiles {
  /** `run`: a signal of the run's JSON. */
  constructor(here, run) {
    this.here = here;
    this.run = run;
    /** `{id, path, size, type, time, present}[]` by path, null until they are known. */
    this.files = signal(null);
    this.isCut = signal(false); // there are more than are read
    this.isKept = signal(true); // whether the server keeps files at all
  }

  /** Keep it up to date, until the returned function is called. */
  follow() {
    return follow(() => this.#ask(), () => (this.isKept.value = this.files.value !== null)); // or the run has gone
  }

  async #ask() {
    const { uuid, files_pending: pending, status } = this.run.peek();
    const found = [];
    for (let after = ""; ; ) {
      const page = await read(api.files(this.here, uuid) + query({ saved: 1, limit: PAGE, after }));
      found.push(...page.filter(({ path }) => path));
      after = page.at(-1)?.id;
      this.isCut.value = found.length >= FILES_MAX;
      if (page.length < PAGE || this.isCut.value) break;
    }
    const latest = [...new Map(found.map((file) => [file.path, file])).values()];
    const changed = differs(this.files, latest.sort(byPath));
    const isComing = pending || latest.some(({ present }) => !present) || (status === "RUNNING" && latest.length);
    return { changed, ...(isComing ? OFTEN : SELDOM) };
  }
}

/** Versions of artifacts, the newest first: of a project, or those that `fields` say, such as `{run: uuid}`. */
export class Artifacts {
  constructor(here, fields = {}) {
    this.address = api.artifacts(here) + query(fields);
    this.all = signal(null);
    this.isKept = signal(true);
  }

  /** Keep it up to date, until the returned function is called. */
  follow() {
    return follow(() => this.#ask(), () => (this.isKept.value = false));
  }

  async #ask() {
    const found = await read(this.address);
    const changed = differs(this.all, found);
    return { changed, ...(found.some(({ count, present }) => present < count) ? OFTEN : SELDOM) };
  }
}

/** A version with its files, `{path, size, present}`. */
export const artifactAt = (here, { name, version }, signal) =>
  reach(() => read(api.artifact(here, name, `v${version}`)), signal);

/** Files by their folders: `{name, path, folders, files, count, size}`, the outermost one's name and path are "". */
export function treeOf(files) {
  const root = folder("", "");
  for (const file of files) {
    let at = root;
    add(at, file);
    const names = file.path.split("/");
    for (const name of names.slice(0, -1)) {
      if (!at.inside.has(name)) at.inside.set(name, folder(name, at.path ? `${at.path}/${name}` : name));
      at = at.inside.get(name);
      add(at, file);
    }
    at.files.push({ ...file, name: names.at(-1) });
  }
  return closed(root);
}

const folder = (name, path) => ({ name, path, inside: new Map(), files: [], count: 0, size: 0 });

function add(at, { size }) {
  at.count += 1;
  at.size += size;
}

function closed({ inside, ...rest }) {
  return { ...rest, folders: [...inside.values()].map(closed) };
}

function follow(ask, missing) {
  const ends = new AbortController();
  poll(ask, { signal: ends.signal }).catch((error) => {
    if (error instanceof Missing) missing();
    else if (!ends.signal.aborted && !(error instanceof Refused)) throw error;
  });
  return () => ends.abort();
}

function differs(known, found) {
  const changed = json(found) !== json(known.peek());
  if (changed) known.value = found;
  return changed;
}

const byPath = ({ path: one }, { path: other }) => (one < other ? -1 : one > other ? 1 : 0);
