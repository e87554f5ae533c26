// Samples: texts, objects and lists that runs have logged, by step, those of several runs side by side.

import { Samples as SampleData } from "../data/samples.js";
import { many, number, visible } from "../data/values.js";
import { html, useEffect, useMemo, useSignal } from "../ui.js";
import { Button } from "./parts/button.js";
import { Check, Select } from "./parts/choice.js";
import { Code, Empty } from "./parts/empty.js";
import { SearchField } from "./parts/search_field.js";
import { SampleCell } from "./samples_cell.js";
import { SampleNumbers } from "./samples_numbers.js";
import { StepList } from "./samples_list.js";

const AROUND_MS = 60; // after what is shown, what is near
const SCROLLED = { tabindex: 0, role: "group", "aria-label": "Runs side by side" };
const PROGRAM = `run.log("sample", {"prompt": prompt, "answer": answer}, step=step)`;

/** `runs` and `names` are signals, as the charts have them. */
export function Samples({ here, view, runs, names }) {
  const samples = useMemo(() => new SampleData({ here, view, runs, names }), []);
  useEffect(() => () => samples.end(), []);
  if (names.value === null) return html`<div class="samples-frame" aria-busy="true"></div>`;
  if (!samples.metrics.value.length) return html`<${NoSamples} />`;
  return html`
    <div class="samples-frame">
      <div class="samples">
        <div class="samples-side">
          <${Metrics} samples=${samples} view=${view} />
          <${Listed} samples=${samples} view=${view} />
        </div>
        <${Panes} samples=${samples} view=${view} />
      </div>
    </div>
  `;
}

function NoSamples() {
  return html`
    <${Empty} title="No samples">
      <p>A sample is a text, an object or a list that is logged as a metric:</p>
      <${Code} text=${PROGRAM} />
    <//>
  `;
}

/** The metrics that have samples: a name shows its samples alone, its box adds them or takes them away. */
function Metrics({ samples, view }) {
  const words = useSignal("");
  const all = samples.metrics.value;
  if (all.length < 2) return html`<h2 class="cut"><bdi>${visible(all[0])}</bdi></h2>`;
  const chosen = samples.chosen.value;
  const found = all.filter((name) => name.toLowerCase().includes(words.value.toLowerCase()));
  const toggle = (name, on) => {
    const others = chosen.filter((each) => each !== name);
    if (on || others.length) view.samples.value = on ? [...others, name] : others;
  };
  const metric = (name) => {
    const on = chosen.includes(name);
    const label = visible(name);
    return html`
      <li key=${name} class=${on ? "chosen" : ""}>
        <input type="checkbox" checked=${on} aria-label="Show ${label}"
          onChange=${(event) => { toggle(name, event.currentTarget.checked); event.currentTarget.checked = on; }} />
        <button type="button" class="cut" title="Show ${label} alone" onClick=${() => (view.samples.value = [name])}>
          <bdi>${label}</bdi>
        </button>
      </li>
    `;
  };
  return html`
    <section class="samples-metrics" aria-label="Metrics with samples">
      ${all.length > 12 && html`<${SearchField} label="Search these metrics" value=${words.value}
        onInput=${(text) => (words.value = text)} />`}
      <ul>${found.slice(0, 200).map(metric)}</ul>
    </section>
  `;
}

/** The list of samples, what is looked for in them, and whose they are. */
function Listed({ samples, view }) {
  const list = samples.list.value;
  const key = list && `${list.uuid} ${list.name} ${list.find}`;
  const able = samples.columns.value.filter(({ uuid }) => samples.count(samples.chosen.value[0], uuid));
  const follows = view.step.value === null && !view.find.value;
  const follow = () => {
    view.find.value = "";
    view.step.value = null;
  };
  return html`
    <section class="samples-steps" aria-label="Steps">
      <div class="samples-tools">
        <${SearchField} label="Search in the samples" placeholder="Search in samples" value=${view.find.value}
          onInput=${(text) => (view.find.value = text)} />
        <${Button} aria-pressed=${String(follows)} onClick=${follow} title="Always show the newest sample">Newest<//>
      </div>
      ${able.length > 1 && html`<${Whose} samples=${samples} view=${view} able=${able} />`}
      ${list && html`<${StepList} key=${key} samples=${samples} list=${list} view=${view} />`}
      ${list && html`<p class="muted figures" role="status">${howMany(list)}</p>`}
    </section>
  `;
}

function howMany(list) {
  const count = list.count.value;
  if (count === null) return list.find ? "Searching…" : "";
  if (!list.find) return many(count, "sample");
  if (!count) return "No sample has this text.";
  return list.row(count - 1) ? `${many(count, "sample")} found` : `${number(count - 1)} samples found, and more`;
}

function Whose({ samples, view, able }) {
  const run = samples.listed.value;
  return html`
    <${Select} label="Whose samples are listed" value=${run?.uuid} onChange=${(uuid) => (view.stepsOf.value = uuid)}
      options=${able.map(({ uuid, name }) => [uuid, visible(name)])}><span class="muted">of</span><//>
  `;
}

/** The samples at the step that is chosen: a row a metric, a column a run. */
function Panes({ samples, view }) {
  const differs = useSignal(false);
  const runs = samples.columns.value;
  const names = samples.chosen.value;
  const list = samples.list.value;
  const step = useStep(samples, list, view);
  const mark = html`<${Check} checked=${differs.value} onChange=${(on) => (differs.value = on)}>Mark differences<//>`;
  const beyond = samples.holders.value.length - runs.length;
  if (samples.isKnown && !runs.length && samples.runs.value.length) {
    return html`<${Empty} title="No samples"><p>None of the runs that are shown has logged one of these.</p><//>`;
  }
  if (!samples.runs.value.length) return html`<${Empty} title="No run is shown"><p>Choose runs in the table.</p><//>`;
  if (!runs.length || step === null) return html`<div class="samples-panes" aria-busy="true"></div>`;
  const cell = (name) => (run) => html`
    <${SampleCell} key=${run.uuid} samples=${samples} view=${view} run=${run} name=${name} step=${step}
      alone=${runs.length === 1} other=${differs.value ? runs.find(({ uuid }) => uuid !== run.uuid) : null} />
  `;
  const pane = (name) => html`
    <section key=${name} class="samples-metric" aria-label=${visible(name)}>
      ${runs.length > 1 && names.length > 1 && html`<h3><bdi>${visible(name)}</bdi></h3>`}
      <div class="samples-row" ...${runs.length > 1 ? SCROLLED : {}}>${runs.map(cell(name))}</div>
    </section>
  `;
  return html`
    <div class="samples-panes">
      <div class="samples-head">
        <h2>Step <span class="figures">${number(BigInt(step))}</span></h2>
        <${StepSlider} samples=${samples} list=${list} step=${step} />
        ${beyond > 0 && html`<span class="muted">${number(runs.length)} of ${many(runs.length + beyond, "run")}</span>`}
        ${runs.length === 2 && mark}
      </div>
      ${names.map(pane)}
      <${SampleNumbers} samples=${samples} runs=${runs} step=${step} />
    </div>
  `;
}

/** From sample to sample. What is likely to be wanted next is loaded meanwhile. */
function StepSlider({ samples, list, step }) {
  const count = list?.count.value ?? 0;
  const at = list?.place.value ?? null;
  useEffect(() => {
    const soon = setTimeout(() => samples.lookAround().catch(() => null), AROUND_MS);
    return () => clearTimeout(soon);
  }, [list, at, count]);
  if (count < 2) return null;
  const go = (by) => () => samples.move(by);
  return html`
    <div class="samples-slider" role="group" aria-label="Step">
      <${Button} kind="quiet" icon="back" label="Sample before" disabled=${!at} onClick=${go(-1)} />
      <input type="range" min="0" max=${count - 1} step="1" value=${at ?? count - 1} aria-label="Step"
        aria-valuetext="step ${number(BigInt(step))}"
        onInput=${(event) => samples.go(event.currentTarget.valueAsNumber)} />
      <${Button} kind="quiet" icon="chevron" label="Sample after" disabled=${at !== null && at >= count - 1}
        onClick=${go(1)} />
    </div>
  `;
}

/** The step that is looked at: the chosen one, or that of the newest sample; null until it is known. */
function useStep(samples, list, view) {
  const newest = useSignal(null);
  const count = list?.count.value ?? 0;
  const chosen = view.step.value;
  useEffect(() => {
    if (chosen !== null || !list || !count) return undefined;
    let current = true;
    list.reached(list.find ? 0 : count - 1).then((row) => {
      if (!current || !row) return;
      newest.value = String(row.step);
      samples.time.value = row.time;
    });
    return () => (current = false);
  }, [list, count, chosen]);
  return chosen ?? newest.value;
}
