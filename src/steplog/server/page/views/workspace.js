// A project: the table of its runs, and the charts of those that are shown.

import { MetricNames } from "../data/metric_names.js";
import { Runs } from "../data/runs.js";
import { number, visible } from "../data/values.js";
import { html, useEffect, useLayoutEffect, useMemo, useSignal } from "../ui.js";
import { NoRun } from "./chart_empty.js";
import { Live } from "./chart_live.js";
import { ChartsPanel } from "./charts_panel.js";
import { Button } from "./parts/button.js";
import { Splitter } from "./parts/splitter.js";
import { RunsTable } from "./runs_table.js";

const NARROW = "(max-width: 760px)";
const LEAST = 240; // pixels of the table; the charts keep as many, or more
const CHARTS_LEAST = 360;

export function Workspace({ here, view }) {
  const runs = useMemo(() => new Runs(here, view), []);
  const names = useMemo(() => new MetricNames(here), []);
  useEffect(() => names.follow(), []);
  const narrow = useNarrow();
  const open = useSignal(false); // whether the table is, on a narrow window
  useLayoutEffect(() => void (document.title = `${visible(here.project)} · steplog`), []);
  const heading = html`<h1 class="unseen">${visible(here.project)}</h1>`;
  if (runs.total.value === 0 && !view.where.value) return html`${heading}<${NoRun} here=${here} />`;
  const toggle = html`
    <${Button} icon="runs" class="runs-button" aria-expanded=${String(open.value)} aria-controls="runs"
      onClick=${() => (open.value = !open.value)}>Runs <span class="count">
      ${number(runs.shown.value.length)} shown</span><//>
  `;
  const table = !narrow || open.value;
  return html`
    <div class="workspace ${narrow ? "narrow" : ""}">
      ${heading}
      ${narrow && toggle}
      ${table && html`<div class="runs-side" id="runs"><${RunsTable} here=${here} view=${view} runs=${runs} /></div>`}
      ${!narrow && html`<${Splitter} label="Width of the table" property="--runs-width" name="steplog-runs-width"
        start=${380}
        least=${LEAST} most=${() => Math.max(LEAST, innerWidth - CHARTS_LEAST)} />`}
      <section class="charts-panel" aria-label="Metrics" hidden=${narrow && open.value}>
        <${ChartsPanel} here=${here} view=${view} runs=${runs.shown} names=${names.all} emphasis=${runs.emphasis}
          aside=${html`<${Live} rows=${runs.rows} shown=${runs.shown} />`}
          />
      </section>
    </div>
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
