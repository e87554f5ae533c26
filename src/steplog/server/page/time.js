// Dates and durations, by the server's clock: the browser's may be minutes off.

import { many } from "./values.js";

const FULL_DATE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const SKEW_MS = 2000; // below this the clocks agree: the Date header has whole seconds, and took a while to come
const UNITS = [["min", 60, 60], ["h", 3600, 36], ["day", 86400, 60]]; // name, seconds, and how many before the next

let ahead_ms = 0; // how far the server's clock is ahead of this one

/** Note the server's clock, from a response's Date header. */
export function hear(header) {
  const told = Date.parse(header ?? "") - Date.now();
  if (Math.abs(told - ahead_ms) > SKEW_MS) ahead_ms = Math.abs(told) > SKEW_MS ? told : 0;
}

/** The server's time in milliseconds. */
export const now = () => Date.now() + ahead_ms;

/** Milliseconds since a date; NaN without one. */
export const since = (iso) => now() - Date.parse(iso ?? "");

export const clock = (date) => CLOCK.format(date);
export const fullDate = (iso) => (Number.isNaN(since(iso)) ? "unknown" : FULL_DATE.format(new Date(iso)));

/** Relative time; to the second if `fine`. */
export function ago(iso, { fine = false } = {}) {
  const ms = since(iso);
  if (Number.isNaN(ms)) return "at an unknown time";
  if (!(ms >= (fine ? 1000 : 45_000))) return "just now";
  const rough = roughly(ms);
  return rough ? `${rough} ago` : new Date(iso).toLocaleDateString(undefined, { dateStyle: "medium" });
}

/** A length of time in its largest unit, such as `12 min`; null above 60 days. */
export function roughly(ms) {
  const seconds = ms / 1000;
  if (seconds < 45) return `${Math.floor(seconds)} s`;
  for (const [unit, size, most] of UNITS) {
    const count = Math.max(1, Math.round(seconds / size));
    if (count < most) return unit === "day" ? many(count, unit) : `${count} ${unit}`;
  }
  return null;
}

/** A length of time in two units, such as `2 h 14 min`. */
export function duration(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const [days, h, min, s] = [seconds / 86400, (seconds / 3600) % 24, (seconds / 60) % 60, seconds % 60].map(Math.floor);
  if (days) return `${many(days, "day")} ${h} h`;
  if (h) return `${h} h ${min} min`;
  return min ? `${min} min ${s} s` : `${s} s`;
}

/** Calls `tick` once a second while the page is visible. */
export function everySecond(tick) {
  setInterval(() => document.hidden || tick(), 1000);
}
