// A project: the table of its runs, and the charts of those that are shown.

import { MetricNames } from "../data/metric_names.js";
import { Runs } from "../data/runs.js";
import { html, useMemo } from "../ui.js";
import { ChartsPanel } from "./charts_panel.js";
import { RunsTable } from "./runs_table.js";

export function Workspace({ here, view }) {
  const runs = useMemo(() => new Runs(here, view), []);
  const names = useMemo(() => new MetricNames(here), []);
  return html`
    <div class="workspace">
      <${RunsTable} here=${here} view=${view} runs=${runs} />
      <${ChartsPanel} here=${here} view=${view} runs=${runs.shown} names=${names.all} />
    </div>
  `;
}
