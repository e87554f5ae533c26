// Values as text: numbers, names, JSON. Anything from a run is untrusted until it is text here.

const NOT_FINITE = { NaN, Infinity, "-Infinity": -Infinity };
// Control, separator, bidirectional and zero-width characters, lone surrogates. U+200C and U+200D stay: scripts and
// emoji need them.
const UNSEEN = new RegExp(
  [
    /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/,
    /[\ud800-\udbff](?![\udc00-\udfff])/,
    /(?<![\ud800-\udbff])[\udc00-\udfff]/,
  ].map(({ source }) => source).join("|"),
  "g",
);
const ANY = /[^]/g;
const GROUPED = new Intl.NumberFormat("en-US", { maximumFractionDigits: 20 });
const SHORT = new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 6 });
const TEXT_MAX = 20_000;

/** A JSON value as a number, NaN and infinities included; undefined for anything else. */
export function numeric(value) {
  if (typeof value === "number") return value;
  if (typeof value === "bigint" || typeof value === "boolean") return Number(value);
  return typeof value === "string" && Object.hasOwn(NOT_FINITE, value) ? NOT_FINITE[value] : undefined;
}

/** A number with up to six digits, an integer with all. */
export function number(value) {
  if (typeof value === "bigint") return GROUPED.format(value).replace("-", "−");
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return GROUPED.format(value).replace("-", "−");
  const size = Math.abs(value);
  return plain(size >= 1e6 || size < 1e-3 ? value.toExponential(4) : value.toPrecision(6));
}

/** Output of `toPrecision` or `toExponential` without trailing zeros. */
function plain(text) {
  return text.replace(/(\.\d*?)0+(?=e|$)/, "$1").replace(/\.(?=e|$)/, "").replaceAll("-", "−").replace("e+", "e");
}

/** Tick labels, all in one format. */
export function ticks(values) {
  const most = Math.max(...values.map(Math.abs));
  return values.map((value) => {
    if (value && (most >= 1e15 || most < 1e-3)) return plain(value.toExponential(6));
    return (most >= 1e4 ? SHORT : GROUPED).format(Number(value.toPrecision(10))).replace("-", "−");
  });
}

/** Any JSON value as one line. */
export function shown(value) {
  if (typeof value === "boolean") return String(value);
  const known = numeric(value);
  if (known !== undefined) return number(typeof value === "bigint" ? value : known);
  return cut(visible(typeof value === "string" ? value : json(value)));
}

/** Escape invisible characters; newlines and tabs too, unless `lines`; spaces where there is nothing else. */
export function visible(text, { lines = false } = {}) {
  return text.replace(lines || text.trim() ? UNSEEN : ANY, (found) =>
    lines && (found === "\n" || found === "\t") ? found : `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** The first 20,000 characters, and how many more there are. */
export function cut(text) {
  const more = text.length - TEXT_MAX;
  return more <= 0 ? text : `${text.slice(0, TEXT_MAX)} … ${number(more)} more characters`;
}

/** JSON text of a value that may contain BigInt. */
export function json(value, indent) {
  const plain = (_key, held) => (typeof held === "bigint" ? (JSON.rawJSON?.(String(held)) ?? String(held)) : held);
  return JSON.stringify(value, plain, indent);
}

/** A count with its noun: `1 run`, `1,200 runs`. */
export const many = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
