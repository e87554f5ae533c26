// What moves over a chart: the cursor and the points that it reads, lines that are lifted out, what is being chosen.

import { inks } from "./inks.js";
import { nearest, toAxis } from "./ranges.js";
import { strokeTrace } from "./strokes.js";

const READ_MAX = 60; // lines whose points are shown at the cursor
const VEIL_ALPHA = 0.6;

/** Draw over a chart what it has: `{view, ratio, traces, scene, cursor, meant, emphasised, selection}`. */
export function paintOver(context, chart) {
  const { view, ratio, traces, selection } = chart;
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
  context.save();
  context.beginPath();
  context.rect(view.left - 5 * ratio, view.top - 5 * ratio, view.width + 10 * ratio, view.height + 10 * ratio);
  context.clip();
  const lifted = traces.filter(({ line }) => chart.emphasised.has(line.id) || chart.emphasised.has(line.uuid));
  const meant = traces.filter(({ line }) => line.id === chart.meant);
  if (lifted.length && lifted.length < traces.length) veil(context, view);
  for (const trace of [...lifted, ...meant]) lift(context, trace, view, ratio);
  if (chart.cursor !== null) paintCursor(context, chart);
  if (selection) paintSelection(context, selection, view, ratio);
  context.restore();
}

function veil(context, view) {
  context.fillStyle = inks().ground;
  context.globalAlpha = VEIL_ALPHA;
  context.fillRect(view.left, view.top, view.width, view.height);
  context.globalAlpha = 1;
}

function lift(context, trace, view, ratio) {
  context.save();
  context.beginPath();
  context.rect(view.left, view.top, view.width, view.height);
  context.clip();
  context.lineJoin = "round";
  const halo = { ...trace, line: { ...trace.line, colour: inks().ground, dashes: [] } };
  strokeTrace(context, halo, view, ratio, 5 * ratio, false);
  strokeTrace(context, trace, view, ratio, 2.6 * ratio, true);
  context.restore();
}

function paintCursor(context, { view, ratio, traces, scene, cursor, meant }) {
  const place = toAxis(cursor, scene.x.log);
  const left = view.x(place);
  if (!(left >= view.left - 1 && left <= view.left + view.width + 1)) return;
  context.strokeStyle = inks().label;
  context.lineWidth = Math.max(1, Math.round(ratio));
  context.beginPath();
  context.moveTo(Math.round(left) + 0.5, view.top);
  context.lineTo(Math.round(left) + 0.5, view.top + view.height);
  context.stroke();
  const read = traces.length <= READ_MAX ? traces : traces.filter(({ line }) => line.id === meant);
  for (const { line, x, y } of read) {
    const at = nearest(x, place);
    if (at < 0 || Number.isNaN(y[at]) || Math.abs(view.x(x[at]) - left) > view.width / 4) continue;
    context.beginPath();
    context.arc(view.x(x[at]), view.y(y[at]), (line.id === meant ? 4.5 : 3) * ratio, 0, 7);
    context.fillStyle = line.colour;
    context.strokeStyle = inks().ground;
    context.lineWidth = 1.5 * ratio;
    context.fill();
    context.stroke();
  }
}

/** `{left, top, width, height}` in device pixels: the box that a drag has chosen. */
function paintSelection(context, { left, top, width, height }, view, ratio) {
  context.fillStyle = inks().label;
  context.globalAlpha = 0.18;
  context.fillRect(left, top, width, height);
  context.globalAlpha = 0.8;
  context.strokeStyle = inks().label;
  context.lineWidth = ratio;
  context.strokeRect(Math.round(left) + 0.5, Math.round(top) + 0.5, Math.round(width) - 1, Math.round(height) - 1);
  context.globalAlpha = 1;
}
