// What is chosen in a view. Each choice is a signal; the address keeps those that differ from their defaults.

import { batch, effect, signal, untracked } from "./ui.js";

const WRITE_MS = 250; // browsers refuse more than some 100 writes of the address in 30 s
const DATE_END_S = 8.64e12; // no date is further from 1970

const text = (start = "") => ({ start, read: (given) => given, write: (value) => value });
const flag = { start: false, read: (given) => given === "1", write: () => "1" };
const list = {
  start: [],
  read: (given) => given.split(",").filter(Boolean).map(decoded),
  write: (value) => value.map(encoded).join(","),
};
const lists = {
  start: [],
  read: (given) => given.split(";").filter(Boolean).map(list.read),
  write: (value) => value.map(list.write).join(";"),
};
const among = (start, ...others) => ({
  start,
  read: (given) => (others.includes(given) ? given : start),
  write: (value) => value,
});
const numeral = (start, least, most) => ({
  start,
  read: (given) => (given.trim() !== "" && least <= Number(given) && Number(given) <= most ? Number(given) : start),
  write: String,
});
const isStep = (number) => -(2n ** 63n) < number && number < 2n ** 63n;
const integer = {
  start: null, // else as a text, since a step may have 64 bits
  read: (given) => (/^-?\d{1,19}$/.test(given) && isStep(BigInt(given)) ? given : null),
  write: (value) => value,
};
const range = {
  start: null,
  read: (given) => {
    const [from, to, ...rest] = given.split(",").map((end) => (end.trim() === "" ? NaN : Number(end)));
    return !rest.length && Number.isFinite(from) && Number.isFinite(to) && from < to ? [from, to] : null;
  },
  write: ([from, to]) => `${from},${to}`,
};

// Field of the view: its name in the address, and its kind.
const FIELDS = {
  where: ["where", text()], // a filter of runs
  sort: ["sort", text()], // a field, with "-" before it the greatest first
  columns: ["columns", list], // of the table of runs; none: the usual ones
  first: ["first", numeral(10, 0, 1000)], // so many runs at the top of the table are shown
  added: ["with", list], // uuids of runs that are shown besides
  removed: ["without", list], // uuids of runs that are not shown though they are among the first
  group: ["group", text()], // the field by whose value runs are grouped
  metrics: ["metrics", text()], // words, or a /regular expression/
  x: ["x", among("step", "time", "relative")],
  range: ["range", range], // of x: steps, seconds since the epoch, or seconds
  smoothing: ["smoothing", numeral(0, 0, 0.999)],
  logX: ["logx", flag],
  logY: ["logy", flag],
  logOf: ["log", list], // charts whose y scale is not as `logY` says
  pins: ["pins", list], // metrics
  combined: ["charts", lists], // charts of several metrics
  open: ["open", list], // sections that are closed by themselves
  closed: ["closed", list], // sections that are open by themselves
  tab: ["tab", among("charts", "samples", "table", "files")],
  samples: ["samples", list], // the metrics whose samples are shown; none: the first
  find: ["find", text()], // a text in samples
  stepsOf: ["steps", text()], // the run whose samples are listed
  step: ["step", integer], // of the samples; null: the newest
  nth: ["nth", numeral(0, 0, 2 ** 53)], // which of the samples of the step
  large: ["large", text()], // the chart that is shown large
  figure: ["figure", among("last", "min", "max", "count")], // in the table of metrics
  size: ["size", among("medium", "small", "large")], // of the charts
  saved: ["view", text()], // uuid of the saved view that this one was
  opening: ["saved", text()], // uuid of the saved view that is to be shown instead, as soon as it is known
};
const ABOUT_SAVING = ["view", "saved"];

/** The query of an address as a view would write it, without what it says of saved views: to compare by. */
export function choicesOf(search) {
  const given = new URLSearchParams(search);
  const kept = new URLSearchParams();
  for (const [name, { start, read, write }] of Object.values(FIELDS)) {
    if (!given.has(name) || ABOUT_SAVING.includes(name)) continue;
    const value = read(given.get(name));
    if (json(value) !== json(start)) kept.set(name, write(value));
  }
  const found = kept.toString();
  return found && `?${found}`;
}

/** The choices of the view at an address: a signal for each of `FIELDS`. */
export class View {
  constructor(search = location.search) {
    for (const [field, [, { start }]] of Object.entries(FIELDS)) this[field] = signal(start);
    this.read(search);
    let timer = null;
    effect(() => {
      this.query();
      clearTimeout(timer);
      timer = setTimeout(() => this.write(), WRITE_MS);
    });
    addEventListener("popstate", () => {
      clearTimeout(timer);
      this.read(location.search);
    });
  }

  /** Change a choice, so that the browser's Back takes it back. */
  enter(field, value) {
    this.write();
    history.pushState({ entered: field }, "", location.href);
    this[field].value = value;
    this.write();
  }

  /** Take back what was entered, as Back does; without an entry for that, `value` takes its place. */
  leave(field, value) {
    if (history.state?.entered === field) history.back();
    else this[field].value = value;
  }

  /** Let the address say at once what is chosen. */
  write() {
    const query = untracked(() => this.query());
    if (query !== location.search) history.replaceState(history.state, "", location.pathname + query);
  }

  /** The whole address of the view. */
  href() {
    return location.origin + location.pathname + untracked(() => this.query());
  }

  /** Take the choices of an address, such as `?x=time&smoothing=0.6`. */
  read(search) {
    const given = new URLSearchParams(search);
    batch(() => {
      for (const [field, [name, { start, read }]] of Object.entries(FIELDS)) {
        const value = given.has(name) ? read(given.get(name)) : start;
        if (json(value) !== untracked(() => json(this[field].value))) this[field].value = value;
      }
      const isFar = (end) => Math.abs(end) > DATE_END_S;
      if (this.x.peek() === "time" && this.range.peek()?.some(isFar)) this.range.value = null;
    });
  }

  /** The choices as the query of an address, "" if all are the defaults. */
  query() {
    const given = new URLSearchParams();
    for (const [field, [name, { start, write }]] of Object.entries(FIELDS)) {
      const { value } = this[field];
      if (json(value) !== json(start)) given.set(name, write(value));
    }
    const found = given.toString();
    return found && `?${found}`;
  }
}

const json = (value) => JSON.stringify(value);
const encoded = (part) => part.replace(/[%,;]/g, encodeURIComponent);

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
