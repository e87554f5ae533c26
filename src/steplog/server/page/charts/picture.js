// The picture of a scene: frame, bands, lines and marks, on a canvas.

import { frameOf, strokeFrame } from "./axes.js";
import { fillTraces, fillTracesCoarsely } from "./crowd.js";
import { strokeMarks } from "./marks.js";
import { Projection } from "./projection.js";
import { spanOf, toAxis } from "./ranges.js";
import { strokeTraces } from "./strokes.js";
import { extentOf, heightsOf } from "./traces.js";

const Y_ROOM = 0.05;
const CROWD_POINTS = 40_000; // in sight, from which an image is quicker than paths
const COARSE_FROM = 250_000; // points, or columns of pixels of lines

/** The range of x of a scene, as the axis has it. */
export function xRangeOf({ x }, traces) {
  const given = x.range?.map((end) => toAxis(end, x.log));
  return given?.every(Number.isFinite) ? given : spanOf(extentOf(traces) ?? [0, 1], 0);
}

/** The range of y for what is in sight. */
export function yRangeOf({ y }, traces, xRange) {
  const given = y.range?.map((end) => toAxis(end, y.log));
  return given?.every(Number.isFinite) ? given : spanOf(heightsOf(traces, xRange), Y_ROOM);
}

/**
 * Paint a chart on a clear canvas: `{scene, traces, xRange, yRange, size, ratio, paths}`, `size` in CSS pixels, each of
 * `ratio` device pixels; `paths`: by no images; `moving`: by a hand. Returns the projection of its box.
 */
export function paintPicture(context, chart, inks) {
  const { scene, traces, ratio } = chart;
  const frame = frameOf(context, chart.size, { ...scene.x, range: chart.xRange }, { ...scene.y, range: chart.yRange });
  const view = new Projection(scaled(frame.box, ratio), chart.xRange, chart.yRange);
  const points = chart.paths ? 0 : pointsInSight(traces, view);
  if (points > CROWD_POINTS) {
    const work = Math.max(points, traces.length * view.width);
    const fill = chart.moving && work > COARSE_FROM ? fillTracesCoarsely : fillTraces;
    fill(context, traces, view, ratio);
    context.globalCompositeOperation = "destination-over"; // an image replaces what is there
    strokeFrame(context, frame, view, ratio, inks);
    context.globalCompositeOperation = "source-over";
  } else {
    strokeFrame(context, frame, view, ratio, inks);
    strokeTraces(context, traces, view, ratio);
  }
  strokeMarks(context, traces, view, ratio, inks.alarm);
  return view;
}

const scaled = ({ left, top, width, height }, by) => ({
  left: Math.round(left * by),
  top: Math.round(top * by),
  width: Math.max(1, Math.round(width * by)),
  height: Math.max(1, Math.round(height * by)),
});

function pointsInSight(traces, view) {
  let many = 0;
  for (const { x } of traces) {
    const [from, to] = view.inSight(x);
    many += to - from;
  }
  return many;
}
