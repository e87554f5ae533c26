// The samples of some runs, which are texts, objects and lists: which there are, the list of a metric, those at a step.

import { batch, computed, effect, signal, untracked } from "../ui.js";
import { api, query } from "./address.js";
import { Missing, read, Refused } from "./api.js";
import { preload } from "./arrival.js";
import { briefMedia, isMediaText, pictureIds } from "./media.js";
import { reach } from "./outage.js";
import { Wake, poll } from "./poll.js";
import { SampleCounts } from "./sample_counts.js";
import { SampleList } from "./sample_list.js";
import { json } from "./values.js";

const COLUMNS_MAX = 8; // runs side by side
const LIVE = { least: 2, most: 15 }; // seconds from poll to poll
const ENDED = { least: 15, most: 60 };
const CUT = 20_000; // characters of a value; the rest comes when it is asked for
const AT_ONCE = 100; // samples of one step
const KEPT = 60; // cells
const WHOLE_MAX = 2 ** 20; // bytes of media that are read at once though they are long: a beginning shows nothing
const WHOLES_MAX = 10; // of one step
const EXPECTED = 30; // cells that are read ahead
const UNSUPPORTED = "compat/unsupported"; // counts of calls

export class Samples {
  /** `runs`: signal of the runs that are shown; `names`: signal of `{name, others}[]`, null until that is known. */
  constructor({ here, runs, names, view }) {
    this.here = here;
    this.view = view;
    this.ends = new AbortController();
    this.wake = new Wake();
    /** By metric and run: how many samples there are, and the step of the last one; only what is known. */
    this.counts = signal(new Map());
    /** The metrics that have samples; last what other loggers' calls asked for in vain. */
    this.metrics = computed(() => {
      const found = (names.value ?? []).filter(({ others }) => others).map(({ name }) => name);
      return found.sort((one, other) => (one === UNSUPPORTED) - (other === UNSUPPORTED));
    });
    /** Those that are looked at. */
    this.chosen = computed(() => {
      const chosen = view.samples.value.filter((name) => this.metrics.value.includes(name));
      return chosen.length ? chosen : this.metrics.value.slice(0, 1);
    });
    /** The runs that have one of these, and how many they are in all. */
    this.holders = computed(() => {
      return runs.value.filter(({ uuid }) => this.chosen.value.some((name) => this.count(name, uuid)));
    });
    this.columns = computed(() => this.holders.value.slice(0, COLUMNS_MAX));
    /** The run whose samples are listed. */
    this.listed = computed(() => {
      const able = this.columns.value.filter(({ uuid }) => this.count(this.chosen.value[0], uuid));
      return able.find(({ uuid }) => uuid === view.stepsOf.value) ?? able[0] ?? null;
    });
    this.list = signal(null);
    this.time = signal(null); // of the sample that was chosen in the list: there may be several of its step
    this.cells = new Map(); // by what is asked for, the one used last at the end
    this.expected = new Set(); // what ends waiting for values that may be wanted next
    this.runs = runs;
    this.stops = [effect(() => this.#relist()), effect(() => this.#recount()), effect(() => this.#follow())];
    this.#poll();
  }

  /** Ask for nothing more. */
  end() {
    [...this.stops, ...this.expected].forEach((stop) => stop());
    this.list.peek()?.end();
    this.ends.abort();
  }

  /** Whether it is known which runs have samples of the metrics that are looked at. */
  get isKnown() {
    return this.chosen.value.every((name) => this.counts.value.has(name));
  }

  /** How many samples a run has of a metric, as far as is known. */
  count(name, uuid) {
    return this.counts.value.get(name)?.get(uuid)?.count ?? 0;
  }

  /** Show the sample at a place of the list. Of places that follow quickly, such as a slider's, some are left out. */
  async go(to) {
    const list = this.list.value;
    const isGoing = list.wanted !== undefined;
    list.wanted = Math.max(0, Math.min((list.count.value ?? 1) - 1, to));
    if (isGoing) return;
    try {
      for (let wanted; wanted !== list.wanted; ) {
        wanted = list.wanted;
        const row = await list.reached(wanted);
        if (!row || list !== this.list.peek()) continue;
        batch(() => {
          list.place.value = row.at;
          list.gone.value = row;
          this.#choose(row);
        });
      }
    } finally {
      list.wanted = undefined;
    }
  }

  /** Show the sample so many places on in the list. */
  move(by) {
    return this.go((this.list.value.place.value ?? 0) + by);
  }

  /** Show what there is at a step. */
  show(step) {
    batch(() => {
      this.time.value = null;
      this.view.nth.value = 0;
      this.view.step.value = String(step);
    });
  }

  /** The last samples of a run's metric, whole. */
  latest(uuid, name, count) {
    return this.#history(uuid, { name, last: count });
  }

  /** The path of a file of a run. */
  address(uuid, id) {
    return api.file(this.here, uuid, id);
  }

  /** Have what may be wanted next, where it is media: that of the steps before and after the one that is shown. */
  async lookAround() {
    const list = this.list.value;
    const at = list?.place.value ?? null;
    if (at === null || !isMediaRow(list.row(at))) return;
    const places = [at + 1, at - 1].filter((place) => place >= 0 && place < list.count.value);
    const near = await Promise.all(places.map((place) => list.reached(place)));
    for (const row of near.filter(isMediaRow)) {
      for (const { uuid } of this.columns.value) {
        for (const name of this.chosen.value) this.#expect(uuid, name, String(row.step));
      }
    }
  }

  #expect(uuid, name, step) {
    const cell = this.at(uuid, name, step, 0);
    const stop = effect(() => {
      const row = cell.value?.rows.at(-1);
      if (!row) return;
      pictureIds(row.value).forEach((id) => preload(this.address(uuid, id)));
      queueMicrotask(() => stop());
    });
    this.expected.add(stop);
    if (this.expected.size <= EXPECTED) return;
    const [first] = this.expected;
    this.expected.delete(first);
    first();
  }

  #choose(row) {
    const list = this.list.value;
    let nth = 0;
    while (list.row(row.at - 1 - nth)?.step === row.step && !list.find) nth += 1;
    batch(() => {
      this.time.value = row.time;
      this.view.nth.value = nth;
      this.view.step.value = String(row.step);
    });
  }

  /**
   * A signal of the samples at a step of a run: `{rows, first, exact}`, null until they have come. `rows` are
   * `{step, time, value, bytes}` from the `first` of that step on; if they are not `exact`, the nearest one alone, with
   * `near`, which asks for it.
   */
  at(uuid, name, step, nth) {
    const first = Math.floor(nth / AT_ONCE) * AT_ONCE;
    const key = JSON.stringify([uuid, name, step, first]);
    const { count = 0, last = null } = this.counts.value.get(name)?.get(uuid) ?? {};
    const cell = this.cells.get(key) ?? { found: signal(null), count: -1 };
    this.cells.delete(key);
    this.cells.set(key, cell);
    if (this.cells.size > KEPT) this.cells.delete(this.cells.keys().next().value);
    const isPast = cell.found.peek()?.exact && cell.last !== null && BigInt(cell.last) > BigInt(step);
    if (cell.count !== count && !isPast) {
      Object.assign(cell, { count, last });
      this.#read(cell, uuid, name, step, first);
    }
    return cell.found;
  }

  /** The whole value of a sample, one of those that `at` has found. */
  async whole(uuid, name, found, sample) {
    const { step } = sample;
    const nth = found.first + found.rows.indexOf(sample);
    const which = found.exact ? { from: step, to: step, skip: nth, limit: 1 } : sample.near;
    const [row] = await this.#history(uuid, { name, ...which });
    return row?.value;
  }

  /** All values of a run at a step, texts cut to nothing. */
  numbers(uuid, step) {
    return this.#history(uuid, { from: step, to: step, cut: 1 });
  }

  async #read(cell, uuid, name, step, first) {
    try {
      const exact = await this.#history(uuid, { name, from: step, to: step, skip: first, limit: AT_ONCE, cut: CUT });
      const found = exact.length ? { rows: exact, first, exact: true } : await this.#nearest(uuid, name, step);
      await this.#complete(found, uuid, name);
      cell.found.value = found;
    } catch (error) {
      cell.count = -1;
      if (error instanceof Missing) cell.found.value = { rows: [], first, exact: false };
      else if (!this.ends.signal.aborted && !(error instanceof Refused)) throw error;
    }
  }

  /** Have all of media whose values were cut. */
  async #complete(found, uuid, name) {
    const isWanted = ({ bytes, value }) => bytes <= WHOLE_MAX && isMediaText(value);
    const wholes = found.rows.filter(isWanted).slice(0, WHOLES_MAX).map(async (row) => {
      row.value = await this.whole(uuid, name, found, row);
      row.bytes = undefined;
    });
    await Promise.all(wholes);
  }

  async #nearest(uuid, name, step) {
    const questions = [{ to: step, last: 1 }, { from: step, limit: 1 }];
    const answers = questions.map(async (near) => {
      const rows = await this.#history(uuid, { name, ...near, cut: CUT });
      return rows.map((row) => ({ ...row, near }));
    });
    const near = (await Promise.all(answers)).flat().sort((a, b) => distance(a.step, step) - distance(b.step, step));
    return { rows: near.slice(0, 1), first: 0, exact: false };
  }

  #history(uuid, fields) {
    return reach(() => read(api.history(this.here, uuid) + query(fields)), this.ends.signal);
  }

  /** List the samples of another metric, or run, or those with another text in them. */
  #relist() {
    const [name] = this.chosen.value;
    const uuid = this.listed.value?.uuid;
    const find = this.view.find.value;
    const list = untracked(() => this.list.value);
    if (list && list.name === name && list.uuid === uuid && list.find === find) return;
    list?.end();
    const path = uuid && api.history(this.here, uuid);
    this.list.value = uuid ? new SampleList({ path, uuid, name, find }) : null;
  }

  /** Tell the list how many there are. */
  #recount() {
    const list = this.list.value;
    if (list) list.grow(this.count(list.name, list.uuid));
  }

  /** While no step is chosen, the newest sample is shown. */
  #follow() {
    void this.view.step.value;
    if (untracked(() => this.view.step.value) === null) this.time.value = null;
  }

  #poll() {
    const counts = new SampleCounts(this.here);
    const question = computed(() => json([this.runs.value.map(({ uuid }) => uuid), this.chosen.value]));
    let known = null;
    const asked = async () => {
      const found = await counts.read(...JSON.parse(question.value));
      const now = json([...found].map(([name, of]) => [name, ...of]));
      const changed = now !== known;
      known = now;
      if (changed) this.counts.value = found;
      return { changed, ...(this.runs.value.some(({ status }) => status === "RUNNING") ? LIVE : ENDED) };
    };
    this.stops.push(effect(() => {
      void question.value;
      this.wake.call();
    }));
    poll(asked, { signal: this.ends.signal, wake: this.wake }).catch((error) => {
      if (!this.ends.signal.aborted && !(error instanceof Refused)) throw error;
    });
  }
}

/** Whether a row of the list, whose value may be cut, has media. */
function isMediaRow(row) {
  if (!row || (typeof row.value === "string" && !row.bytes)) return false;
  return briefMedia(row.value) !== null;
}

function distance(step, wanted) {
  const apart = BigInt(step) - BigInt(wanted);
  return Number(apart < 0n ? -apart : apart);
}
