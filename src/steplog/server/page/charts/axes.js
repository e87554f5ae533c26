// The frame of a chart: where its box is, grid lines, and labels.

import { ticksOf } from "./ticks.js";
import { xTicksOf } from "./time_ticks.js";

const FONT_SIZE = 11;
const FONT = `${FONT_SIZE}px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif`;
const [TOP, RIGHT, BOTTOM, GAP] = [8, 12, 22, 6];
const LEFT_MIN = 34;
const X_SPACE = { step: 62, time: 84, relative: 84 }; // between labels
const Y_SPACE = 28;
const TICKS_MAX = 10;

/**
 * Where a chart of a size has its box and its ticks. Lengths are in CSS pixels. `x` is `{kind, log, range}`, `y`
 * `{log, range}`, ranges as the axes have them.
 */
export function frameOf(context, { width, height }, x, y) {
  const tall = Math.max(1, height - TOP - BOTTOM);
  const yTicks = ticksOf(y.range, within(2, tall / Y_SPACE, TICKS_MAX), y.log);
  context.font = FONT;
  const widest = Math.max(0, ...yTicks.map(({ text }) => context.measureText(text).width));
  const left = Math.min(Math.max(LEFT_MIN, Math.ceil(widest) + GAP + 6), Math.floor(width / 2));
  const box = { left, top: TOP, width: Math.max(1, width - left - RIGHT), height: tall };
  const xTicks = xTicksOf(x.kind, x.range, within(1, box.width / X_SPACE[x.kind], TICKS_MAX), x.log);
  return { box, xTicks, yTicks };
}

const within = (least, wanted, most) => Math.max(least, Math.min(most, Math.floor(wanted)));

/** Draw the grid and the labels; `view` is of the box in device pixels. */
export function strokeFrame(context, { box, xTicks, yTicks }, view, ratio, inks) {
  context.save();
  context.strokeStyle = inks.grid;
  context.lineWidth = Math.max(1, Math.round(ratio));
  const crisp = (pixel) => Math.round(pixel) + (context.lineWidth % 2) / 2;
  const [right, bottom] = [view.left + view.width, view.top + view.height];
  context.beginPath();
  for (const { at } of xTicks) line(context, crisp(view.x(at)), view.top, crisp(view.x(at)), bottom);
  for (const { at } of yTicks) line(context, view.left, crisp(view.y(at)), right, crisp(view.y(at)));
  context.stroke();
  context.beginPath();
  context.strokeStyle = inks.axis;
  line(context, view.left, crisp(bottom), right, crisp(bottom));
  context.stroke();
  context.scale(ratio, ratio);
  context.font = FONT;
  context.fillStyle = inks.label;
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (const { at, text } of yTicks) context.fillText(text, box.left - GAP, view.y(at) / ratio);
  context.textBaseline = "top";
  strokeXLabels(context, xTicks, view, ratio, box);
  context.restore();
}

/** Labels are centred at their ticks, but stay in the chart and leave each other room. */
function strokeXLabels(context, ticks, view, ratio, box) {
  const right = box.left + box.width + RIGHT;
  let free = 0;
  context.textAlign = "left";
  for (const { at, text } of ticks) {
    const { width } = context.measureText(text);
    const left = Math.min(Math.max(2, view.x(at) / ratio - width / 2), right - width - 1);
    if (left < free) continue;
    context.fillText(text, left, box.top + box.height + GAP);
    free = left + width + 10;
  }
}

function line(context, fromX, fromY, toX, toY) {
  context.moveTo(fromX, fromY);
  context.lineTo(toX, toY);
}
