// What is under the cursor of a chart: the values of its lines at a place, sorted, in words.

import { number, visible } from "../data/values.js";
import { rounded, roundedEnd } from "./digits.js";
import { nearest } from "./ranges.js";
import { placeText } from "./time_ticks.js";

const ROWS_MAX = 12;
const BEYOND = 0.02; // of the width in sight: so far beyond its ends a line still has a value

/**
 * The values at `x`, in the units of the chart; null where no line has any.
 *
 * `{place, x, rows, more}`: at most `most` rows `{id, uuid, label, colour, dashes, x, y, value, extremes, runs}`, the
 * greatest value first, the line `chosen` before all; `more` is how many rows were left out: those that are farthest
 * from the chosen line, or else the least.
 */
export function readoutOf(scene, x, { most = ROWS_MAX, chosen = null } = {}) {
  if (x === null || !scene) return null;
  const beyond = widthOf(scene) * BEYOND;
  const rows = [];
  let closest = null;
  for (const line of scene.lines) {
    const at = nearest(line.x, x);
    if (at < 0 || x < line.x[0] - beyond || x > line.x.at(-1) + beyond) continue;
    if (!closest || Math.abs(line.x[at] - x) < Math.abs(closest.line.x[closest.at] - x)) closest = { line, at };
    rows.push({ line, at, y: line.y[at] });
  }
  if (!closest) return null;
  const order = ({ y }) => (Number.isNaN(y) ? -Infinity : y);
  rows.sort((a, b) => order(b) - order(a) || 0);
  return {
    place: placeText(scene.x.kind, closest.line.x[closest.at], closest.line.curve?.step?.[closest.at]),
    x: closest.line.x[closest.at],
    rows: around(rows, chosen, most).map(rowOf),
    more: Math.max(0, rows.length - most),
  };
}

/** Of sorted rows, the chosen one and those beside it; without one, the first. */
function around(rows, chosen, most) {
  const at = rows.findIndex(({ line }) => line.id === chosen);
  if (at < 0) return rows.slice(0, most);
  const from = Math.max(0, Math.min(at - Math.floor(most / 2), rows.length - most));
  const near = rows.slice(from, from + most).filter((row) => row !== rows[at]);
  return [rows[at], ...near];
}

/** The last values of a scene's lines, in the order of the lines: what a chart tells without a cursor. */
export function lastValues(scene, { most = ROWS_MAX } = {}) {
  const there = scene.lines.filter((line) => line.x.length);
  const rows = there.map((line) => ({ line, at: line.x.length - 1, y: line.y.at(-1) }));
  return { place: "", x: null, rows: rows.slice(0, most).map(rowOf), more: Math.max(0, rows.length - most) };
}

/** A readout in one line, for a screen reader. */
export function spoken(readout, most = 4) {
  const words = ({ label, value, extremes }) => `${visible(label)} ${value}${extremes && `, ${extremes}`}`;
  const said = readout.rows.slice(0, most).map(words);
  const more = readout.rows.length + readout.more - said.length;
  return `${readout.place}: ${said.join("; ")}${more ? `; and ${more.toLocaleString("en-US")} more` : ""}`;
}

function widthOf({ lines, x }) {
  if (x.range) return x.range[1] - x.range[0];
  let [low, high] = [Infinity, -Infinity];
  for (const line of lines) {
    if (line.x[0] < low) low = line.x[0];
    if (line.x.at(-1) > high) high = line.x.at(-1);
  }
  return high > low ? high - low : 0;
}

function rowOf({ line, at, y }) {
  const banded = line.low && line.low[at] < line.high[at];
  return {
    id: line.id,
    uuid: line.uuid,
    label: line.label,
    colour: line.colour,
    dashes: line.dashes,
    x: line.x[at],
    y,
    value: valueText(line, at, y),
    extremes: banded ? [line.low, line.high].map((ends) => number(endOf(line, ends, at))).join(" to ") : "",
    runs: line.runs ? line.runs[at] : null,
  };
}

const endOf = ({ raw, y, digits }, ends, at) => roundedEnd(ends[at], (raw ?? y)[at], digits);

/** The value of a point; of one that no line is drawn through, what it is. */
function valueText({ curve, digits }, at, y) {
  if (!Number.isNaN(y)) return number(rounded(y, digits.last));
  if (!curve) return "–";
  if (curve.nan?.[at]) return "NaN";
  if (curve.pos?.[at]) return "∞";
  if (curve.neg?.[at]) return "−∞";
  return Number.isNaN(curve.last[at]) ? "–" : number(curve.last[at]);
}
