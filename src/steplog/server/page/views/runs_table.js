// The table of a project's runs.

import { html, useSignal } from "../ui.js";
import { RunsGrid } from "./runs_grid.js";

export function RunsTable({ here, view, runs }) {
  const selection = useSignal(null);
  return html`
    <section class="runs-panel" aria-label="Runs">
      <${RunsGrid} here=${here} view=${view} runs=${runs} selection=${selection.value} />
    </section>
  `;
}
