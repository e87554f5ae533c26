// The filter of the runs as text: its conditions, and what is meant by plain words.

const PLAIN = /^[A-Za-z0-9_.:-]+$/;
const READ_AS_OTHER = /^(true|false|null|-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?)$/;
const QUOTED = /"(?:[^"\\]|\\.)*"?/g;
const CONDITION = /(?:"(?:[^"\\]|\\.)*"?|[^"])+?(?=\s+and\s|$)/gy;

/** A text as a value of the filter language. */
export const valueText = (text) => (PLAIN.test(text) && !READ_AS_OTHER.test(text) ? text : JSON.stringify(text));

export const condition = (field, text) => `${field}=${valueText(text)}`;

/** The conditions of a filter, as they are written. */
export function conditionsOf(where) {
  const found = [];
  let rest = where.trim();
  while (rest) {
    CONDITION.lastIndex = 0;
    const [part] = CONDITION.exec(rest) ?? [rest];
    found.push(part.trim());
    rest = rest.slice(part.length).replace(/^\s+and\s+/, "");
  }
  return found;
}

/** A filter with a condition more. */
export const withCondition = (where, field, text) => {
  const wanted = condition(field, text);
  const found = conditionsOf(where);
  return found.includes(wanted) ? where : [...found, wanted].join(" and ");
};

/** A filter without a condition. */
export const withoutCondition = (where, unwanted) => conditionsOf(where).filter((each) => each !== unwanted).join(" and ");

/** What is typed, as a filter: words without any operator are looked for in the names of runs. */
export function filterOf(text) {
  const typed = text.trim();
  if (!typed || typed.startsWith("[") || /[=<>~]/.test(typed.replace(QUOTED, ""))) return typed;
  return (typed.match(/"(?:[^"\\]|\\.)*"|\S+/g) ?? []).map((word) => `name~${valueText(word.replace(/^"(.*)"$/s, "$1"))}`).join(" and ");
}
