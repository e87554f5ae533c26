// Lines and bands by Canvas 2D. Where points are denser than pixels, a column of pixels has their extremes.

const DOTS_MAX = 40; // of a line in sight
const DOTTED_LINES_MAX = 30;
const THIN_FROM = 60; // lines
const DENSE = 2; // points a pixel, from which extremes are enough
const FAR = 1e5; // pixels: a canvas takes no greater numbers exactly
const AREA_ALPHA = 0.16;
const BAND_ALPHA = 0.36;
const BANDS_ALPHA = 0.22; // of each, where there are more than `FEW`
const FEW = 3;
const RAW_ALPHA = 0.3;

/** Draw traces, `{line, x, y, low, high, raw}` as the axes have them, the first one on top. */
export function strokeTraces(context, traces, view, ratio) {
  context.save();
  context.beginPath();
  context.rect(view.left, view.top, view.width, view.height);
  context.clip();
  context.lineJoin = "round";
  const from = traces.toReversed();
  for (const trace of from) if (trace.high) strokeBand(context, trace, view, traces.length);
  for (const trace of from) if (trace.raw) strokeRaw(context, trace, view, ratio);
  const width = (traces.length > THIN_FROM ? 1 : 1.6) * ratio;
  for (const trace of from) strokeTrace(context, trace, view, ratio, width, traces.length <= DOTTED_LINES_MAX);
  context.restore();
}

/** Draw one line, with dots where its points are few. */
export function strokeTrace(context, { line, x, y }, view, ratio, width, dotted) {
  const [from, to] = view.inSight(x);
  context.strokeStyle = context.fillStyle = line.colour;
  context.lineWidth = width;
  context.setLineDash(line.dashes.map((length) => length * ratio));
  context.beginPath();
  const lone = path(context, x, y, from, to, view);
  context.stroke();
  context.setLineDash([]);
  const all = dotted && to - from <= DOTS_MAX;
  if (!all && !lone.length) return;
  context.beginPath();
  const size = Math.max(width / 2 + 0.8 * ratio, 2 * ratio);
  for (let at = from; all && at < to; at += 1) dot(context, view.x(x[at]), view.y(y[at]), size);
  for (const at of all ? [] : lone) dot(context, view.x(x[at]), view.y(y[at]), size);
  context.fill();
}

function dot(context, x, y, size) {
  if (Number.isNaN(y)) return;
  context.moveTo(x + size, y);
  context.arc(x, y, size, 0, 7);
}

function strokeRaw(context, { line, x, raw }, view, ratio) {
  const [from, to] = view.inSight(x);
  context.globalAlpha = RAW_ALPHA;
  context.strokeStyle = line.colour;
  context.lineWidth = ratio;
  context.beginPath();
  path(context, x, raw, from, to, view);
  context.stroke();
  context.globalAlpha = 1;
}

/** Add a line to the path; returns the indexes of points without a neighbour. */
function path(context, x, y, from, to, view) {
  const dense = to - from > view.width * DENSE;
  const lone = [];
  for (let at = from; at < to; ) {
    if (Number.isNaN(y[at])) {
      at += 1;
      continue;
    }
    let end = at + 1;
    while (end < to && !Number.isNaN(y[end])) end += 1;
    if (end === at + 1) lone.push(at);
    else if (dense) columns(context, x, y, at, end, view);
    else points(context, x, y, at, end, view);
    at = end;
  }
  return lone;
}

const near = (pixel) => (pixel > FAR ? FAR : pixel < -FAR ? -FAR : pixel);

function points(context, x, y, from, to, view) {
  const { left, x0, kx, y0, ky } = view;
  const bottom = view.top + view.height;
  context.moveTo(near(left + (x[from] - x0) * kx), near(bottom - (y[from] - y0) * ky));
  for (let at = from + 1; at < to; at += 1) {
    context.lineTo(near(left + (x[at] - x0) * kx), near(bottom - (y[at] - y0) * ky));
  }
}

/** A line through the first, the least, the greatest and the last value of each column of pixels. */
function columns(context, x, y, from, to, view) {
  const { left, x0, kx, y0, ky } = view;
  const bottom = view.top + view.height;
  let column = Math.floor((x[from] - x0) * kx);
  let first = y[from];
  let [low, high, last] = [first, first, first];
  let begun = false;
  const flush = () => {
    const at = near(left + column + 0.5);
    if (begun) context.lineTo(at, near(bottom - (first - y0) * ky));
    else context.moveTo(at, near(bottom - (first - y0) * ky));
    begun = true;
    if (low === high) return;
    context.lineTo(at, near(bottom - (low - y0) * ky));
    context.lineTo(at, near(bottom - (high - y0) * ky));
    context.lineTo(at, near(bottom - (last - y0) * ky));
  };
  for (let at = from + 1; at < to; at += 1) {
    const value = y[at];
    const there = Math.floor((x[at] - x0) * kx);
    if (there !== column) {
      flush();
      column = there;
      first = low = high = last = value;
      continue;
    }
    if (value < low) low = value;
    if (value > high) high = value;
    last = value;
  }
  flush();
  context.lineTo(near(left + column + 0.6), near(bottom - (last - y0) * ky)); // one column alone is a line, too
}

function strokeBand(context, trace, view, lines) {
  const [from, to] = view.inSight(trace.x);
  context.fillStyle = trace.line.colour;
  const asArea = trace.line.area && to - from < view.width / 3;
  context.globalAlpha = trace.line.area ? AREA_ALPHA : lines > FEW ? BANDS_ALPHA : BAND_ALPHA;
  if (asArea) fillArea(context, trace, from, to, view);
  else eachColumn(trace, from, to, view, (left, top, width, height) => context.fillRect(left, top, width, height));
  context.globalAlpha = 1;
}

function fillArea(context, { x, low, high }, from, to, view) {
  const bottom = view.top + view.height;
  for (let at = from; at < to; ) {
    let end = at;
    while (end < to && high[end] >= -Infinity) end += 1;
    context.beginPath();
    for (let one = at; one < end; one += 1) context.lineTo(near(view.x(x[one])), near(view.y(high[one])));
    for (let one = end - 1; one >= at; one -= 1) {
      context.lineTo(near(view.x(x[one])), Number.isNaN(low[one]) ? bottom : near(view.y(low[one])));
    }
    context.fill();
    at = Math.max(end, at + 1);
  }
}

/**
 * Calls `fill(left, top, width, height)` for the columns of a band, in whole pixels: each bucket reaches to its place
 * from that of the one before, or by its width. What is not above 0 on a log axis reaches to the bottom.
 */
function eachColumn({ x, low, high, bucket }, from, to, view, fill) {
  const bottom = view.top + view.height;
  const right = view.left + view.width;
  const pixel = (value) => Math.floor(Math.max(view.left, Math.min(right, view.x(value))));
  let end = pixel(from > 0 ? x[from - 1] : x[from] - bucket);
  let [start, least, most] = [end, Infinity, -Infinity];
  const flush = () => {
    if (!(most >= least)) return;
    const top = Math.floor(near(view.y(most)));
    fill(start, top, end - start, Math.max(1, Math.ceil(least === -Infinity ? bottom : near(view.y(least))) - top));
  };
  for (let at = from; at < to; at += 1) {
    const there = pixel(x[at]);
    if (there > end || end === start || (there === end && end > start + 1)) {
      flush();
      start = Math.max(end, pixel(x[at] - bucket));
      end = Math.max(there, start + 1);
      [least, most] = [Infinity, -Infinity];
    }
    const [value, top] = [low[at], high[at]];
    if (top > most) most = top;
    if (value < least) least = value;
    else if (Number.isNaN(value) && !Number.isNaN(top)) least = -Infinity;
  }
  flush();
}
