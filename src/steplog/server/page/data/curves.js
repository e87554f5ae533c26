// The curves of the metrics in view of the runs that are shown: asked for as they are wanted, kept up to date.

import { effect, signal } from "../ui.js";
import { api } from "./address.js";
import { Missing, Refused, Wrong, bytes } from "./api.js";
import { COLUMNS, tablesOf } from "./columns.js";
import { Grid } from "./grid.js";
import { reach } from "./outage.js";
import { poll } from "./poll.js";
import { questionOf, requestsOf } from "./question.js";

const AT_ONCE = 3; // requests
const KEPT = 6; // questions: zooming out shows at once what was there
const LIVE = { least: 2, most: 15 }; // seconds from poll to poll
const ENDED = { least: 15, most: 60 };

/** What was answered to one question, and how to ask for what is new: `parts` of metrics and runs with their token. */
class Layer {
  constructor(question) {
    this.question = question;
    this.grid = new Grid();
    this.parts = []; // {names, runs, since}
    this.covered = new Map(); // by name: the runs whose curve is here or asked for
  }

  /** Whether a metric's curves of all these runs are here. */
  has = (name, runs) => runs.every((uuid) => this.covered.get(name)?.get(uuid) === "here");

  /** Note that curves are "asked" for, "here", or, by null, neither. */
  cover({ names, runs }, state) {
    for (const name of names) {
      if (!this.covered.has(name)) this.covered.set(name, new Map());
      const known = this.covered.get(name);
      for (const uuid of runs) state ? known.set(uuid, state) : known.delete(uuid);
    }
  }
}

export class Curves {
  /** `runs`: signal of the runs that are shown, `{uuid, status}`; of `view`, `x` and `range` count. */
  constructor({ here, runs, view }) {
    /** `{asking, failed}`: how many requests are under way, and in words why nothing can be had. */
    this.state = signal({ asking: 0, failed: null });
    /** How many pixels wide a chart is. */
    this.pixels = signal(512);
    this.path = api.curves(here);
    this.runs = runs;
    this.view = view;
    this.wanted = new Map(); // by name {count, curves: signal}
    this.layers = new Map(); // by question, the one used last at the end
    this.queue = [];
    this.asking = 0;
    this.ends = new AbortController();
    this.timer = null;
    this.stop = effect(() => {
      void [runs.value, view.x.value, view.range.value, this.pixels.value];
      this.#soon();
    });
    this.#poll();
  }

  /** A signal of a metric's curves, null until they have come; each call is undone by one of `release`. */
  want(name) {
    if (!this.wanted.has(name)) this.wanted.set(name, { count: 0, curves: signal(null) });
    const wanted = this.wanted.get(name);
    wanted.count += 1;
    this.#soon();
    return wanted.curves;
  }

  /** A chart is no longer in view. Its curves stay, as long as nothing else takes their place. */
  release(name) {
    const wanted = this.wanted.get(name);
    if (wanted) wanted.count = Math.max(0, wanted.count - 1);
  }

  /** Ask for nothing more. */
  end() {
    this.stop();
    this.ends.abort();
    clearTimeout(this.timer);
  }

  /** Collects what is wanted in one go. */
  #soon() {
    this.timer ??= setTimeout(() => {
      this.timer = null;
      this.#fill();
    });
  }

  #names = () => [...this.wanted].filter(([, { count }]) => count).map(([name]) => name);

  /** Ask for what is wanted and is not there, and show what is. */
  #fill() {
    if (this.ends.signal.aborted || this.state.value.failed) return;
    const [names, runs] = [this.#names(), this.runs.value.map(({ uuid }) => uuid)];
    const layer = this.#layer(questionOf(this.view, this.pixels.value, runs.length));
    this.queue = requestsOf(names, runs, layer.covered, layer.question.buckets).map((asked) => ({ layer, ...asked }));
    for (const name of names) if (layer.has(name, runs)) this.#show(name, layer, runs);
    while (this.asking < AT_ONCE && this.queue.length) this.#ask(this.queue.shift());
  }

  /** What is there of a question. */
  #layer(question) {
    const key = JSON.stringify(question);
    const layer = this.layers.get(key) ?? new Layer(question);
    this.layers.delete(key);
    this.layers.set(key, layer);
    this.layer = layer;
    for (const old of [...this.layers.keys()].slice(0, -KEPT)) this.layers.delete(old);
    return layer;
  }

  async #ask({ layer, names, runs }) {
    const part = { names, runs, since: undefined };
    layer.cover(part, "asked");
    this.#asks(1);
    try {
      await this.#answer(layer, part);
      layer.cover(part, "here");
      layer.parts.push(part);
      const shown = this.runs.value.map(({ uuid }) => uuid);
      if (layer === this.layer) names.forEach((name) => this.#show(name, layer, shown));
    } catch (error) {
      layer.cover(part, null);
      this.#fail(error);
    } finally {
      this.#asks(-1);
      this.#soon();
    }
  }

  #asks(more) {
    this.asking += more;
    this.state.value = { ...this.state.value, asking: this.asking };
  }

  /** Ask for a part and take the answer; returns the metrics that have changed. */
  async #answer(layer, part) {
    const body = { ...layer.question, ...part };
    const buffer = await reach(() => bytes("POST", this.path, body, COLUMNS, this.ends.signal), this.ends.signal);
    const [table] = tablesOf(buffer);
    part.since = table.about.since;
    return layer.grid.take(table, part);
  }

  #show(name, layer, runs) {
    const wanted = this.wanted.get(name);
    if (!wanted) return;
    const isSame = wanted.layer === layer && wanted.runs?.join() === runs.join() && !layer.changed?.has(name);
    if (isSame && wanted.curves.value) return;
    // The coarse ones, until all finer ones are there.
    if (wanted.layer !== layer && wanted.curves.value && !layer.has(name, runs)) return;
    wanted.layer = layer;
    wanted.runs = runs;
    wanted.curves.value = layer.grid.curvesOf(name, runs);
  }

  async #poll() {
    const ask = async () => {
      const live = this.runs.value.some(({ status }) => status === "RUNNING");
      const layer = this.layer;
      const names = this.#names();
      let changed = false;
      for (const part of layer?.parts ?? []) {
        if (!part.names.some((name) => names.includes(name))) continue;
        const others = await this.#answer(layer, part);
        changed ||= others.size > 0;
        const runs = this.runs.value.map(({ uuid }) => uuid);
        for (const name of others) if (layer === this.layer && this.wanted.has(name)) this.#changed(name, layer, runs);
      }
      return { changed, ...(live ? LIVE : ENDED) };
    };
    await poll(ask, { signal: this.ends.signal }).catch((error) => this.#fail(error));
  }

  #changed(name, layer, runs) {
    const wanted = this.wanted.get(name);
    if (wanted.layer === layer) wanted.curves.value = layer.grid.curvesOf(name, runs);
  }

  #fail(error) {
    if (this.ends.signal.aborted || error instanceof Refused) return;
    if (!(error instanceof Missing || error instanceof Wrong)) throw error;
    const failed = error instanceof Missing ? "This server has no curves: it is of an older version." : error.message;
    this.state.value = { ...this.state.value, failed };
  }
}
