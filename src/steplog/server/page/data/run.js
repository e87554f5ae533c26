// A run that is open: what the server says of it, through a new name, the trash, a restoration, its end.

import { coloursOf } from "../charts/palette.js";
import { batch, computed, signal } from "../ui.js";
import { api, query } from "./address.js";
import { Missing, read, readChanged, Refused } from "./api.js";
import { lasting, startOf } from "./life.js";
import { Wake, poll } from "./poll.js";
import { now } from "./time.js";
import { json, numeric } from "./values.js";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const ALIVE = { least: 2, most: 60 };
const ENDED = { least: 10, most: 60 }; // a worker may still deliver
// While a run goes on, the list of its metrics is asked for the more rarely the more there are.
const SERIES_MS = 10_000;
const EACH_MS = 20;
const TRASHED = { least: 20, most: 120 };

/** Metrics that steplog itself writes: config, exception and the like. They are no curves. */
export const isReserved = (name) => name.startsWith("steplog/");

/** Metrics of the machine. */
export const isSystem = (name) => name.startsWith("system/");

/** Whether a part of an address can only be a uuid. */
export const isUuid = (text) => UUID.test(text);

export class OpenRun {
  constructor(here) {
    this.here = here;
    this.run = signal(null); // without config and provenance
    this.large = signal({ config: {}, config_omitted: 0, provenance: null });
    this.series = signal([]); // of all metrics, once there is a run
    /** "sought", "there", "trashed", "deleted" or "missing". What was shown stays. */
    this.fate = signal("sought");
    this.trashed = signal(null); // the run as the trash has it
    this.older = signal(0); // how many older runs the address leads to as well
    /** The caller's metrics, `{name, numeric, others}`; the same list until one comes. Null until they are known. */
    this.names = kept(() => this.run.value && this.series.value.filter(({ name }) => !isReserved(name)).map(named));
    this.ends = new AbortController();
    this.how = { signal: this.ends.signal, wake: new Wake() };
  }

  /** Keep it up to date, until it is gone or the returned function is called. */
  follow() {
    this.#follow().catch((error) => {
      if (!this.ends.signal.aborted && !(error instanceof Refused)) throw error;
    });
    return () => this.ends.abort();
  }

  /** Ask at once, or once more where that is being asked: something was changed here. */
  refresh = () => {
    this.how.wake.call();
  };

  async #follow() {
    for (;;) {
      try {
        await poll(() => this.#ask(), this.how);
      } catch (error) {
        if (!(error instanceof Missing)) throw error;
        this.found = null;
        if (await this.#waitInTrash()) continue; // it is restored, or gone for good: its address tells
        this.fate.value = this.run.value ? "deleted" : "missing";
        return;
      }
    }
  }

  async #ask() {
    if (!this.found) return this.#begin();
    const address = api.run(this.here, this.found.uuid);
    const before = this.run.value;
    const brief = await this.#readKnown(address + query({ brief: 1 }));
    const wait_ms = this.series.value.length && Math.max(SERIES_MS, this.series.value.length * EACH_MS);
    const goesOn = brief.status === "RUNNING" && before.status === "RUNNING";
    const series = !goesOn || now() - this.seriesRead >= wait_ms ? await this.#readSeries() : this.series.value;
    await this.#readLarge(address, brief, series);
    return this.#take(brief, series);
  }

  /** Find it, or find it again. */
  async #begin() {
    this.known = new Map();
    const wanted = this.#wanted();
    const early = isUuid(wanted) ? this.#readSeries(wanted) : null; // at once: there is nothing to find out first
    early?.catch(() => null); // of a run that is not there
    const found = await this.#find(wanted);
    const { config, config_omitted: omitted = 0, provenance, ...brief } = found;
    const series = await (wanted === found.uuid ? early : this.#readSeries(found.uuid));
    this.found = found;
    this.readAt = null; // once more after it is shown: it may have changed since it was found
    batch(() => {
      this.#takeLarge({ config, config_omitted: omitted, provenance });
      this.#take(brief, series);
    });
    return { changed: true, ...(brief.status === "RUNNING" ? ALIVE : ENDED) };
  }

  #take(brief, series) {
    const before = this.run.value;
    const changed = series !== this.series.value || alive(brief) !== alive(before);
    batch(() => {
      this.run.value = brief;
      this.series.value = series;
      this.fate.value = "there";
    });
    return { changed, ...(brief.status === "RUNNING" ? ALIVE : ENDED) };
  }

  #readSeries(uuid = this.found.uuid) {
    this.seriesRead = now();
    return this.#readKnown(api.series(this.here, uuid));
  }

  /** What is at an address, the same object for as long as that has not changed. */
  async #readKnown(address) {
    const before = this.known.get(address);
    const { tag, body } = await readChanged(address, before?.tag);
    const known = { tag, body: body ?? before.body };
    this.known.set(address, known);
    return known.body;
  }

  /** What may be large, read again only after it may have changed, as it may have since the run was found. */
  async #readLarge(address, { date_updated: updated }, series) {
    const state = JSON.stringify([updated, series.filter(({ name }) => isReserved(name)).map(({ count }) => count)]);
    if (state === this.readAt) return;
    const { config, config_omitted: omitted = 0, provenance } = await read(address);
    this.#takeLarge({ config, config_omitted: omitted, provenance });
    this.readAt = state;
  }

  #takeLarge(large) {
    if (json(large) !== json(this.large.value)) this.large.value = large;
  }

  /** Find the run by uuid, by slug, which several may share, or by its caller's id. */
  async #find(wanted) {
    if (isUuid(wanted)) {
      try {
        return await read(api.run(this.here, wanted));
      } catch (error) {
        if (!(error instanceof Missing) || this.run.value) throw error;
      }
    }
    const found = await read(api.runs(this.here) + query({ slug: wanted }));
    this.older.value = Math.max(0, found.length - 1);
    if (found.length) return found.at(-1);
    const named = (await read(api.runs(this.here) + query({ brief: 1 }))).find(({ id }) => id === wanted);
    if (!named) throw new Missing();
    return read(api.run(this.here, named.uuid));
  }

  /** Wait for as long as the run is in the trash; returns whether it ever was. */
  async #waitInTrash() {
    let was = false;
    const wanted = this.#wanted();
    const ask = async () => {
      const trash = await this.#trash({});
      const known = trash.find(({ uuid, id }) => uuid === wanted || (id && id === wanted));
      const trashed = known ?? (this.run.value ? undefined : (await this.#trash({ slug: wanted })).at(-1));
      if (!trashed) throw new Missing();
      was = true;
      this.trashed.value = trashed;
      this.fate.value = "trashed";
      return { changed: false, ...TRASHED };
    };
    try {
      await poll(ask, this.how);
    } catch (error) {
      if (!(error instanceof Missing)) throw error;
    }
    return was;
  }

  #wanted() {
    return this.run.value?.uuid ?? this.here.run;
  }

  #trash(fields) {
    return read(api.runs(this.here) + query({ trash: 1, brief: 1, ...fields }));
  }
}

/** The run as charts show it, while it is there: `{uuid, name, colour, status, started, group}` in a list. */
export function shownAlone(open) {
  return kept(() => {
    const run = open.run.value;
    if (!run) return [];
    const { uuid, name, status } = run;
    return [{ uuid, name, status, started: startOf(run), group: null, colour: coloursOf([uuid]).get(uuid) }];
  });
}

/** What a change of is worth asking again soon: all but when it was heard of. */
const alive = (run) => run && json({ ...lasting(run), last_point: run.last_point });

function named({ name, min, last }) {
  const number = numeric(last) !== undefined;
  return { name, numeric: number || numeric(min) !== undefined, others: !number };
}

/** A computed signal that keeps its value until another one is not equal to it as JSON. */
function kept(compute) {
  let held = null;
  let text = null;
  return computed(() => {
    const value = compute();
    const now = JSON.stringify(value);
    if (now !== text) [held, text] = [value, now];
    return held;
  });
}
