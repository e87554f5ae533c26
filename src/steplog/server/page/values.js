// Values as text: numbers, names, dates. Whatever comes from a run is hostile until it is text here.

const NOT_FINITE = { NaN, Infinity, "-Infinity": -Infinity };
// Control characters, separators, what changes direction or has no width, halves of surrogate pairs. U+200C and
// U+200D stay: scripts and emoji are made with them.
const UNSEEN =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
const GROUPED = new Intl.NumberFormat("en-US", { maximumFractionDigits: 20 });
const SHORT = new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 6 });
const FULL_DATE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const TEXT_MAX = 20_000;

/** The number that a JSON value stands for, NaN and infinities included; undefined for what is no number. */
export function numeric(value) {
  if (typeof value === "number") return value;
  if (typeof value === "bigint" || typeof value === "boolean") return Number(value);
  return typeof value === "string" && Object.hasOwn(NOT_FINITE, value) ? NOT_FINITE[value] : undefined;
}

/** A number in up to six digits; an integer in all of them. */
export function number(value) {
  if (typeof value === "bigint") return GROUPED.format(value).replace("-", "−");
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return GROUPED.format(value).replace("-", "−");
  const size = Math.abs(value);
  return plain(size >= 1e6 || size < 1e-3 ? value.toExponential(4) : value.toPrecision(6));
}

/** What `toPrecision` and `toExponential` give, without zeros that say nothing. */
function plain(text) {
  return text.replace(/(\.\d*?)0+(?=e|$)/, "$1").replace(/\.(?=e|$)/, "").replaceAll("-", "−").replace("e+", "e");
}

/** The numbers along an axis, all written alike. */
export function ticks(values) {
  const most = Math.max(...values.map(Math.abs));
  return values.map((value) => {
    if (value && (most >= 1e15 || most < 1e-3)) return plain(value.toExponential(6));
    return (most >= 1e4 ? SHORT : GROUPED).format(Number(value.toPrecision(10))).replace("-", "−");
  });
}

/** Any JSON value in one line of text. */
export function shown(value) {
  if (typeof value === "boolean") return String(value);
  const known = numeric(value);
  if (known !== undefined) return number(typeof value === "bigint" ? value : known);
  return cut(visible(typeof value === "string" ? value : json(value)));
}

/** A text with what cannot be seen in it written out; line ends and tabs too, unless `lines`. */
export function visible(text, { lines = false } = {}) {
  return text.replace(UNSEEN, (found) =>
    lines && (found === "\n" || found === "\t") ? found : `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** At most 20,000 characters of a text, and how many more there are. */
export function cut(text) {
  return text.length <= TEXT_MAX ? text : `${text.slice(0, TEXT_MAX)} … ${number(text.length - TEXT_MAX)} more characters`;
}

/** JSON text of a value that may hold BigInt. */
export function json(value, indent) {
  const plain = (_key, held) => (typeof held === "bigint" ? (JSON.rawJSON?.(String(held)) ?? String(held)) : held);
  return JSON.stringify(value, plain, indent);
}

/** How many of what: `1 run`, `1,200 runs`. */
export const many = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;

export const clock = (date) => CLOCK.format(date);
export const fullDate = (iso) => FULL_DATE.format(new Date(iso));

/** How long ago, in words. */
export function ago(iso) {
  const seconds = (Date.now() - new Date(iso)) / 1000;
  if (!(seconds >= 45)) return "just now";
  for (const [unit, size, most] of [["min", 60, 60], ["h", 3600, 36], ["day", 86400, 60]]) {
    const count = Math.max(1, Math.round(seconds / size));
    if (count < most) return `${unit === "day" ? many(count, unit) : `${count} ${unit}`} ago`;
  }
  return new Date(iso).toLocaleDateString(undefined, { dateStyle: "medium" });
}
