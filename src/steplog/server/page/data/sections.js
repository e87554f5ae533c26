// Which charts there are, and in which sections: by what is searched, pinned and combined. Pure.

export const NATURAL = new Intl.Collator("en", { numeric: true });
const PINNED = "Pinned";
const COMBINED = "Combined";
const REST = "Charts"; // of metrics without a prefix
export const SYSTEM = "system/";

/** A chart of metrics: `{key, names, title}`. The key is its name in the address. */
export function chartOf(names) {
  const title = names.join(" + ");
  return { key: title, names, title };
}

/** What a search means, `{test(name), wrong}`: words that are all in a name, in any case, or a `/pattern/`. */
export function searchOf(text) {
  const pattern = /^\/(.*?)\/?$/.exec(text.trim());
  if (pattern) return patternOf(pattern[1]);
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return { test: (name) => words.every((word) => name.toLowerCase().includes(word)), wrong: "" };
}

function patternOf(source) {
  try {
    const pattern = new RegExp(source, "iu");
    return { test: (name) => pattern.test(name), wrong: "" };
  } catch (error) {
    return { test: () => true, wrong: `${error.message.split(": ").at(-1)}.` };
  }
}

/**
 * Sections of charts, `{key, title, charts, open}`: the pinned ones, those of several metrics, those without a prefix,
 * then by the first part of the name, the machine's last. `open` is whether it is open by itself.
 */
export function sectionsOf(names, { search, pins, combined }) {
  const known = new Set(names);
  const several = combined.filter((group) => group.some((name) => known.has(name))).map(chartOf);
  const charts = [...several, ...names.map((name) => chartOf([name]))].filter((chart) => chart.names.some(search.test));
  const byKey = new Map();
  const place = new Map(pins.map((pin, at) => [pin, at]));
  for (const chart of charts) {
    const key = place.has(chart.key) ? PINNED : keyOf(chart);
    if (!byKey.has(key)) byKey.set(key, []);
    byKey.get(key).push(chart);
  }
  byKey.get(PINNED)?.sort((one, other) => place.get(one.key) - place.get(other.key));
  const keys = [...byKey.keys()].sort((one, other) => rank(one) - rank(other) || NATURAL.compare(one, other));
  return keys.map((key) => {
    const inside = byKey.get(key);
    if (key !== PINNED && key !== COMBINED) inside.sort((one, other) => NATURAL.compare(one.key, other.key));
    return { key, title: key.replace(/\/$/, ""), charts: inside, open: key !== SYSTEM };
  });
}

const rank = (key) => ({ [PINNED]: 0, [COMBINED]: 1, [REST]: 2, [SYSTEM]: 4 })[key] ?? 3;

function keyOf({ names }) {
  if (names.length > 1) return COMBINED;
  const end = names[0].indexOf("/");
  return end > 0 ? names[0].slice(0, end + 1) : REST;
}

/** Whether a section is open, by what was opened and closed by hand; while one searches, what is found is. */
export function isOpen({ key, open }, { opened, closed, searched }) {
  if (closed.includes(key)) return false;
  return open || searched || opened.includes(key);
}

/** A list without `item` if it has it, else with it. */
export const toggled = (list, item) => (list.includes(item) ? list.filter((each) => each !== item) : [...list, item]);
