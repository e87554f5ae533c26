// Ticks of times and of durations, and a place on the x axis in words.

import { ticksOf } from "./ticks.js";

const [MINUTE, HOUR, DAY] = [60, 3600, 86400];
const UNITS = [[DAY, "d"], [HOUR, "h"], [MINUTE, "min"], [1, "s"]];
const STEPS_S = [1, 2, 5, 10, 15, 30, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE]
  .concat([1, 2, 3, 6, 12].map((hours) => hours * HOUR))
  .concat([1, 2, 5, 10, 30, 100, 365].map((days) => days * DAY));
const WHOLE = new Intl.NumberFormat("en-US", { maximumFractionDigits: 20 });
const DATE = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
const MONTH = new Intl.DateTimeFormat(undefined, { month: "short", year: "numeric" });
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const SECONDS = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit", second: "2-digit" });
const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** Ticks of the x axis of a kind: "step", "time" (seconds since the epoch, in local time), "relative" (seconds). */
export function xTicksOf(kind, range, count, log) {
  if (kind === "time") return timeTicks(range, count);
  if (kind === "relative" && !log) return durationTicks(range, count);
  const ticks = ticksOf(range, count, log);
  if (kind === "relative") return ticks.map(({ at }) => ({ at, text: durationText(10 ** at) }));
  const whole = log ? ticks : ticks.filter(({ at }) => Number.isInteger(at));
  return whole.length ? whole : ticks;
}

function stepOf([low, high], count) {
  const wanted = (high - low) / Math.max(1, count);
  return STEPS_S.find((step) => step >= wanted) ?? Math.ceil(wanted / (365 * DAY)) * 365 * DAY;
}

function durationTicks([low, high], count) {
  if ((high - low) / count < 1) {
    return ticksOf([low, high], count, false).map(({ at, text }) => ({ at, text: text === "0" ? "0" : `${text} s` }));
  }
  const step = stepOf([low, high], count);
  const unit = UNITS.find(([size]) => step % size === 0)[0];
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high; at += step) found.push({ at, text: durationText(at, unit) });
  return found;
}

/** Seconds in units down to one of `least` seconds, such as `1 h 30 min`; less than a minute in three digits. */
function durationText(seconds, least = 1) {
  if (seconds < 0) return `−${durationText(-seconds, least)}`;
  if (seconds < MINUTE) return seconds === 0 ? "0" : `${WHOLE.format(Number(seconds.toPrecision(3)))} s`;
  let left = Math.round(seconds / least) * least;
  const words = [];
  for (const [size, unit] of UNITS) {
    const many = Math.floor(left / size);
    left -= many * size;
    if (many) words.push(`${WHOLE.format(many)} ${unit}`);
  }
  return words.join(" ");
}

function timeTicks([low, high], count) {
  const step = (high - low) / count < 1 ? 0 : stepOf([low, high], count);
  const found = step >= DAY ? dates([low, high], step) : step ? clocks([low, high], step) : parts([low, high], count);
  let day = null;
  return found.map((at) => {
    const date = new Date(at * 1000);
    const midnight = date.getHours() + date.getMinutes() + date.getSeconds() === 0 && at === Math.floor(at);
    const [known, text] = [day, timeText(date, step, at)];
    day = date.getDate();
    return { at, text: step < DAY && midnight && known !== null ? DATE.format(date) : text };
  });
}

function timeText(date, step, at) {
  if (step >= 28 * DAY) return MONTH.format(date);
  if (step >= DAY) return DATE.format(date);
  if (step >= MINUTE) return CLOCK.format(date);
  return step ? SECONDS.format(date) : `${WHOLE.format(Number((((at % MINUTE) + MINUTE) % MINUTE).toFixed(6)))} s`;
}

/** Round times of the local clock, also where it is a part of an hour from UTC, and where it is changed. */
function clocks([low, high], step) {
  const found = [];
  const date = new Date(low * 1000);
  date.setHours(0, 0, 0, 0);
  for (let midnight = date; midnight.getTime() / 1000 <= high; midnight.setHours(24, 0, 0, 0)) {
    const start = midnight.getTime() / 1000;
    const first = Math.max(0, Math.ceil((low - start) / step)) * step;
    for (let at = start + first; at <= high && at < start + DAY - step / 2; at += step) found.push(at);
  }
  return found;
}

function dates([low, high], step) {
  const found = [];
  const byMonth = step >= 28 * DAY;
  const next = () => (byMonth ? date.setMonth(date.getMonth() + 1, 1) : date.setHours(24, 0, 0, 0));
  const date = new Date(low * 1000);
  date.setHours(0, 0, 0, 0);
  if (byMonth) date.setDate(1);
  let last = -Infinity;
  while (date.getTime() / 1000 < low) next();
  for (; date.getTime() / 1000 <= high; next()) {
    const at = date.getTime() / 1000;
    if (at - last < step * 0.9) continue;
    found.push(at);
    last = at;
  }
  return found;
}

const parts = (range, count) => ticksOf(range, count, false).map(({ at }) => at);

/** A place on the x axis in words. */
export function placeText(kind, x, step = x) {
  if (kind === "time") return MOMENT.format(new Date(x * 1000));
  if (kind === "relative") return durationText(x);
  return `step ${WHOLE.format(typeof step === "bigint" ? step : Number(Number(step).toPrecision(15)))}`;
}
