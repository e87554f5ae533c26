// A chart as a file: CSV of the points that are drawn, and pictures with a title and a legend.

import { visible } from "../data/values.js";
import { rounded, roundedEnd } from "./digits.js";
import { paintPicture, xRangeOf, yRangeOf } from "./picture.js";
import { SvgContext } from "./svg.js";
import { traceOf } from "./traces.js";

// Pictures are light whatever the page is: they go into documents.
const INKS = {
  ground: "#ffffff",
  text: "#1d1f23",
  label: "#5c6168",
  grid: "#e3e4e3",
  axis: "#c8cac9",
  alarm: "#c2362b",
};
const SIZE = { width: 960, height: 540 };
const PNG_RATIO = 2;
const [MARGIN, TITLE, ROW] = [16, 40, 20];
const NAMED_MAX = 24; // lines in a legend
const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';
const X_COLUMNS = { step: "step", time: "time", relative: "seconds" };

/**
 * The points that a chart draws, as CSV (RFC 4180), with all digits that are good: of buckets of several points the
 * last value, the least, the greatest, and how many points there are; of groups the mean, and over how many runs it is.
 */
export function csvOf(scene) {
  const grouped = scene.lines.some(({ runs }) => runs);
  const smoothed = scene.lines.some(({ raw }) => raw);
  const place = X_COLUMNS[scene.x.kind];
  const steps = scene.x.kind === "step" ? [] : ["step"];
  const values = grouped ? ["mean", "min", "max", "runs"] : ["last", "min", "max", "count", "nan", "inf", "-inf"];
  const head = grouped ? ["group", "metric", place, ...values] : ["run", "uuid", "metric", place, ...steps, ...values];
  const rows = [[...head, ...(smoothed ? ["smoothed"] : [])]];
  for (const line of scene.lines) {
    for (let at = 0; at < line.x.length; at += 1) {
      if (scene.x.range && (line.x[at] < scene.x.range[0] || line.x[at] > scene.x.range[1])) continue;
      const row = grouped ? groupRow(line, at, scene.x.kind) : runRow(line, at, scene.x.kind);
      rows.push(smoothed ? [...row, rounded(line.y[at], line.digits.last)] : row);
    }
  }
  return rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

function groupRow({ name, metric, x, y, raw, low, high, runs, digits }, at, kind) {
  const mean = (raw ?? y)[at];
  const ends = [low, high].map((each) => roundedEnd(each[at], mean, digits));
  return [name, metric, placeOf(kind, x[at]), rounded(mean, digits.last), ...ends, runs[at]];
}

function runRow({ name, uuid, metric, x, curve, digits }, at, kind) {
  const place = kind === "step" ? [curve.step[at]] : [placeOf(kind, x[at]), curve.step[at]];
  const others = [curve.nan, curve.pos, curve.neg].map((column) => column?.[at] ?? 0);
  const last = curve.last[at];
  const ends = [curve.min, curve.max].map((each) => roundedEnd(each[at], last, digits));
  return [name, uuid, metric, ...place, rounded(last, digits.last), ...ends, curve.count[at], ...others];
}

const placeOf = (kind, x) => (kind === "time" ? new Date(x * 1000).toISOString() : x);

function cell(value) {
  const text = Number.isNaN(value) ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** The chart as an SVG document. */
export function svgOf(scene, size = SIZE) {
  const context = new SvgContext(size.width, size.height);
  const plot = sheet(context, scene, size);
  context.save();
  context.translate(plot.left, plot.top);
  paintPicture(context, { ...chartOf(scene, plot, 1), paths: true }, INKS);
  context.restore();
  return context.text();
}

/** The chart as a PNG file, a promise of a Blob. */
export function pngOf(scene, size = SIZE, ratio = PNG_RATIO) {
  const canvas = new OffscreenCanvas(size.width * ratio, size.height * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const plot = sheet(context, scene, size);
  const picture = new OffscreenCanvas(plot.width * ratio, plot.height * ratio);
  paintPicture(picture.getContext("2d"), chartOf(scene, plot, ratio), INKS);
  context.drawImage(picture, plot.left, plot.top, plot.width, plot.height);
  return canvas.convertToBlob({ type: "image/png" });
}

function chartOf(scene, { width, height }, ratio) {
  const traces = scene.lines.map((line) => traceOf(line, scene));
  const xRange = xRangeOf(scene, traces);
  return { scene, traces, ratio, xRange, yRange: yRangeOf(scene, traces, xRange), size: { width, height } };
}

/** Draw the title and the legend on a sheet; returns the box that they leave to the chart. */
function sheet(context, scene, { width, height }) {
  context.fillStyle = INKS.ground;
  context.fillRect(0, 0, width, height);
  context.textBaseline = "middle";
  context.textAlign = "left";
  context.fillStyle = INKS.text;
  context.font = `600 15px ${FONT}`;
  context.fillText(cutTo(context, visible(scene.label), width - 2 * MARGIN), MARGIN, TITLE / 2);
  context.font = `12px ${FONT}`;
  const rows = legendRows(context, scene.lines, width - 2 * MARGIN);
  const top = height - MARGIN / 2 - rows.length * ROW;
  rows.forEach((row, number) => row.forEach((item) => legendItem(context, item, top + (number + 0.5) * ROW)));
  return { left: MARGIN / 2, top: TITLE, width: width - MARGIN, height: Math.max(80, Math.floor(top - TITLE - 4)) };
}

function legendRows(context, lines, width) {
  const rows = [[]];
  let left = 0;
  const more = lines.length - NAMED_MAX;
  const named = lines.slice(0, NAMED_MAX);
  const items = named.map((line) => ({ line, text: cutTo(context, visible(line.label), width / 3) }));
  if (more > 0) items.push({ line: null, text: `and ${more.toLocaleString("en-US")} more` });
  for (const item of items) {
    const wide = context.measureText(item.text).width + 40;
    if (left + wide > width && rows.at(-1).length) {
      rows.push([]);
      left = 0;
    }
    rows.at(-1).push({ ...item, left: MARGIN + left });
    left += wide;
  }
  return rows;
}

function legendItem(context, { line, text, left }, top) {
  if (line) {
    context.strokeStyle = line.colour;
    context.lineWidth = 2;
    context.setLineDash(line.dashes);
    context.beginPath();
    context.moveTo(left, top);
    context.lineTo(left + 18, top);
    context.stroke();
    context.setLineDash([]);
  }
  context.fillStyle = INKS.text;
  context.fillText(text, line ? left + 24 : left, top);
}

function cutTo(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let length = Math.min(text.length, 400);
  while (length > 1 && context.measureText(`${text.slice(0, length)}…`).width > width) length -= 1;
  return `${text.slice(0, length)}…`;
}
