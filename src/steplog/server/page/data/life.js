// How a run goes: status, silence, duration, resumptions, from its JSON. `cli` has the same rules.

import { since, span } from "./time.js";
import { many, visible } from "./values.js";

const QUIET_MS = 5 * 60_000;
const STATUSES = {
  RUNNING: "is running, as far as the server knows",
  COMPLETED: "ended well",
  CRASHED: "ended with an error, or was killed",
  FAILED: "was given up: another run took its place",
};

/** For how long a running run has not been heard of, in ms; null unless that is long. */
export function unheard({ status, seen }) {
  const ms = since(seen);
  return status === "RUNNING" && ms > QUIET_MS ? ms : null;
}

/** Whether an exception recorded at `date` ended the run: one that was resumed may have crashed otherwise since. */
export function isCause({ status, generation, generation_began: began }, date) {
  const before = generation > 1 && began && date && Date.parse(date) < Date.parse(began);
  return status === "CRASHED" && !before;
}

/** A run without what changes by itself while it is alive. */
export const lasting = ({ seen: _seen, last_point: _last, ...rest }) => rest;

export const startOf = ({ started, date_created: created }) => started ?? created;

/** How long it took, or has taken so far; null if that is not known. */
export function lengthOf(run) {
  const { status, ended } = run;
  const open = status === "RUNNING" ? 0 : since(ended); // ms since its end
  const ms = since(startOf(run)) - open;
  return Number.isNaN(ms) ? null : ms < 1000 ? "< 1 s" : span(ms);
}

/** `once`, `2 times`; null if never. */
export function resumed({ generation }) {
  if (!(generation > 1)) return null;
  return generation === 2 ? "once" : many(generation - 1, "time");
}

/** A run's status in words, its kind, and what it means: `{text, kind, meaning}`. */
export function statusOf(run) {
  const { status } = run;
  const known = Object.hasOwn(STATUSES, status);
  const silent = unheard(run);
  const quiet = silent === null ? "" : `, not heard of for ${span(silent, 1)}`;
  const kind = silent === null ? (known ? status.toLowerCase() : "") : "unheard";
  return { text: visible(status) + quiet, kind, meaning: known ? STATUSES[status] : "" };
}
