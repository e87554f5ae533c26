// A cell of the table of runs, by its field.

import { isNumber } from "../data/runs_cells.js";
import { withSwitched } from "../data/runs_filter.js";
import { lengthOf, statusOf, unheard } from "../data/life.js";
import { ago, fullDate, span } from "../data/time.js";
import { numeric, shown, visible } from "../data/values.js";
import { html } from "../ui.js";

const DATES = new Set(["started", "ended", "seen", "last_point"]);
const SHORT_MAX = 12; // characters that are seen without a title
const TEXT_MAX = 300; // characters of a cell; its title has more
const TITLE_MAX = 2000;

export function Cell({ field, row, runs, view }) {
  const value = row[field];
  if (field === "status") return html`<${StatusCell} row=${row} runs=${runs} />`;
  if (field === "duration") return html`<${DurationCell} row=${row} runs=${runs} />`;
  if (value === undefined) return html`<div role="gridcell"></div>`;
  if (DATES.has(field)) return html`<${DateCell} value=${value} runs=${runs} />`;
  if (field === "tag") return html`<${TagsCell} tags=${value} view=${view} />`;
  const text = value === null ? "" : shown(value);
  const known = numeric(value);
  const kind = isNumber(value) ? (Number.isFinite(known) ? "number" : "number notfinite") : "";
  const title = text.length > SHORT_MAX ? text.slice(0, TITLE_MAX) : undefined;
  return html`<div role="gridcell" class=${kind} title=${title}><bdi>${text.slice(0, TEXT_MAX)}</bdi></div>`;
}

/** A status in a word; how long a run that should go on has been silent. */
function StatusCell({ row, runs }) {
  if (row.status === "RUNNING") runs.second.value; // silence grows
  const { text, kind, meaning } = statusOf(row);
  const silent = unheard(row);
  const word = silent === null ? visible(row.status).toLowerCase() : `silent ${span(silent, 1)}`;
  const title = meaning ? `${text}: ${meaning}` : text;
  return html`<div role="gridcell"><span class="status ${kind}" title=${title}>${word}</span></div>`;
}

function DurationCell({ row, runs }) {
  if (row.status === "RUNNING") runs.second.value;
  const length = lengthOf(row);
  return html`<div role="gridcell" class="number">${length}</div>`;
}

function DateCell({ value, runs }) {
  runs.minute.value;
  if (value === null) return html`<div role="gridcell"></div>`;
  return html`<div role="gridcell"><time datetime=${value} title=${fullDate(value)}>${ago(value)}</time></div>`;
}

/** Tags; a click on one asks for the runs that have it. */
function TagsCell({ tags, view }) {
  const tag = (text) => {
    const label = visible(text);
    const ask = () => (view.where.value = withSwitched(view.where.value, "tag", text));
    return html`
      <button key=${text} type="button" class="tag" tabindex="-1" title="Runs with the tag ${label}" onClick=${ask}>
        <bdi>${label}</bdi>
      </button>
    `;
  };
  return html`<div role="gridcell" class="tags">${tags.map(tag)}</div>`;
}
