// Smoothing: an exponential moving average, debiased, so that it begins at the first value.

const kept = new WeakMap(); // the last answer for an array of values

/** The average of `values` so far; what came before has the weight `smoothing` (0…1). NaN stays, and is skipped. */
export function smoothed(values, smoothing) {
  const known = kept.get(values);
  if (known?.smoothing === smoothing) return known.found;
  const found = new Float64Array(values.length);
  let sum = 0;
  let weight = 0; // of all values so far, so that sum / weight has no bias to 0
  for (let at = 0; at < values.length; at += 1) {
    const value = values[at];
    if (Number.isNaN(value)) {
      found[at] = NaN;
      continue;
    }
    sum = sum * smoothing + value * (1 - smoothing);
    weight = weight * smoothing + (1 - smoothing);
    found[at] = sum / weight;
  }
  kept.set(values, { smoothing, found });
  return found;
}
