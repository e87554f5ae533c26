// A cell of the table of runs, by its field.

import { isNumber } from "../data/runs_cells.js";
import { withCondition } from "../data/runs_filter.js";
import { lengthOf, statusOf, unheard } from "../data/life.js";
import { ago, fullDate, span } from "../data/time.js";
import { numeric, shown, visible } from "../data/values.js";
import { html } from "../ui.js";

const DATES = new Set(["started", "ended", "seen", "last_point"]);
const TEXT_MAX = 300; // characters of a cell; its title has more
const TITLE_MAX = 2000;

export function Cell({ field, row, runs, view }) {
  const value = row[field];
  if (field === "status") return html`<${StatusCell} row=${row} runs=${runs} />`;
  if (field === "duration") return html`<${DurationCell} row=${row} runs=${runs} />`;
  if (value === undefined) return html`<div role="gridcell"></div>`;
  if (DATES.has(field)) return html`<${DateCell} value=${value} runs=${runs} />`;
  if (field === "tag") return html`<div role="gridcell" class="tags">${value.map((tag) => html`<${Tag} key=${tag} text=${tag} view=${view} />`)}</div>`;
  const text = value === null ? "" : shown(value);
  const known = numeric(value);
  const kind = isNumber(value) ? (Number.isFinite(known) ? "number" : "number notfinite") : "";
  return html`<div role="gridcell" class=${kind} title=${text.length > 12 ? text.slice(0, TITLE_MAX) : undefined}><bdi>${text.slice(0, TEXT_MAX)}</bdi></div>`;
}

/** A status in a word; how long a run that should go on has been silent. */
function StatusCell({ row, runs }) {
  if (row.status === "RUNNING") runs.second.value; // silence grows
  const { text, kind, meaning } = statusOf(row);
  const silent = unheard(row);
  const word = silent === null ? visible(row.status).toLowerCase() : `silent ${span(silent, 1)}`;
  return html`<div role="gridcell"><span class="status ${kind}" title=${meaning ? `${text}: ${meaning}` : text}>${word}</span></div>`;
}

function DurationCell({ row, runs }) {
  if (row.status === "RUNNING") runs.second.value;
  return html`<div role="gridcell" class="number">${lengthOf(row)}</div>`;
}

function DateCell({ value, runs }) {
  runs.minute.value;
  const text = value === null ? "" : ago(value);
  return html`<div role="gridcell"><time datetime=${value} title=${value === null ? undefined : fullDate(value)}>${text}</time></div>`;
}

/** A tag; a click on it asks for the runs that have it. */
function Tag({ text, view }) {
  const label = visible(text);
  const ask = () => (view.where.value = withCondition(view.where.value, "tag", text));
  return html`<button type="button" class="tag" tabindex="-1" title="Runs with the tag ${label}" onClick=${ask}><bdi>${label}</bdi></button>`;
}
