// The filter of the runs as text: its conditions, what is meant by plain words, and what may be typed next.

const PLAIN = /^[A-Za-z0-9_.:-]+$/;
const READ_AS_OTHER = /^(true|false|null|-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?)$/;
const QUOTED = /"(?:[^"\\]|\\.)*"?/g;
const PIECE = /"(?:[^"\\]|\\.)*"?|\s+and(?=\s)\s*|[^"\s]+|\s+/g;
const STATUSES = ["RUNNING", "COMPLETED", "CRASHED", "FAILED"];

/** A text as a value of the filter language. */
export const valueText = (text) => (PLAIN.test(text) && !READ_AS_OTHER.test(text) ? text : JSON.stringify(text));

/** The conditions of a filter, as they are written. */
export function conditionsOf(where) {
  if (where.trim().startsWith("[")) return conditionsOfTriples(where);
  const found = [""];
  for (const [piece] of where.trim().matchAll(PIECE)) {
    if (/^\s+and\s*$/.test(piece)) found.push("");
    else found[found.length - 1] += piece;
  }
  return found.map((each) => each.trim()).filter(Boolean);
}

/** Those of a JSON array of triples `[field, operator, value]`, as text. */
function conditionsOfTriples(where) {
  try {
    const written = (value) => (typeof value === "string" ? valueText(value) : JSON.stringify(value));
    return JSON.parse(where).map(([field, operator, value]) => `${field}${operator}${written(value)}`);
  } catch {
    return [where.trim()];
  }
}

/** A filter with a condition more, or, if it has that, without. `isOnly`: in the place of others of the field. */
export function withSwitched(where, field, text, isOnly) {
  const wanted = text === null ? `${field}=null` : `${field}=${valueText(text)}`;
  const found = conditionsOf(where);
  const others = found.filter((each) => (isOnly ? !each.startsWith(`${field}=`) : each !== wanted));
  return (found.includes(wanted) ? others : [...others, wanted]).join(" and ");
}

export const hasCondition = (where, field, text) =>
  conditionsOf(where).includes(text === null ? `${field}=null` : `${field}=${valueText(text)}`);

/** What is typed, as a filter: words without any operator are looked for in all texts of a run. */
export function filterOf(text) {
  const typed = text.trim();
  if (!typed || typed.startsWith("[") || /[=<>~]/.test(typed.replace(QUOTED, ""))) return typed;
  const words = typed.match(/"(?:[^"\\]|\\.)*"|\S+/g) ?? [];
  return words.map((word) => `words~${valueText(word.replace(/^"(.*)"$/s, "$1"))}`).join(" and ");
}

/**
 * What is being typed at the end of a text: `{kind: "field", from, typed}`, or with the kind "value" and its `field`;
 * null where neither is.
 */
export function typedAt(text) {
  const from = text.length - (conditionsOf(text).at(-1)?.length ?? 0);
  if (/\s$/.test(text) && !/\sand\s+$/.test(text)) return null;
  if (!text.trim() || /\sand\s+$/.test(text)) return { kind: "field", from: text.length, typed: "" };
  const clause = text.slice(from);
  const compared = /^((?:"(?:[^"\\]|\\.)*"|[^\s"=!<>~])+)\s*(=|!=|~)\s*(\S*)$/.exec(clause);
  if (compared) {
    const [, field, , typed] = compared;
    return { kind: "value", field, from: text.length - typed.length, typed };
  }
  return /^[^\s=!<>~]*$/.test(clause) ? { kind: "field", from, typed: clause } : null;
}

/** Whether a filter that is being typed lacks its end: the operator or the value of its last condition. */
export function isUnfinished(text) {
  if (/(^|\s)config\.[^\s=<>~]*$/.test(text)) return true; // a field: no word
  const conditions = conditionsOf(text);
  const isFilter = filterOf(text) === text.trim();
  return isFilter && (/\sand\s*$/.test(text) || /(^[^=!<>~]+|[=!<>~])$/.test(conditions.at(-1) ?? "x=1"));
}

/** Values that a field may have, as texts of the language; `known` are those that were seen. */
export function valuesFor(field, known) {
  return (field === "status" ? STATUSES : (known[field] ?? [])).map(valueText);
}
