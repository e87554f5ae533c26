// A run: what is known of it at the left, its charts and samples at the right; or that it is in the trash, or gone.

import { web } from "../data/address.js";
import { isCause } from "../data/life.js";
import { lossLines } from "../data/losses.js";
import { isSystem, isUuid, OpenRun, shownAlone } from "../data/run.js";
import { many, visible } from "../data/values.js";
import { html, useEffect, useMemo } from "../ui.js";
import { ChartsPanel } from "./charts_panel.js";
import { RunFilesTab } from "./files_tab.js";
import { eachSecond } from "./parts/moment.js";
import { Status } from "./parts/status.js";
import { RunActions } from "./run_actions.js";
import { ConfigPanel, ExceptionPanel, ProvenancePanel } from "./run_panels.js";
import { RunFacts } from "./run_facts.js";
import { Fate } from "./run_fate.js";

export function RunPage({ here, view }) {
  const open = useMemo(() => new OpenRun(here), []);
  const runs = useMemo(() => shownAlone(open), []);
  const files = useMemo(() => {
    return { text: "Files", View: () => html`<${RunFilesTab} here=${here} run=${open.run} />` };
  }, []);
  useEffect(() => open.follow(), []);
  const run = open.run.value;
  useCalled(here, run?.name, open);
  if (!run) return html`<${Fate} open=${open} />`;
  return html`
    <div class="run">
      <${Head} open=${open} />
      <aside class="about" aria-label="About this run">
        <${RunFacts} open=${open} />
        <${ConfigPanel} large=${open.large} />
        <${ProvenancePanel} large=${open.large} />
      </aside>
      <div class="metrics"><${ChartsPanel} here=${here} view=${view} runs=${runs} names=${open.names}
        files=${files} /></div>
    </div>
  `;
}

function Head({ open }) {
  const run = open.run.value;
  return html`
    <div class="head">
      <${Fate} open=${open} />
      <div class="title">
        <h1><bdi>${visible(run.name)}</bdi></h1>
        <${LiveStatus} run=${run} />
        <${RunActions} open=${open} />
      </div>
      <${Losses} open=${open} />
      <${Exception} open=${open} />
    </div>
  `;
}

function LiveStatus({ run }) {
  eachSecond();
  return html`<${Status} run=${run} />`;
}

/** What is missing of the run's values, in words. */
function Losses({ open }) {
  const { report, unreadable } = open.run.value;
  const counted = open.series.value.filter(({ name }) => !isSystem(name)); // system metrics are not the caller's
  const lines = lossLines(report, counted.reduce((total, { count }) => total + count, 0));
  if (unreadable) lines.push(`${many(unreadable, "stored record")} cannot be read: damaged on the server's disk`);
  if (!lines.length) return null;
  const said = lines.map((line) => html`<p key=${line}>${line}</p>`);
  return html`<section class="losses" aria-label="What is missing">${said}</section>`;
}

/** The exception, while it is what ended the run. */
function Exception({ open }) {
  const run = open.run.value;
  const found = open.series.value.find(({ name }) => name === "steplog/exception");
  if (!found || !isCause(run, found.last_time)) return null;
  return html`<${ExceptionPanel} key=${found.count} value=${found.last} />`;
}

/** Title the document. An address with the slug of an earlier name leads nowhere any more; it gets the uuid. */
function useCalled(here, name, open) {
  const first = useMemo(() => ({ name: undefined }), []);
  useEffect(() => {
    if (name === undefined) return;
    document.title = `${visible(name)} · steplog`;
    first.name ??= name;
    if (name !== first.name && !isUuid(here.run)) {
      history.replaceState(null, "", web.run(here, open.run.peek().uuid) + location.search);
    }
  }, [name]);
}
