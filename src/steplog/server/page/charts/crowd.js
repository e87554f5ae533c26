// Many lines at once: their columns of pixels are written into an image, where paths would take ten times as long.
//
// The buffer has a column after the other, so that a line's pixels in one are side by side; the image has rows. Numbers
// are 32-bit integers wherever they can be: each of a million points costs some nanoseconds.

import { Projection } from "./projection.js";

const PALE = 0x40; // of 0xff
const SOLID = 0xff;
const HALF_WIDTH = 0.55; // of a line

const COARSE = 2; // pixels a column
const scratch = new OffscreenCanvas(1, 1);
let pixels = new Int32Array(0); // shared by all charts: one draws at a time

/** Draw traces as `strokeTraces` does, but without dots and dashes, into the box of `view`; what was there goes. */
export function fillTraces(context, traces, view, ratio) {
  const draw = begin(view, ratio);
  const from = traces.toReversed(); // the first one is on top
  for (const trace of from) if (trace.high) draw.band(trace, PALE);
  for (const trace of from) if (trace.raw) draw.line(trace, trace.raw, PALE, false);
  for (const trace of from) draw.line(trace, trace.y, SOLID, true);
  context.putImageData(imageOf(context, view.width, view.height), view.left, view.top);
}

/** The same while a hand moves it, in half the time: columns are wider and edges are hard. All extremes are there. */
export function fillTracesCoarsely(context, traces, view, ratio) {
  const width = Math.ceil(view.width / COARSE);
  const coarse = new Projection({ ...view, width }, [view.x0, view.x1], [view.y0, view.y1]);
  const draw = begin(coarse, ratio);
  const from = traces.toReversed();
  for (const trace of from) if (trace.high) draw.band(trace, PALE);
  for (const trace of from) if (trace.raw && !trace.high) draw.line(trace, trace.raw, PALE, false);
  for (const trace of from) draw.line(trace, trace.y, SOLID, false);
  scratch.width = width;
  scratch.height = view.height;
  scratch.getContext("2d").putImageData(imageOf(context, width, view.height), 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(scratch, view.left, view.top, view.width, view.height);
}

/** What draws into the buffer, which is empty at first. */
function begin(view, ratio) {
  const size = view.width * view.height;
  if (pixels.length < size) pixels = new Int32Array(size);
  pixels.fill(0, 0, size);
  const half = HALF_WIDTH * ratio;
  return {
    band: (trace, alpha) => fillBand(pixels, trace, view, inkOf(trace.line.colour, alpha)),
    line: ({ line, x }, y, alpha, soft) => fillLine(pixels, x, y, view, half, inkOf(line.colour, alpha), soft),
  };
}

/** A pixel of a colour such as `#4a5ce0`, as an image has it on a little-endian machine. */
function inkOf(colour, alpha) {
  const number = parseInt(colour.slice(1), 16);
  return (alpha << 24) | ((number & 0xff) << 16) | (number & 0xff00) | (number >> 16);
}

function imageOf(context, width, height) {
  const image = context.createImageData(width, height);
  const rows = new Int32Array(image.data.buffer);
  for (let x = 0; x < width; x += 8) {
    const end = Math.min(width, x + 8); // eight columns at a time stay in the cache
    for (let y = 0; y < height; y += 1) {
      for (let at = x; at < end; at += 1) rows[y * width + at] = pixels[at * height + y];
    }
  }
  return image;
}

/**
 * Write what is between the least and the greatest value of each bucket, in whole pixels, up to its place from that of
 * the one before, or by its width. Of several buckets in a column the extremes count.
 */
function fillBand(onto, { x, low, high, bucket }, view, ink) {
  const { x0, kx, y0, ky, width, height } = view;
  const [from, to] = view.inSight(x);
  const wide = Math.min(width, bucket * kx);
  let [start, end] = [0, 0]; // the columns at hand, and what they have
  let [top, bottom] = [height, 0];
  for (let at = from; at < to; at += 1) {
    const place = (x[at] - x0) * kx;
    const there = place < width ? (place > 0 ? place | 0 : 0) : width;
    if (there > end || end === start) {
      fillColumns(onto, start, end, top, bottom, height, ink);
      const left = place - wide;
      start = left > end ? left | 0 : end;
      end = there > start ? there : start + 1;
      top = height;
      bottom = 0;
      if (start >= width) return;
    }
    const upper = height - (high[at] - y0) * ky;
    const lower = height - (low[at] - y0) * ky; // NaN of what is not above 0 on a log axis: to the bottom
    if (upper < top) top = upper > 0 ? upper | 0 : 0;
    if (upper === upper && !(lower < bottom)) bottom = lower < height ? (lower | 0) + 1 : height;
  }
  fillColumns(onto, start, Math.min(end, width), top, bottom, height, ink);
}

function fillColumns(onto, start, end, top, bottom, height, ink) {
  for (let column = start; column < end; column += 1) {
    const last = column * height + bottom;
    for (let at = column * height + top; at < last; at += 1) onto[at] = ink;
  }
}

/** Write each column that a line crosses, from its least to its greatest y there. */
function fillLine(onto, x, y, view, half, ink, smooth) {
  const [from, to] = view.inSight(x);
  const { x0, kx, y0, ky, width, height } = view;
  let column = -1; // the one at hand, none so far
  let [low, high] = [0, 0];
  let [beforeX, beforeY] = [NaN, NaN];
  for (let at = from; at < to; at += 1) {
    const hereX = (x[at] - x0) * kx;
    const hereY = height - (y[at] - y0) * ky;
    if (hereY !== hereY) {
      if (column >= 0) fillSpan(onto, column, low, high, height, half, ink, smooth);
      column = -1;
      beforeX = NaN;
      continue;
    }
    const there = hereX >= 0 && hereX < width ? hereX | 0 : -1;
    if (there === column && there >= 0) {
      if (hereY < low) low = hereY;
      if (hereY > high) high = hereY;
    } else if (hereX > beforeX) {
      const slope = (hereY - beforeY) / (hereX - beforeX);
      let edge = column >= 0 ? column + 1 : 0; // where the line comes into the next column
      let edgeY = beforeY + slope * (edge - beforeX);
      if (edgeY < low) low = edgeY;
      if (edgeY > high) high = edgeY;
      if (column >= 0) fillSpan(onto, column, low, high, height, half, ink, smooth);
      for (const end = hereX < width ? there : width; edge < end; edge += 1) {
        const next = edgeY + slope;
        fillSpan(onto, edge, next < edgeY ? next : edgeY, next < edgeY ? edgeY : next, height, half, ink, smooth);
        edgeY = next;
      }
      column = there;
      low = hereY < edgeY ? hereY : edgeY;
      high = hereY < edgeY ? edgeY : hereY;
    } else {
      column = there;
      low = high = hereY;
    }
    if (hereX >= width) break;
    beforeX = hereX;
    beforeY = hereY;
  }
  if (column >= 0) fillSpan(onto, column, low, high, height, half, ink, smooth);
}

/** Write a column from `low` to `high`, widened by half a line; its ends in part, as far as they reach into a pixel. */
function fillSpan(onto, column, low, high, height, half, ink, smooth) {
  const top = low - half > 0 ? low - half : 0;
  const bottom = high + half < height ? high + half : height;
  if (!(top < bottom)) return;
  const start = column * height;
  const first = top | 0;
  const last = bottom | 0;
  if (smooth && first < last) {
    blend(onto, start + first, ink, first + 1 - top);
    if (bottom > last) blend(onto, start + last, ink, bottom - last);
  } else if (smooth) blend(onto, start + first, ink, bottom - top);
  const end = start + last;
  for (let at = start + first + (smooth ? 1 : 0); at < end; at += 1) onto[at] = ink;
}

/** Write a part of a pixel, over what is there. */
function blend(onto, at, ink, part) {
  const under = onto[at];
  const share = (part * 256) | 0;
  if (under === 0) {
    onto[at] = (ink & 0xffffff) | ((share > 255 ? 255 : share) << 24);
    return;
  }
  const rest = 256 - share;
  const ends = Math.imul(ink & 0xff00ff, share) + Math.imul(under & 0xff00ff, rest);
  const green = Math.imul(ink & 0xff00, share) + Math.imul(under & 0xff00, rest);
  const alpha = share + (Math.imul(under >>> 24, rest) >> 8);
  onto[at] = ((alpha > 255 ? 255 : alpha) << 24) | ((ends >>> 8) & 0xff00ff) | ((green >>> 8) & 0xff00);
}
