// What a chart draws: lines from the curves of metrics and the runs that are shown.

import { coloursOf } from "./palette.js";
import { groupCurve } from "./groups.js";
import { DRAWN_MAX } from "./ranges.js";
import { smoothed } from "./smoothing.js";

const DASHES = [[], [6, 3], [2, 3], [9, 3, 2, 3], [4, 2], [12, 4]]; // of the metrics of a chart
const NO_GROUP = "(none)";
const NANOSECOND = 1e-9; // the width of buckets of time, in the chart's seconds

/**
 * @typedef {object} Line
 * @property {string} id one of its chart
 * @property {string | null} uuid its run; null of a group
 * @property {string} name of the run, or of the group
 * @property {string} metric
 * @property {string} label
 * @property {string} colour
 * @property {Float64Array} x ascending
 * @property {Float64Array} y NaN where there is no value that can be drawn
 * @property {Float64Array | null} raw the line before smoothing
 * @property {Float64Array | null} low, high the least and the greatest value of each point
 * @property {{x: number[], sign: number[]}} marks what cannot be drawn: NaN (0), too great (1), too small (-1)
 * @property {number[]} dashes
 * @property {boolean} area whether the band is one of a group
 * @property {number} bucket how wide its buckets are, 0 for single points
 * @property {object | null} curve the buckets that it draws
 * @property {{last: number, ends: number}} digits how many are good, of the values, and of the least and the greatest
 * @property {Uint32Array | null} runs of a group: how many have a value at each point
 */

/**
 * The scene of a chart.
 *
 * `curves` are `MetricCurves`, null for those that have not come, `runs` those that are shown, `view` the values
 * `{x, range, smoothing, logX, logY, group}`, each as it is if left out. `label` is the chart's name.
 */
export function sceneOf({ curves, runs, view, label = curves.map(({ name }) => name).join(", ") }) {
  const known = curves.filter(Boolean);
  const unit = !view.x || view.x === "step" ? 1 : NANOSECOND;
  const lines = view.group ? groupLines(known, runs, unit) : runLines(known, runs, unit);
  if (view.smoothing > 0) for (const line of lines) smooth(line, view.smoothing);
  const logX = Boolean(view.logX) && view.x !== "time"; // the epoch is no zero
  return {
    lines,
    x: { kind: view.x ?? "step", log: logX, range: view.range ?? null },
    y: { log: Boolean(view.logY), range: null },
    label,
    notes: notesOf(lines, logX, Boolean(view.logY)),
  };
}

function runLines(curves, runs, unit) {
  const ofOne = runs.length === 1 && curves.length > 1;
  const colours = ofOne ? coloursOf(curves.map(({ name }) => name)) : null;
  const lines = [];
  curves.forEach(({ name, byRun, width, exact }, number) => {
    for (const run of runs) {
      const curve = byRun.get(run.uuid);
      if (!curve?.x.length) continue;
      lines.push({
        id: curves.length > 1 ? `${run.uuid} ${name}` : run.uuid,
        uuid: run.uuid,
        name: run.name,
        metric: name,
        label: curves.length === 1 ? run.name : ofOne ? name : `${run.name} · ${name}`,
        colour: colours?.get(name) ?? run.colour,
        x: curve.x,
        raw: null,
        dashes: DASHES[number % DASHES.length],
        area: false,
        bucket: exact ? 0 : width * unit,
        curve,
        digits: curve.digits,
        runs: null,
        ...drawable(curve),
      });
    }
  });
  return lines;
}

function groupLines(curves, runs, unit) {
  const groups = new Map();
  for (const run of runs) {
    const name = run.group ?? NO_GROUP;
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(run);
  }
  const lines = [];
  curves.forEach(({ name, byRun, width, exact }, number) => {
    for (const [group, among] of groups) {
      const members = among.map(({ uuid }) => byRun.get(uuid)).filter((curve) => curve?.x.length);
      if (!members.length) continue;
      const parts = members.map((curve) => ({ x: curve.x, ...drawable(curve) }));
      lines.push({
        id: curves.length > 1 ? `${group} ${name}` : group,
        uuid: null,
        name: group,
        metric: name,
        label: curves.length > 1 ? `${group} · ${name}` : group,
        colour: among[0].colour,
        raw: null,
        marks: { x: parts.flatMap(({ marks }) => marks.x), sign: parts.flatMap(({ marks }) => marks.sign) },
        dashes: DASHES[number % DASHES.length],
        area: true,
        bucket: Infinity,
        curve: null,
        digits: fewest(members),
        ...groupCurve(parts, exact ? 0 : width * unit),
      });
    }
  });
  return lines;
}

/** How many digits are good of what comes from several curves. */
function fewest(curves) {
  const least = (kind) => Math.min(...curves.map(({ digits }) => digits[kind]));
  return { last: least("last"), ends: least("ends") };
}

function smooth(line, smoothing) {
  line.raw = line.y;
  line.y = smoothed(line.y, smoothing);
}

const drawn = new WeakMap();

/** What of a curve can be drawn: `{y, low, high, marks}`; a band only where a bucket has several values. */
function drawable(curve) {
  let found = drawn.get(curve);
  if (!found) {
    const banded = differs(curve.min, curve.last) || differs(curve.max, curve.last);
    found = {
      y: finite(curve.last),
      low: banded ? finite(curve.min) : null,
      high: banded ? finite(curve.max) : null,
      marks: marksOf(curve),
    };
    drawn.set(curve, found);
  }
  return found;
}

function differs(values, others) {
  for (let at = 0; at < values.length; at += 1) if (values[at] !== others[at] && !Number.isNaN(values[at])) return true;
  return false;
}

/** These values, NaN for what is too great to be drawn. */
function finite(values) {
  const known = (value) => (Math.abs(value) > DRAWN_MAX ? NaN : value);
  return values.some((value) => Math.abs(value) > DRAWN_MAX) ? Float64Array.from(values, known) : values;
}

function marksOf({ x, last, min, max, nan, pos, neg }) {
  const marks = { x: [], sign: [] };
  const mark = (at, sign) => {
    marks.x.push(x[at]);
    marks.sign.push(sign);
  };
  for (let at = 0; at < x.length; at += 1) {
    if (nan?.[at]) mark(at, 0);
    if (pos?.[at] || max[at] > DRAWN_MAX || last[at] > DRAWN_MAX) mark(at, 1);
    if (neg?.[at] || min[at] < -DRAWN_MAX || last[at] < -DRAWN_MAX) mark(at, -1);
  }
  return marks;
}

/** What is not to be seen in the picture, in words. */
function notesOf(lines, logX, logY) {
  const notes = [];
  let [below, before] = [0, 0];
  for (const { x, y, raw } of lines) {
    if (logY) below += countOf(raw ?? y, (value) => value <= 0);
    if (logX) before += countOf(x, (value) => value <= 0);
  }
  const many = (count) => `${count.toLocaleString("en-US")} ${count === 1 ? "point is" : "points are"}`;
  if (below) notes.push(`${many(below)} not above 0, and not on the log y axis.`);
  if (before) notes.push(`${many(before)} not beyond 0, and not on the log x axis.`);
  if (lines.some(({ curve }) => curve?.approximate)) notes.push("Some points are drawn near their place, not at it.");
  return notes;
}

function countOf(values, isOne) {
  let many = 0;
  for (let at = 0; at < values.length; at += 1) if (isOne(values[at])) many += 1;
  return many;
}
