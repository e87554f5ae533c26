// Ranges of axes. A log axis has its values, and its range, as decimal logarithms.

/** What is greater is marked at the edge of a chart, like an infinity. */
export const DRAWN_MAX = 1e300;
const NARROWEST = 1e-12; // of its values: what is closer is one value in a picture
const LEAST_WIDTH = 1e-290; // beneath it the width of a pixel has no number

const logs = new WeakMap();

/** Values as an axis has them: themselves, or their logarithms, NaN for what is not above 0. */
export function axisValues(values, log) {
  if (!log || !values) return values;
  let known = logs.get(values);
  if (!known) {
    known = Float64Array.from(values, (value) => (value > 0 ? Math.log10(value) : NaN));
    logs.set(values, known);
  }
  return known;
}

/** A number as an axis has it, and back. */
export const toAxis = (value, log) => (log ? Math.log10(value) : value);
export const fromAxis = (value, log) => (log ? 10 ** value : value);

/** The first index of an ascending array whose value is at least `value`. */
export function firstAtLeast(values, value) {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The index of the value of an ascending array that is nearest, -1 of none. */
export function nearest(values, value) {
  const after = firstAtLeast(values, value);
  if (after === 0) return values.length ? 0 : -1;
  if (after === values.length) return after - 1;
  return value - values[after - 1] <= values[after] - value ? after - 1 : after;
}

/** Widen `range` by the finite values with an index in `[from, to)`. */
export function widen(range, values, from = 0, to = values.length) {
  let [low, high] = range;
  for (let at = from; at < to; at += 1) {
    const value = values[at];
    if (value < low) low = value;
    if (value > high) high = value;
  }
  range[0] = low;
  range[1] = high;
  return range;
}

export const nothing = () => [Infinity, -Infinity];

/** The range of an axis for values from `low` to `high`, with room of that part at both ends; [0, 1] for none. */
export function spanOf([low, high], room) {
  if (!(low <= high)) return [0, 1];
  const least = Math.max(Math.abs(low), Math.abs(high)) * NARROWEST;
  if (high - low <= Math.max(least, LEAST_WIDTH)) {
    const around = Math.max(least * 4, low === 0 ? 1 : Math.min(1, Math.abs(low) * 0.1), LEAST_WIDTH * 4);
    return [low - around, high + around];
  }
  return [low - (high - low) * room, high + (high - low) * room];
}

export const sameRange = (a, b) => a === b || Boolean(a && b && a[0] === b[0] && a[1] === b[1]);
