// What is asked of the server for the charts in view: which part of the axis, how finely, and in how many requests.

const NANOSECONDS = 1e9;
const LEAST_BUCKETS = 128;
const MOST_BUCKETS = 2048;
const CHART_BUCKETS = 20_000; // of many curves in one chart few can be told apart
const REQUEST_BUCKETS = 100_000; // of several charts: while some are drawn, the server reads the next
const MOST_REQUEST_BUCKETS = 400_000; // the server takes 500,000
const REQUEST_NAMES = 200;
const STEP_END = 2 ** 63 - 1024; // what a double has below 2^63

/** The question for what is chosen: `{x, from, to, buckets}`, `from` and `to` undefined for the whole axis. */
export function questionOf(x, range, pixels, runs) {
  const most = Math.min(MOST_BUCKETS, 2 ** Math.floor(Math.log2(CHART_BUCKETS / Math.max(1, runs))));
  const buckets = Math.max(LEAST_BUCKETS, Math.min(most, 2 ** Math.ceil(Math.log2(pixels))));
  if (!range) return { x, buckets };
  const [low, high] = range.map((end) => end * (x === "step" ? 1 : NANOSECONDS));
  const piece = 2 ** Math.max(0, Math.floor(Math.log2((high - low) / 2)));
  const [from, to] = [Math.floor(low / piece) * piece, Math.ceil(high / piece) * piece];
  const within = (end) => Math.max(-STEP_END, Math.min(STEP_END, end));
  return { x, from: within(from), to: within(to), buckets: 2 * buckets };
}

/** Requests `{layer, names, runs}` for what a layer lacks of these metrics, those in front first. */
export function requestsOf(names, runs, layer, lacks = (name) => layer.lacks(name, runs)) {
  const groups = new Map(); // metrics that lack the same runs
  for (const name of names) {
    const missing = lacks(name);
    const key = missing.length === runs.length ? "" : missing.join();
    if (missing.length && !groups.has(key)) groups.set(key, { names: [], runs: missing });
    if (missing.length) groups.get(key).names.push(name);
  }
  const { buckets } = layer.question;
  return [...groups.values()].flatMap((group) => split(group, buckets)).map((part) => ({ layer, ...part }));
}

/** By metrics, and by runs where those of one metric are too many. */
function split({ names, runs }, buckets) {
  const curves = Math.floor(REQUEST_BUCKETS / buckets);
  const size = Math.min(REQUEST_NAMES, Math.max(1, Math.floor(curves / runs.length)));
  const some = chunks(runs, Math.floor(MOST_REQUEST_BUCKETS / buckets));
  return chunks(names, size).flatMap((part) => some.map((each) => ({ names: part, runs: each })));
}

function chunks(list, size) {
  return Array.from({ length: Math.ceil(list.length / size) }, (_, at) => list.slice(at * size, (at + 1) * size));
}
