// The columns of the table of runs: which there are, what they are called, how wide they are.

import { signal } from "../ui.js";
import { keysOf } from "./runs_cells.js";
import { visible } from "./values.js";

/** Fields that are columns until others are chosen, beside usual metrics: by these runs are found in a narrow table. */
const BEFORE = ["status"];
const AFTER = ["started", "duration", "tag"];
const METRICS_MAX = 4;
const WORDS = "loss|acc|accuracy|reward|return|score|f1|auc|bleu|error|ppl|perplexity|mae|mse|rmse|iou|map";
const TELLING = new RegExp(`(^|[/_.-])(${WORDS})($|[/_.-])`, "i");
const WIDTHS = "steplog-column-widths"; // in the browser's storage
const WIDTH_MIN = 48;
const WIDTH_MAX = 800;

const TITLES = {
  name: "Name",
  status: "Status",
  id: "Id",
  tag: "Tags",
  group: "Group",
  job_type: "Job type",
  user: "User",
  started: "Started",
  ended: "Ended",
  duration: "Duration",
  lost: "Lost",
  seen: "Last heard of",
  last_point: "Last point",
  generation: "Generation",
  description: "Description",
  notes: "Notes",
};
const TOLD = /[^.]\.(last|min|max|count)$/;
const WIDTH_OTHER = 92; // a number's, at least
const TITLE_MAX = 190;
const LETTER = 7; // about the width of one
const WIDTH = { name: 190, status: 108, started: 92, ended: 92, duration: 96, tag: 140, description: 200, notes: 200 };

/** Whether a text that may come from an address is a field, as far as that can be told here. */
export function isField(text) {
  const isWritten = /^(?:[A-Za-z0-9_./-]|"(?:[^"\\\u0000-\u001f]|\\.)*")+$/.test(text);
  return Object.hasOwn(TITLES, text) || (isWritten && (/^config\.[^.]/.test(text) || TOLD.test(text)));
}

export const columnsOf = (chosen, metrics) => (chosen.length ? chosen : [...BEFORE, ...metrics, ...AFTER]);

/** The last values of the metrics that tell most about a run. */
export function usualMetrics(names) {
  const found = names.filter((name) => !name.startsWith("system/"));
  const telling = found.filter((name) => TELLING.test(name));
  return [...new Set([...telling, ...found])].slice(0, METRICS_MAX).map((name) => metricField(name, "last"));
}

/** A metric as the filter language names it. */
export function metricField(name, aggregate) {
  const bare = /^[A-Za-z0-9_./-]+$/.test(name) && !/^(config\.|-)/.test(name) && name !== "config";
  return `${bare ? name : JSON.stringify(name)}.${aggregate}`;
}

/** A field's parts: `{kind: "run" | "config" | "metric", name, aggregate}`. */
export function partsOf(field) {
  if (Object.hasOwn(TITLES, field)) return { kind: "run", name: field };
  if (field.startsWith("config.")) return { kind: "config", name: field.slice("config.".length) };
  const [, name, aggregate] = /^(.*)\.([a-z]+)$/s.exec(field) ?? [null, field, ""];
  return { kind: "metric", name: unquoted(name), aggregate };
}

/** What a column is called in its head. */
export function titleOf(field) {
  const { kind, name, aggregate } = partsOf(field);
  if (kind === "run") return TITLES[name];
  if (kind === "config") return visible(keysOf(name).join("."));
  return visible(aggregate === "last" ? name : `${name} ${aggregate}`);
}

/** Widths that were chosen, in pixels, by field. */
const widths = signal(remembered());

export const widthOf = (field) => widths.value[field] ?? WIDTH[field] ?? widthOfTitle(field);

/** Enough for the title of a column, within limits: the end of a name tells it from others. */
function widthOfTitle(field) {
  const wanted = titleOf(field).length * LETTER + 28; // its edges, and an arrow
  return Math.max(WIDTH_OTHER, Math.min(TITLE_MAX, wanted));
}

/** Make a column wider or narrower; null: as wide as at first. */
export function setWidth(field, pixels) {
  const { [field]: _before, ...rest } = widths.value;
  const limited = pixels === null ? {} : { [field]: Math.round(Math.max(WIDTH_MIN, Math.min(WIDTH_MAX, pixels))) };
  widths.value = { ...rest, ...limited };
  try {
    localStorage.setItem(WIDTHS, JSON.stringify(widths.value));
  } catch {
    // They are remembered nowhere, then.
  }
}

function remembered() {
  try {
    const given = Object.entries(JSON.parse(localStorage.getItem(WIDTHS)) ?? {});
    return Object.fromEntries(given.filter(([, width]) => width >= WIDTH_MIN && width <= WIDTH_MAX));
  } catch {
    return {};
  }
}

function unquoted(name) {
  try {
    return name.startsWith('"') ? JSON.parse(name) : name;
  } catch {
    return name;
  }
}
