// A project: the table of its runs, and the charts of those that are shown.

import { MetricNames } from "../data/metric_names.js";
import { Runs } from "../data/runs.js";
import { number, visible } from "../data/values.js";
import { html, useComputed, useEffect, useLayoutEffect, useMemo, useSignal } from "../ui.js";
import { NoProject, NoRun } from "./chart_empty.js";
import { Live } from "./chart_live.js";
import { ChartsPanel } from "./charts_panel.js";
import { ArtifactsTab } from "./files_tab.js";
import { Button } from "./parts/button.js";
import { Splitter } from "./parts/splitter.js";
import { RunsTable } from "./runs_table.js";
import { SavedViews } from "./saved_views.js";

const NARROW = "(max-width: 760px)";
const START = [380, 440]; // pixels of the table: 30 % of a window, where that is between
const LEAST = 240;
const ARTIFACTS = { text: "Artifacts", View: ArtifactsTab };
const CHARTS_LEAST = 360;

export function Workspace({ here, view }) {
  const names = useMemo(() => new MetricNames(here), []);
  const runs = useMemo(() => new Runs(here, view, names.all), []);
  useLayoutEffect(() => names.follow(), []);
  useLayoutEffect(() => void (document.title = `${visible(here.project)} · steplog`), []);
  const heading = html`<h1 class="unseen">${visible(here.project)}</h1>`;
  if (runs.gone.value) return html`${heading}<${NoProject} />`;
  if (runs.total.value === 0 && !view.where.value) return html`${heading}<${NoRun} here=${here} />`;
  return html`${heading}<${Panels} here=${here} view=${view} runs=${runs} names=${names} />`;
}

/** The table and the charts, side by side; on a narrow window one of them. */
function Panels({ here, view, runs, names }) {
  const narrow = useNarrow();
  const open = useSignal(false); // whether the table is, on a narrow window
  const start = useMemo(() => Math.max(START[0], Math.min(START[1], 0.3 * innerWidth)), []);
  const most = () => Math.max(LEAST, innerWidth - CHARTS_LEAST);
  const known = useComputed(() => (runs.isKnown.value || runs.shown.value.length ? names.all.value : null));
  const aside = html`
    <div class="beside-tabs">
      <${Live} rows=${runs.rows} shown=${runs.shown} /><${SavedViews} here=${here} view=${view} />
    </div>
  `;
  const table = html`<div class="runs-side" id="runs"><${RunsTable} here=${here} view=${view} runs=${runs} /></div>`;
  return html`
    <div class="workspace ${narrow ? "narrow" : ""}">
      ${narrow && html`<${RunsButton} runs=${runs} open=${open} />`}
      ${(!narrow || open.value) && table}
      ${!narrow && html`<${Splitter} label="Width of the table" property="--runs-width" name="steplog-runs-width"
        start=${start} least=${LEAST} most=${most} />`}
      <section class="charts-panel" aria-label="Metrics" hidden=${narrow && open.value}>
        <${ChartsPanel} here=${here} view=${view} runs=${runs.shown} names=${known} emphasis=${runs.emphasis}
          aside=${aside} total=${runs.total} files=${ARTIFACTS} />
      </section>
    </div>
  `;
}

function RunsButton({ runs, open }) {
  const count = number(runs.shown.value.length);
  return html`
    <${Button} icon="runs" class="runs-button" aria-expanded=${String(open.value)} aria-controls="runs"
      onClick=${() => (open.value = !open.value)}>Runs <span class="count">${count} shown</span><//>
  `;
}

function useNarrow() {
  const media = useMemo(() => matchMedia(NARROW), []);
  const narrow = useSignal(media.matches);
  useEffect(() => {
    const told = () => (narrow.value = media.matches);
    media.addEventListener("change", told);
    return () => media.removeEventListener("change", told);
  }, []);
  return narrow.value;
}
