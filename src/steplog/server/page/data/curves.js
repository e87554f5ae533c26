// The curves of the metrics in view of the runs that are shown: asked for as they are wanted, kept up to date.

import { effect, signal } from "../ui.js";
import { api } from "./address.js";
import { Missing, Refused, Wrong, bytes } from "./api.js";
import { COLUMNS, tablesOf } from "./columns.js";
import { Layer } from "./layer.js";
import { reach } from "./outage.js";
import { Wake, poll } from "./poll.js";
import { questionOf, requestsOf } from "./question.js";
import { settled } from "./settled.js";

const AT_ONCE = 3; // requests
const LAYERS_MAX = 6; // of parts of the axis: zooming out shows at once what was there
const HELD_MAX = 2_000_000; // buckets of metrics that are not in view
const GESTURE_MS = 150;
// Seconds from poll to poll. What changes at each of them is asked for less often in the end.
const PACE = { live: { least: 2, most: 60 }, ended: { least: 30, most: 60 } };
const STEADY = { after: 10, factor: 2.5 }; // polls in a row that have brought something

export class Curves {
  /** `runs`: signal of the runs that are shown, `{uuid, status}`; of `view`, `x` and `range` count; `pace`: seconds. */
  constructor({ here, runs, view, pace = PACE }) {
    /** `{asking, failed}`: how many requests are under way, and in words why there is nothing. */
    this.state = signal({ asking: 0, failed: null });
    /** How many pixels wide a chart is. */
    this.pixels = signal(512);
    this.path = api.curves(here);
    this.pace = pace;
    this.runs = runs;
    this.x = view.x;
    this.range = settled(view.range, GESTURE_MS);
    this.wanted = new Map(); // by name {count, curves: signal, layer, shown}, the one wanted last at the end
    this.layers = new Map(); // by question, the one used last at the end
    this.requests = new Set(); // under way: {layer, names, runs, aborts}
    this.uuids = [];
    this.live = new Set(); // runs that went on when they were polled last
    this.changes = 0; // polls in a row that have brought something
    this.polled = { any: 0, all: 0 }; // when runs were, by the page's clock
    this.ends = new AbortController();
    this.wake = new Wake();
    this.isDue = false;
    this.waking = null;
    this.stop = effect(() => {
      void [this.x.value, this.range.value.value, this.pixels.value];
      if (runs.value.some(({ uuid, status }) => status === "RUNNING" && !this.live.has(uuid))) this.#wake();
      this.#soon();
    });
    poll(() => this.#poll(), { wake: this.wake, signal: this.ends.signal }).catch((error) => this.#fail(error));
  }

  /** A signal of a metric's curves, null until they have come; each call is undone by one of `release`. */
  want(name) {
    const wanted = this.wanted.get(name) ?? { count: 0, curves: signal(null), layer: null, shown: null };
    if (!wanted.count) {
      this.wanted.delete(name);
      this.wanted.set(name, wanted);
      if (wanted.shown) this.#wake();
      this.#soon();
    }
    wanted.count += 1;
    return wanted.curves;
  }

  /** The same signal where curves of the metric are here or asked for, else null; asks for nothing. */
  found(name) {
    return this.wanted.get(name)?.curves ?? null;
  }

  /** A chart is no longer in view. Its curves stay, as long as there is room. */
  release(name) {
    const wanted = this.wanted.get(name);
    if (wanted) wanted.count = Math.max(0, wanted.count - 1);
    if (wanted?.count === 0) this.#soon();
  }

  /** Ask for nothing more. */
  end() {
    this.stop();
    this.range.stop();
    this.ends.abort();
    clearTimeout(this.waking);
  }

  /** Collects what is wanted at a time. */
  #soon() {
    if (this.isDue) return;
    this.isDue = true;
    queueMicrotask(() => {
      this.isDue = false;
      if (!this.ends.signal.aborted) this.#fill();
    });
  }

  /** Poll soon, since something is shown that was not. */
  #wake() {
    const rest_ms = this.polled.any + this.pace.live.least * 1000 - performance.now();
    this.waking ??= setTimeout(() => {
      this.waking = null;
      this.wake.call();
    }, Math.max(0, rest_ms));
  }

  #names = () => [...this.wanted].filter(([, { count }]) => count).map(([name]) => name);

  /** The uuids of the runs that are shown: the same list as long as they are the same. */
  #uuids() {
    const uuids = this.runs.value.map(({ uuid }) => uuid);
    if (uuids.join() !== this.uuids.join()) this.uuids = uuids;
    return this.uuids;
  }

  /** Show what is there, and ask for what is not. */
  #fill() {
    const runs = this.#uuids();
    const groups = this.#layersOf(this.#names(), runs);
    for (const request of this.requests) if (!groups.has(request.layer)) request.aborts.abort();
    const queue = [];
    for (const [layer, names] of groups) {
      for (const name of names) {
        this.wanted.get(name).layer = layer;
        this.#show(name, runs);
      }
      queue.push(...requestsOf(names, runs, layer));
    }
    for (const request of queue.slice(0, Math.max(0, AT_ONCE - this.requests.size))) this.#ask(request);
    this.#makeRoom();
  }

  /** The metrics by the layer that they are drawn from. What has no finer points is not asked for by zooming in. */
  #layersOf(names, runs) {
    const layer = this.#layer(this.#question(this.range.value.value), names, runs);
    const whole = layer.question.from === undefined ? layer : this.layers.get(keyOf(this.#question(null)));
    const groups = new Map();
    for (const name of names) {
      const chosen = whole?.has(name, runs) && whole.isExact(name, runs) ? whole : layer;
      if (!groups.has(chosen)) groups.set(chosen, []);
      groups.get(chosen).push(name);
    }
    return groups;
  }

  #question = (range) => questionOf(this.x.value, range, this.pixels.value, this.runs.value.length);

  #layer(question, names, runs) {
    const key = keyOf(question);
    const old = this.layers.get(key);
    const layer = !old || old.isTooWide(names, runs) ? new Layer(question) : old;
    this.layers.delete(key);
    this.layers.set(key, layer);
    const parts = [...this.layers.keys()].filter((each) => this.layers.get(each).question.from !== undefined);
    for (const each of parts.slice(0, -LAYERS_MAX)) this.layers.delete(each);
    return layer;
  }

  async #ask({ layer, names, runs }) {
    const request = { layer, names, runs, aborts: new AbortController() };
    layer.note(request, "asked");
    this.requests.add(request);
    this.#tell();
    try {
      const ends = AbortSignal.any([this.ends.signal, request.aborts.signal]);
      await reach(() => this.#answer(request, ends), ends);
    } catch (error) {
      layer.note(request, null);
      if (!request.aborts.signal.aborted) this.#fail(error);
    } finally {
      this.requests.delete(request);
      this.#tell();
      if (!this.state.value.failed) this.#soon();
    }
  }

  /** Ask, and take the answer; returns the metrics that have changed. */
  async #answer({ layer, names, runs }, signal) {
    const before = layer.before({ names, runs });
    const since = before.length ? before.map((answer) => answer.since) : undefined;
    const body = { ...layer.question, names, runs, since, planes: true };
    const [table] = tablesOf(await bytes("POST", this.path, body, COLUMNS, signal));
    const { losses } = layer;
    const changed = layer.take(table, { names, runs }, before);
    for (const name of layer.losses === losses ? changed : this.#names()) {
      if (this.wanted.get(name)?.layer === layer) this.#show(name, this.#uuids());
    }
    if (this.state.value.failed) this.#tell(null);
    return changed;
  }

  /** Show what there is of a metric, unless that is less than what is shown. */
  #show(name, runs) {
    const wanted = this.wanted.get(name);
    const { layer, shown } = wanted;
    const isWhole = layer.has(name, runs);
    // The coarser curves, until all finer ones are there.
    if (!isWhole && shown && shown.layer !== layer && shown.layer.question.x === layer.question.x) return;
    const now = { layer, version: layer.versions.get(name), losses: layer.losses, runs };
    if (shown && Object.keys(now).every((key) => shown[key] === now[key])) return;
    wanted.shown = isWhole || layer.sizes.get(name) ? now : null;
    wanted.curves.value = wanted.shown && layer.curvesOf(name, runs);
  }

  /** Ask for what is new: of runs that go on, and now and then of all. */
  async #poll() {
    const shown = this.#uuids();
    const live = new Set(this.runs.value.filter(({ status }) => status === "RUNNING").map(({ uuid }) => uuid));
    this.polled.any = performance.now();
    const isFull = this.polled.any - this.polled.all >= this.pace.ended.most * 1000;
    // What has ended since is asked for a last time.
    const due = isFull ? shown : shown.filter((uuid) => live.has(uuid) || this.live.has(uuid));
    let changed = [...live].some((uuid) => !this.live.has(uuid));
    for (const [layer, names] of due.length ? this.#layersOf(this.#names(), shown) : []) {
      const ready = names.filter((name) => layer.has(name, due));
      for (const request of requestsOf(ready, due, layer, () => due)) {
        if ((await this.#answer(request, this.ends.signal)).size) changed = true;
      }
    }
    this.live = live;
    if (isFull) this.polled.all = this.polled.any;
    this.changes = changed ? this.changes + 1 : 0;
    const { least, most } = live.size ? this.pace.live : this.pace.ended;
    return { changed, least: least * (this.changes > STEADY.after ? STEADY.factor : 1), most };
  }

  /** Let go of the metrics that have been out of view for longest, where there is too much of them. */
  #makeRoom() {
    const layers = [...this.layers.values()];
    const sizeOf = (name) => layers.reduce((sum, { sizes }) => sum + (sizes.get(name) ?? 0), 0);
    const names = [...this.wanted].filter(([, { count, shown }]) => !count && shown).map(([name]) => name);
    let total = names.reduce((sum, name) => sum + sizeOf(name), 0);
    for (const name of names) {
      if (total <= HELD_MAX) return;
      total -= sizeOf(name);
      for (const layer of layers) layer.forget(name);
      this.wanted.get(name).curves.value = null;
      this.wanted.delete(name);
    }
  }

  #fail(error) {
    if (this.ends.signal.aborted || error instanceof Refused) return;
    if (!(error instanceof Missing || error instanceof Wrong)) throw error;
    this.#tell(error instanceof Missing ? "This server has no curves: it is of an older version." : error.message);
  }

  #tell(failed = this.state.value.failed) {
    this.state.value = { asking: this.requests.size, failed };
  }
}

const keyOf = (question) => JSON.stringify(question);
