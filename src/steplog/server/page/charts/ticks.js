// Ticks of an axis: `{at, text}`, `at` as the axis has it.

import { fromAxis } from "./ranges.js";

const UNITS = [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]];
const COMPACT_FROM = 1e4;
const EXPONENT_FROM = 1e15;
const EXPONENT_BELOW = 1e-4;
const GROUPED = new Intl.NumberFormat("en-US", { maximumFractionDigits: 20 });

/** Ticks of numbers for a range, about `count` of them. */
export function ticksOf([low, high], count, log) {
  if (!log) return linearTicks(low, high, count);
  if (high - low < 2) return narrowLogTicks(low, high, count);
  const every = Math.max(1, Math.ceil((high - low) / count));
  const found = [];
  for (let power = Math.ceil(low / every) * every; power <= high; power += every) {
    found.push({ at: power, text: powerOfTen(power) });
  }
  return found;
}

/** Less than two decades have few powers of ten: 1, 2 and 5 times a power, or round values. */
function narrowLogTicks(low, high, count) {
  const [from, to] = [fromAxis(low, true), fromAxis(high, true)];
  const values = [];
  for (let power = Math.floor(low); power <= high; power += 1) {
    values.push(...[1, 2, 5].map((by) => Number(`${by}e${power}`)).filter((value) => value >= from && value <= to));
  }
  const each = (at) => ({ at, text: formatOf([at], at)(at) });
  const found = values.length < 3 ? linearTicks(from, to, count) : values.map(each);
  return found.filter(({ at }) => at > 0).map(({ at, text }) => ({ at: Math.log10(at), text }));
}

function linearTicks(low, high, count) {
  const step = niceStep((high - low) / Math.max(1, count));
  const first = Math.ceil(low / step - 1e-9);
  const found = [];
  for (let number = 0; number <= count * 3; number += 1) {
    const at = (first + number) * step;
    if (at > high + step * 1e-9) break;
    if (at !== found.at(-1)) found.push(at);
  }
  const write = formatOf(found, step);
  return found.map((at) => ({ at, text: write(at) }));
}

/** 1, 2 or 5 times a power of ten, at least `wanted`. */
function niceStep(wanted) {
  const power = 10 ** Math.floor(Math.log10(wanted));
  const step = [1, 2, 5, 10].find((by) => by * power >= wanted * (1 - 1e-9)) * power;
  return step > 0 && Number.isFinite(step) ? step : Number.MIN_VALUE;
}

/** All labels of an axis are in one format, with as many digits as tell its ticks apart. */
function formatOf(values, step) {
  const most = Math.max(0, ...values.map(Math.abs));
  if (most >= EXPONENT_FROM || (most > 0 && most < EXPONENT_BELOW)) {
    const digits = Math.min(15, Math.max(0, magnitude(most) - magnitude(step)));
    return (value) => (value === 0 ? "0" : signed(trimmed(value.toExponential(digits))));
  }
  const [by, unit] = (most >= COMPACT_FROM && UNITS.find(([size]) => most >= size)) || [1, ""];
  const decimals = Math.max(0, -magnitude(step / by));
  if (by > 1 && decimals > 2) return (value) => signed(GROUPED.format(Number(value.toPrecision(15))));
  const short = (value) => GROUPED.format(Number((value / by).toFixed(Math.min(20, decimals))));
  return (value) => (value === 0 ? "0" : signed(`${short(value)}${unit}`));
}

function powerOfTen(power) {
  if (power >= -4 && power < 4) return GROUPED.format(Number(`1e${power}`));
  const unit = power >= 4 && power < 15 && UNITS.find(([size]) => 10 ** power >= size);
  return unit ? `${Math.round(10 ** power / unit[0])}${unit[1]}` : signed(`1e${power}`);
}

const magnitude = (value) => Math.floor(Math.log10(value) + 1e-9);
const signed = (text) => text.replaceAll("-", "−").replace("e+", "e");
const trimmed = (text) => text.replace(/(\.\d*?)0+(?=e)/, "$1").replace(/\.(?=e)/, "");
