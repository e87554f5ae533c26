// The table of a project's runs: what it is filtered, grouped and sorted by, and which of the runs are shown in charts.

import { web } from "../data/address.js";
import { many, number } from "../data/values.js";
import { html, useLayoutEffect, useRef, useSignal } from "../ui.js";
import { ColumnsMenu } from "./columns_menu.js";
import { EditRuns } from "./edit_runs.js";
import { Button } from "./parts/button.js";
import { Select } from "./parts/choice.js";
import { Icon } from "./parts/icon.js";
import { RunsFilter } from "./runs_filter.js";
import { FilterMenu } from "./runs_filter_menu.js";
import { RunsGrid } from "./runs_grid.js";
import { GroupMenu } from "./runs_group_menu.js";

const FIRST = [0, 1, 3, 5, 10, 20, 50, 100, 200, 500, 1000];

export function RunsTable({ here, view, runs }) {
  const filter = useRef(null);
  const isSelecting = useSignal(false);
  useLayoutEffect(() => {
    const focus = (event) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || isTyped(event.target)) return;
      if (document.querySelector("dialog[open]") || !filter.current?.checkVisibility()) return;
      event.preventDefault();
      filter.current.focus();
    };
    document.addEventListener("keydown", focus);
    return () => document.removeEventListener("keydown", focus);
  }, []);
  const select = () => {
    isSelecting.value = !isSelecting.value;
    runs.selected.value = new Set();
  };
  return html`
    <section class="runs-panel" aria-label="Runs">
      <div class="runs-tools">
        <${RunsFilter} here=${here} view=${view} runs=${runs} element=${filter} />
        <div class="runs-bar">
          <${FilterMenu} here=${here} view=${view} />
          <${GroupMenu} here=${here} view=${view} />
          <${ColumnsMenu} here=${here} view=${view} runs=${runs} />
          <${Button} kind="quiet" icon="edit" aria-pressed=${String(isSelecting.value)} onClick=${select}>Select<//>
          <a class="button quiet bare trash" href=${web.trash(here)} aria-label="Trash" title="Trash: what was deleted">
            <${Icon} name="trash" />
          </a>
        </div>
        ${isSelecting.value && html`<${EditRuns} here=${here} runs=${runs} />`}
        <${Count} view=${view} runs=${runs} />
      </div>
      <${RunsGrid} here=${here} view=${view} runs=${runs} selection=${isSelecting.value ? runs.selected : null} />
      <${Nothing} view=${view} runs=${runs} />
    </section>
  `;
}

const isTyped = ({ type, tagName }) =>
  tagName === "TEXTAREA" || tagName === "SELECT" || (tagName === "INPUT" && !/checkbox|radio|range/.test(type));

/** How many runs there are, and how many of them are shown. */
function Count({ view, runs }) {
  const total = runs.total.value;
  const shown = runs.shownUuids.value.size;
  const isChosen = view.added.value.length > 0 || view.removed.value.length > 0;
  const noun = view.group.value ? "groups" : "runs";
  const word = (count) => (count ? `first ${view.group.value ? many(count, "group") : number(count)}` : "none");
  const counts = FIRST.includes(view.first.value) ? FIRST : [...FIRST, view.first.value].sort((a, b) => a - b);
  const options = [...(isChosen ? [["", "chosen"]] : []), ...counts.map((count) => [String(count), word(count)])];
  const missing = view.group.value && runs.rows.value.length < total ? ` (${number(runs.rows.value.length)} read)` : "";
  const said = total === null ? "" : many(total, "run") + missing;
  const outside = runs.shown.value.length && runs.outside ? `, ${number(runs.outside)} of them not in the list` : "";
  const found = view.where.value && total !== null ? `${many(total, "run")} found` : "";
  return html`
    <div class="runs-count">
      <span>${said}${total !== null && html`<span class="muted"> · ${number(shown)} shown${outside}</span>`}</span>
      <span class="unseen" role="status">${found}</span>
      <${Select} label="Show the ${noun}" options=${options} value=${isChosen ? "" : String(view.first.value)}
        onChange=${(count) => count !== "" && runs.showFirst(Number(count))}>Show<//>
    </div>
  `;
}

/** What is said where there is no run. */
function Nothing({ view, runs }) {
  if (runs.gone.value) return html`<p class="runs-nothing">This project is not on the server.</p>`;
  if (runs.total.value !== 0) return null;
  return html`<p class="runs-nothing">${view.where.value ? "No run matches." : "No run yet."}</p>`;
}
