// Dates and durations, by the server's clock: the browser's may be minutes off.

const FULL_DATE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const SKEW_MS = 2000; // below this the clocks agree: the Date header has whole seconds, and took a while to come
const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
const DATED_MS = 60 * 86400_000; // what is longer ago has its date

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
  if (ms < (fine ? 1000 : 45_000)) return "just now";
  return ms < DATED_MS ? `${span(ms, 1)} ago` : new Date(iso).toLocaleDateString(undefined, { dateStyle: "medium" });
}

/** A length of time, cut to its greatest units, such as `2 h 14 min`; as `cli` does it. */
export function span(ms, parts = 2) {
  let left = Math.max(0, Math.floor(ms / 1000));
  const counts = UNITS.map(([unit, seconds]) => {
    const count = Math.floor(left / seconds);
    left %= seconds;
    return [count, unit];
  });
  const first = counts.findIndex(([count]) => count);
  const given = first === -1 ? counts.slice(-1) : counts.slice(first, first + parts).filter(([count]) => count);
  return given.map(([count, unit]) => `${count} ${unit}`).join(" ");
}

/** Calls `tick` once a second while the page is visible. */
export function everySecond(tick) {
  setInterval(() => document.hidden || tick(), 1000);
}
