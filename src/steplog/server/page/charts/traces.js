// Lines as the axes of a chart have them: logarithms where an axis is a log one.

import { axisValues, firstAtLeast, nearest, nothing, widen } from "./ranges.js";

/**
 * `{line, skip, x, y, raw, low, high, bucket, reach, marks}`, without the `skip` first points, which are not above 0. A
 * bucket is drawn at the last of its steps; the first one has what is up to `reach` before that.
 */
export function traceOf(line, { x, y }) {
  const skip = x.log ? firstAtLeast(line.x, Number.MIN_VALUE) : 0;
  const column = (values, log) => values && (skip ? axisValues(values, log).subarray(skip) : axisValues(values, log));
  return {
    line,
    skip,
    x: column(line.x, x.log),
    y: column(line.y, y.log),
    raw: column(line.raw, y.log),
    low: column(line.low, y.log),
    high: column(line.high, y.log),
    bucket: x.log ? Infinity : line.bucket,
    reach: !x.log && x.kind === "step" && line.bucket > 1 && line.bucket < Infinity ? line.bucket - 1 : 0,
    marks: x.log ? { x: line.marks.x.map(Math.log10), sign: line.marks.sign } : line.marks,
  };
}

/** From the first place to the last of all traces; null without any. */
export function extentOf(traces) {
  const found = nothing();
  for (const { x, reach } of traces) if (x.length) widen(found, [x[0] - reach, x[x.length - 1]]);
  return found[0] <= found[1] ? found : null;
}

/** From the least to the greatest value of what is in a range of x. */
export function heightsOf(traces, [left, right]) {
  const found = nothing();
  for (const { x, y, low, high, raw } of traces) {
    const from = firstAtLeast(x, left);
    let to = firstAtLeast(x, right);
    while (to < x.length && x[to] === right) to += 1;
    for (const values of [y, low, high, raw]) if (values) widen(found, values, from, to);
  }
  return found;
}

/** The trace nearest to a place in device pixels, `{trace, at, distance}`, or null. Across counts less than up. */
export function nearestTrace(traces, view, left, top) {
  const x = view.xAt(left);
  let found = null;
  for (const trace of traces) {
    const at = nearest(trace.x, x);
    if (at < 0) continue;
    const distance = Math.hypot((view.x(trace.x[at]) - left) / 3, view.y(heightAt(trace, x, at)) - top);
    if (!found || distance < found.distance) found = { trace, at, distance };
  }
  return found;
}

/** The value of a trace at x, between the point `at` and its neighbour. */
function heightAt({ x, y }, place, at) {
  const other = place > x[at] ? at + 1 : at - 1;
  if (other < 0 || other >= x.length || Number.isNaN(y[other]) || x[other] === x[at]) return y[at];
  return y[at] + ((y[other] - y[at]) * (place - x[at])) / (x[other] - x[at]);
}
