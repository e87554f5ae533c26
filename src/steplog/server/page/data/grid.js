// Curves as they were answered, by metric and run, and what later answers put in their places. No requests.

const COLUMNS = ["bucket", "x", "step", "last", "min", "max", "count", "nan", "pos", "neg", "rough"];
const SPARSE = { nan: "nan", pos: "inf", neg: "-inf", rough: "approximate" }; // null where there are none
const NANOSECONDS = 1e9;
const SHORT = 7; // digits of a float32
const EXACT = { last: 17, ends: 17 };

/**
 * A curve: columns of one length, `x` in order.
 *
 * @typedef {object} Curve
 * @property {number} width of a bucket: steps or nanoseconds
 * @property {Uint32Array|Float64Array|BigInt64Array} bucket has what is in [bucket × width, (bucket + 1) × width)
 * @property {Float64Array} x a step, seconds since the epoch, or seconds since the run began
 * @property {Uint32Array|Float64Array|BigInt64Array} step of the last number
 * @property {Float64Array|Float32Array} last
 * @property {Float64Array|Float32Array} min of the finite numbers of a bucket; NaN without one
 * @property {Float64Array|Float32Array} max
 * @property {Uint32Array|Float64Array} count
 * @property {Uint32Array|null} nan how many of a bucket are NaN; null: none of the curve
 * @property {Uint32Array|null} pos infinities
 * @property {Uint32Array|null} neg negative infinities
 * @property {boolean} approximate some points may be in another bucket
 * @property {{last: number, ends: number}} digits how many are good, of `last`, and of `min` and `max`
 */

/** The curves of one question: of an axis, a range of it, and a number of buckets. */
export class Grid {
  constructor() {
    this.metrics = new Map(); // by name: Map(uuid → Curve)
  }

  /**
   * Put the answer to a question of `names` and `runs` in its place; returns the names whose curves have changed.
   * `isKnown` says of a metric and a run whether the answer goes on from what is here of it.
   */
  take({ about, columns }, { names, runs }, isKnown) {
    const changed = new Set();
    const drop = (name, uuid) => this.metrics.get(name)?.delete(uuid) && changed.add(name);
    for (const name of names) {
      if (!this.metrics.has(name)) this.metrics.set(name, new Map());
      for (const uuid of runs) if (about.reset || !isKnown(name, uuid)) drop(name, uuid);
    }
    if (columns.series) spellOut(columns);
    for (const at of about.whole) drop(about.names[about.series[at][1]], about.runs[about.series[at][0]]);
    for (const [at, first, end] of stretches(columns.series ?? [])) {
      const [run, name] = about.series[at];
      const curves = this.metrics.get(about.names[name]);
      const [before, part] = [curves.get(about.runs[run]), curveOf(columns, first, end, about, name)];
      curves.set(about.runs[run], before?.width === part.width ? patched(before, part) : part);
      changed.add(about.names[name]);
    }
    return changed;
  }

  /** What there is of a metric, on one grid: `{name, width, exact, byRun}`; `exact`: each bucket has one point. */
  curvesOf(name, runs) {
    const curves = this.metrics.get(name) ?? new Map();
    const known = runs.filter((uuid) => curves.has(uuid)).map((uuid) => [uuid, curves.get(uuid)]);
    const width = known.reduce((most, [, curve]) => Math.max(most, curve.width), 1);
    const byRun = new Map(known.map(([uuid, curve]) => [uuid, coarser(curve, width)]));
    return { name, width, exact: known.every(([, { single }]) => single), byRun };
  }
}

/** Least and greatest numbers that are the last one are sent as infinity. */
function spellOut({ min, max, last }) {
  for (const ends of [min, max]) {
    for (let at = 0; at < ends.length; at += 1) if (ends[at] === Infinity) ends[at] = last[at];
  }
}

/** The series of an answer as `[series, first, end]`: each is in one piece. */
function* stretches(series) {
  for (let first = 0, end; first < series.length; first = end) {
    end = upTo(series, series[first] + 1, first);
    yield [series[first], first, end];
  }
}

/** Where the numbers below a limit end, in a column in order. */
function upTo(column, limit, first = 0) {
  let [low, high] = [first, column.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (column[middle] < limit) low = middle + 1;
    else high = middle;
  }
  return low;
}

function curveOf(columns, first, end, about, metric) {
  const part = (name) => columns[name].subarray(first, end);
  const width = about.widths[metric];
  const curve = { width, digits: columns.last instanceof Float32Array ? { last: SHORT, ends: about.digits } : EXACT };
  for (const name of ["bucket", "step", "last", "min", "max", "count"]) curve[name] = part(name);
  for (const [name, column] of Object.entries(SPARSE)) curve[name] = columns[column] ? part(column) : null;
  curve.x = about.x === "step" ? numbersOf(curve.step) : secondsOf(curve.bucket, part("at"), width);
  return finished(curve);
}

function finished(curve) {
  for (const name of Object.keys(SPARSE)) if (!curve[name]?.some(Boolean)) curve[name] = null;
  curve.approximate = curve.rough !== null;
  curve.single = curve.count.every((count) => count === 1);
  return curve;
}

const numbersOf = (column) => (column instanceof Float64Array ? column : Float64Array.from(column, Number));

/** Where in its bucket the latest point of each is, `at` as a part of the width. */
function secondsOf(bucket, at, width) {
  return Float64Array.from(bucket, (place, index) => ((Number(place) + at[index]) * width) / NANOSECONDS);
}

/** A curve with the buckets of another one in the place of its own. */
export function patched(curve, patch) {
  const kept = upTo(curve.bucket, patch.bucket[0]);
  const order = []; // then: of the patch, or at `~place` of the curve
  for (let mine = kept, at = 0; mine < curve.bucket.length || at < patch.bucket.length; ) {
    const isLeft = at === patch.bucket.length || curve.bucket[mine] < patch.bucket[at];
    if (isLeft) order.push(~mine);
    else order.push(at);
    // Of one bucket what is new counts. A place may be a BigInt in one of them alone.
    if (isLeft || (mine < curve.bucket.length && !(patch.bucket[at] < curve.bucket[mine]))) mine += 1;
    if (!isLeft) at += 1;
  }
  const fewer = (kind) => Math.min(curve.digits[kind], patch.digits[kind]);
  const joined = { width: curve.width, digits: { last: fewer("last"), ends: fewer("ends") } };
  for (const name of COLUMNS) joined[name] = joinedColumn(curve[name], patch[name], kept, order);
  return finished(joined);
}

function joinedColumn(column, other, kept, order) {
  if (!column && !other) return null;
  const wider = [BigInt64Array, Float64Array].find((each) => column instanceof each || other instanceof each);
  const Type = wider ?? (column ?? other).constructor;
  const cast = Type === BigInt64Array ? BigInt : Number;
  const joined = new Type(kept + order.length);
  if (column instanceof Type) joined.set(column.subarray(0, kept));
  else if (column) for (let at = 0; at < kept; at += 1) joined[at] = cast(column[at]);
  order.forEach((at, place) => {
    joined[kept + place] = cast((at < 0 ? column?.[~at] : other?.[at]) ?? 0);
  });
  return joined;
}

/** A curve on a wider grid: widths are powers of two, so each of its buckets lies in one of that. */
export function coarser(curve, width) {
  if (curve.width === width) return curve;
  if (curve.coarse?.width === width) return curve.coarse;
  const factor = width / curve.width;
  const { bucket } = curve;
  const isLong = bucket instanceof BigInt64Array;
  const place = (at) => (isLong ? bucket[at] >> BigInt(Math.log2(factor)) : Math.floor(bucket[at] / factor));
  const ends = []; // of the parts that are one bucket
  for (let at = 1; at <= bucket.length; at += 1) if (at === bucket.length || place(at) !== place(at - 1)) ends.push(at);
  const joined = { width, digits: curve.digits };
  for (const name of COLUMNS) joined[name] = curve[name] && new curve[name].constructor(ends.length);
  ends.forEach((end, to) => {
    const [first, last] = [to ? ends[to - 1] : 0, lastNumber(curve, to ? ends[to - 1] : 0, end)];
    joined.bucket[to] = place(first);
    for (const name of ["x", "step", "last"]) joined[name][to] = curve[name][last];
    joined.min[to] = reduced(curve.min, first, end, Math.min);
    joined.max[to] = reduced(curve.max, first, end, Math.max);
    for (const name of ["count", ...Object.keys(SPARSE)]) {
      if (joined[name]) joined[name][to] = reduced(curve[name], first, end, (sum, each) => sum + each);
    }
  });
  curve.coarse = finished(joined);
  return curve.coarse;
}

/** The last bucket that has a number; else the last one. */
function lastNumber({ last, nan }, first, end) {
  for (let at = end - 1; at >= first; at -= 1) if (last[at] === last[at] || nan?.[at]) return at;
  return end - 1;
}

/** What is not a number is passed over, as long as there is one. */
function reduced(column, first, end, join) {
  let found = column[first];
  for (let at = first + 1; at < end; at += 1) {
    const each = column[at];
    if (each === each) found = found === found ? join(found, each) : each;
  }
  return found;
}
