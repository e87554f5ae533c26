// Many lines at once: their columns of pixels are written into an image, where paths would take ten times as long.
//
// The buffer has a column after the other, so that a line's pixels in one are side by side; the image has rows.

import { eachColumn } from "./strokes.js";

const BAND_ALPHA = 0x40;
const HALF_WIDTH = 0.55; // of a line

let pixels = new Uint32Array(0); // shared by all charts: one draws at a time

/** Draw traces as `strokeTraces` does, but without dots and dashes, into the box of `view`; what was there goes. */
export function fillTraces(context, traces, view, ratio) {
  const { left, top, width, height } = view;
  if (pixels.length < width * height) pixels = new Uint32Array(width * height);
  pixels.fill(0, 0, width * height);
  const onto = { width, height, half: HALF_WIDTH * ratio };
  const from = traces.toReversed(); // the first one is on top
  for (const trace of from) if (trace.high) fillBand(onto, trace, view);
  for (const { line, x, raw } of from) if (raw) fillLine(onto, x, raw, view, inkOf(line.colour, BAND_ALPHA), false);
  for (const { line, x, y } of from) fillLine(onto, x, y, view, inkOf(line.colour, 0xff), true);
  context.putImageData(imageOf(context, width, height), left, top);
}

/** A pixel of a colour such as `#4a5ce0`, as an image has it on a little-endian machine. */
function inkOf(colour, alpha) {
  const number = parseInt(colour.slice(1), 16);
  return ((alpha << 24) | ((number & 0xff) << 16) | (number & 0xff00) | (number >> 16)) >>> 0;
}

function imageOf(context, width, height) {
  const image = context.createImageData(width, height);
  const rows = new Uint32Array(image.data.buffer);
  for (let x = 0; x < width; x += 8) {
    const end = Math.min(width, x + 8); // eight columns at a time stay in the cache
    for (let y = 0; y < height; y += 1) {
      for (let at = x; at < end; at += 1) rows[y * width + at] = pixels[at * height + y];
    }
  }
  return image;
}

function fillBand({ height }, trace, view) {
  const ink = inkOf(trace.line.colour, BAND_ALPHA);
  const [from, to] = view.inSight(trace.x);
  eachColumn(trace, from, to, view, (left, top, width, tall) => {
    const low = Math.max(0, top - view.top);
    const high = Math.min(height, top - view.top + tall);
    const start = left - view.left;
    const end = high > low ? start + width : start;
    for (let x = start; x < end; x += 1) pixels.fill(ink, x * height + low, x * height + high);
  });
}

/** Write each column that a line crosses, from its least to its greatest y there. */
function fillLine(onto, x, y, view, ink, smooth) {
  const [from, to] = view.inSight(x);
  const { x0, kx, y0, ky } = view;
  const { width, height } = onto;
  let column = -1; // the one at hand, none so far
  let [low, high] = [0, 0];
  let [beforeX, beforeY] = [NaN, NaN];
  for (let at = from; at < to; at += 1) {
    const hereX = (x[at] - x0) * kx;
    const hereY = height - (y[at] - y0) * ky;
    if (!(hereY === hereY)) {
      if (column >= 0) fillSpan(onto, column, low, high, ink, smooth);
      column = -1;
      beforeX = NaN;
      continue;
    }
    const there = Math.floor(hereX);
    if (there === column) {
      if (hereY < low) low = hereY;
      if (hereY > high) high = hereY;
    } else if (beforeX === beforeX && hereX > beforeX) {
      const slope = (hereY - beforeY) / (hereX - beforeX);
      let edge = column >= 0 ? column + 1 : 0; // where the line comes into the next column
      let edgeY = beforeY + slope * (edge - beforeX);
      if (column >= 0) fillSpan(onto, column, edgeY < low ? edgeY : low, edgeY > high ? edgeY : high, ink, smooth);
      for (const end = Math.min(there, width); edge < end; edge += 1) {
        const next = edgeY + slope;
        fillSpan(onto, edge, next < edgeY ? next : edgeY, next < edgeY ? edgeY : next, ink, smooth);
        edgeY = next;
      }
      column = there >= 0 && there < width ? there : -1;
      low = hereY < edgeY ? hereY : edgeY;
      high = hereY < edgeY ? edgeY : hereY;
    } else {
      column = there >= 0 && there < width ? there : -1;
      low = high = hereY;
    }
    if (hereX >= width) break;
    beforeX = hereX;
    beforeY = hereY;
  }
  if (column >= 0) fillSpan(onto, column, low, high, ink, smooth);
}

/** Write a column from `low` to `high`, widened by half a line; its ends in part, as far as they reach into a pixel. */
function fillSpan({ height, half }, column, low, high, ink, smooth) {
  const top = low - half > 0 ? low - half : 0;
  const bottom = high + half < height ? high + half : height;
  if (!(top < bottom)) return;
  const start = column * height;
  const first = Math.floor(top);
  const last = Math.floor(bottom);
  if (!smooth) {
    for (let at = first; at < (last > first ? last : first + 1); at += 1) pixels[start + at] = ink;
    return;
  }
  if (first === last) {
    blend(start + first, ink, bottom - top);
    return;
  }
  blend(start + first, ink, first + 1 - top);
  for (let at = first + 1; at < last; at += 1) pixels[start + at] = ink;
  if (bottom > last) blend(start + last, ink, bottom - last);
}

function blend(at, ink, part) {
  const under = pixels[at];
  const share = (part * 256) | 0;
  const rest = 256 - share;
  if (!under) {
    pixels[at] = ((ink & 0xffffff) | ((part * 255) << 24)) >>> 0;
    return;
  }
  const pairs = (((ink & 0xff00ff) * share + (under & 0xff00ff) * rest) >>> 8) & 0xff00ff;
  const green = (((ink & 0xff00) * share + (under & 0xff00) * rest) >>> 8) & 0xff00;
  const alpha = share + (((under >>> 24) * rest) >>> 8);
  pixels[at] = (((alpha > 255 ? 255 : alpha) << 24) | pairs | green) >>> 0;
}
