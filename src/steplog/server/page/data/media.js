// Media among samples: images, audio, video, pages, tables and histograms, most of which are files of their run.

import { json, many, number, visible } from "./values.js";

const FILE = /^[0-9a-f]{32}$/;
const KINDS = ["image", "audio", "video", "html", "table", "file"]; // of what is in a file
const BINS_MAX = 10_000;
const KIND_IN_TEXT = /^\s*(\[?)\s*\{\s*"_type":\s*"(image|audio|video|html|table|file|histogram)"/;
const CAPTION_IN_TEXT = /"caption":\s*"((?:[^"\\]|\\.)*)"/;
const FILE_IN_TEXT = /"_type":\s*"(image|video)",\s*"file":\s*"([0-9a-f]{32})",\s*"type":\s*"image\//g;
const MANY = {
  image: "images", audio: "audio", video: "videos", html: "pages", table: "tables", file: "files",
  histogram: "histograms",
};
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

const tables = new WeakMap(); // what `tableOf` has made

/** Whether a value is in a file. */
export function isFile(value) {
  if (!isObject(value) || !KINDS.includes(value._type)) return false;
  return typeof value.file === "string" && FILE.test(value.file);
}

/** Whether a value is a histogram: counts, and the edges between and around them. */
export function isHistogram(value) {
  if (!isObject(value) || value._type !== "histogram") return false;
  const { values, bins } = value;
  const areNumbers = (list) => Array.isArray(list) && list.every(Number.isFinite);
  return areNumbers(values) && areNumbers(bins) && values.length > 0 && values.length <= BINS_MAX
    && bins.length === values.length + 1;
}

/** The columns of a table and its rows as objects, the same ones each time; null of what is none. */
export function tableOf(value) {
  if (!isTable(value)) return null;
  if (!tables.has(value)) {
    const columns = apart(value.columns.map(columnName));
    const row = (cells) => Object.fromEntries(columns.map((name, at) => [name, cells[at]]));
    tables.set(value, { columns, rows: value.data.map(row) });
  }
  return tables.get(value);
}

/** Whether a value is a table: the names of columns, and a list a row. */
function isTable(value) {
  return isObject(value) && value._type === "table" && Array.isArray(value.columns) && value.columns.length > 0
    && Array.isArray(value.data) && value.data.every(Array.isArray);
}

/** Names with a number after those that were there before. */
function apart(names) {
  const seen = new Map();
  return names.map((name) => {
    const times = (seen.get(name) ?? 0) + 1;
    seen.set(name, times);
    return times > 1 ? `${name} (${times})` : name;
  });
}

const columnName = (name) => (typeof name === "string" ? name : json(name));

/** Whether a value is more than JSON. */
export const isMedia = (value) => isFile(value) || isHistogram(value);

/** Whether a list, or the values of an object, are media, one and all. */
export function areMedia(value) {
  if (typeof value !== "object" || value === null) return false;
  const all = Object.values(value);
  return all.length > 0 && all.every(isMedia);
}

/** Whether a browser shows it as an image: animations are images, too. */
export function isPicture({ _type: kind, type }) {
  return kind === "image" || (kind === "video" && typeof type === "string" && type.startsWith("image/"));
}

/** Whether an image moves, as far as its type tells. */
export function mayMove({ _type: kind, type }) {
  return kind === "video" || type === "image/gif" || type === "image/apng";
}

/** Whether what was cut of a value's JSON text is the beginning of media. */
export const isMediaText = (text) => typeof text === "string" && KIND_IN_TEXT.test(text);

/** A value with media in a few words, or null; `value` may be the beginning of its JSON text. */
export function briefMedia(value) {
  if (typeof value === "string") {
    const [, list, kind] = KIND_IN_TEXT.exec(value) ?? [];
    if (!kind) return null;
    const [, caption = ""] = (!list && CAPTION_IN_TEXT.exec(value)) || [];
    return list ? `several ${MANY[kind]}` : joined(kind, unescaped(caption));
  }
  if (isMedia(value)) return briefOne(value);
  if (!areMedia(value)) return null;
  const all = Object.values(value);
  const kinds = new Set(all.map(({ _type: kind }) => kind));
  if (all.length === 1) return briefOne(all[0]);
  return `${number(all.length)} ${kinds.size === 1 ? MANY[all[0]._type] : "files"}`;
}

/** The ids of the images in a value, or in the beginning of its JSON text; a few of them. */
export function pictureIds(value, most = 16) {
  if (typeof value === "string") return [...value.matchAll(FILE_IN_TEXT)].slice(0, most).map(([, , id]) => id);
  const all = isFile(value) ? [value] : isObject(value) || Array.isArray(value) ? Object.values(value) : [];
  return all.filter((each) => isFile(each) && isPicture(each)).slice(0, most).map(({ file }) => file);
}

/** The caption as a text, "" without one. */
export const captionOf = ({ caption }) => (typeof caption === "string" ? caption : "");

/** A size in bytes, in words. */
export function sizeOf(bytes) {
  if (!Number.isFinite(bytes) || bytes < 0) return "";
  const unit = bytes < 1024 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10));
  const inUnit = bytes / 1024 ** unit;
  return `${unit && inUnit < 100 ? inUnit.toFixed(1) : number(Math.round(inUnit))} ${UNITS[unit]}`;
}

function briefOne(value) {
  const { _type: kind, width, height, rows, columns } = value;
  const areBoth = (one, other) => Number.isSafeInteger(one) && Number.isSafeInteger(other);
  const size = areBoth(width, height) ? `${number(width)} × ${number(height)}` : "";
  const wide = Array.isArray(columns) ? columns.length : columns;
  const table = kind === "table" && areBoth(rows, wide) ? `${number(rows)} × ${number(wide)}` : "";
  const bins = kind === "histogram" ? many(value.values.length, "bin") : "";
  return joined(kind, size || table || bins, captionOf(value));
}

const joined = (...parts) => parts.filter(Boolean).map((part) => visible(part)).join(" · ");
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

function unescaped(text) {
  try {
    return JSON.parse(`"${text}"`);
  } catch {
    return text;
  }
}
