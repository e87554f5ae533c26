// What a run's client could not deliver, in words, from the report that it sends. `lost` is an upper bound, or null.

import { number, visible } from "./values.js";

/** Sentences; `stored` is the number of values that the server has. */
export function lossLines(report, stored) {
  if (!report) return [];
  const { dropped, abandoned, lost, rejected } = report;
  const total = number(stored + sum(dropped) + abandoned + (lost ?? 0) + rejected);
  const line = (count, words, before = "") =>
    count > 0 && `${before}${number(count)} of ${total} values ${count === 1 ? "was" : "were"} ${words}`;
  return [
    line(sum(dropped), `dropped: ${reasons(dropped)}`),
    line(abandoned, "lost in memory: the process ended while it logged them"),
    line(lost ?? 0, "lost with a killed process's memory", "up to "),
    lost === null && "an unknown number of values was lost with a killed process's memory",
    line(rejected, "refused by the server and set aside in a file"),
  ].filter(Boolean);
}

const sum = (dropped) => Object.values(dropped).reduce((total, count) => total + count, 0);

/** The reasons, the most frequent first; with their numbers where there are several. */
function reasons(dropped) {
  const counted = Object.entries(dropped).filter(([, count]) => count > 0).sort(([, a], [, b]) => b - a);
  return counted.map(([reason, count]) => (counted.length > 1 ? `${number(count)} ` : "") + visible(reason)).join(", ");
}
