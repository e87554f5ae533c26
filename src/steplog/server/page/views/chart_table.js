// The figures of the metrics of the shown runs, as a table: a row a metric; of several runs a column each.

import { Figures, RUNS_MAX } from "../data/figures.js";
import { NATURAL, SYSTEM } from "../data/sections.js";
import { many, number, shown, visible } from "../data/values.js";
import { html, useEffect, useMemo, useSignal } from "../ui.js";
import { NoMetric, NoRunShown } from "./chart_empty.js";
import { Stroke } from "./chart_legend.js";
import { Button } from "./parts/button.js";
import { Choice } from "./parts/choice.js";
import { SearchField } from "./parts/search_field.js";

const FIGURES = [["last", "Last"], ["min", "Least"], ["max", "Greatest"], ["count", "Count"]];
const ROWS = 200;
const TEXT_MAX = 80;

export function FiguresTab({ here, view, runs, names, search }) {
  const figures = useMemo(() => new Figures(here, runs), []);
  useEffect(() => figures.follow(), []);
  const rows = useSignal(ROWS);
  const all = (names.value ?? []).map(({ name }) => name).filter(search.value.test);
  const last = (name) => name.startsWith(SYSTEM);
  const sorted = all.sort((one, other) => last(one) - last(other) || NATURAL.compare(one, other));
  const listed = sorted.slice(0, rows.value);
  const columns = runs.value.slice(0, RUNS_MAX);
  const besides = runs.value.length - columns.length;
  if (names.value && !columns.length) return html`<${NoRunShown} view=${view} />`;
  return html`
    <div class="toolbar">
      <${SearchField} label="Search metrics" placeholder="Search metrics" title="Words, or a /regular expression/"
        value=${view.metrics.value}
        wrong=${search.value.wrong} onInput=${(text) => (view.metrics.value = text)} />
      ${columns.length > 1 && html`<${Choice} label="Figure" options=${FIGURES} value=${view.figure.value}
        onChange=${(figure) => (view.figure.value = figure)} />`}
      ${besides > 0 && html`<span
        class="muted">The first ${RUNS_MAX} runs; ${many(besides, "more run")} shown in the charts.</span>`}
    </div>
    ${names.value && !all.length ? html`<${NoMetric} view=${view} names=${names.value} />` : html`
      <div class="figures-table" tabindex="0" role="region" aria-label="Figures">
        <table>
          ${columns.length > 1
            ? ofSeveral(columns, figures, view.figure.value, listed)
            : ofOne(columns[0], figures, listed)}
        </table>
      </div>
      ${sorted.length > rows.value && html`<${Button} class="more-rows" onClick=${() => (rows.value += ROWS)}>
        Show more of ${many(sorted.length, "metric")}<//>`}
    `}
  `;
}

function ofSeveral(runs, { byRun }, figure, names) {
  const found = runs.map(({ uuid }) => byRun.value.get(uuid));
  const head = ({ uuid, name, colour }) => html`
    <th key=${uuid} scope="col"><span class="head" title=${visible(name)}><${Stroke} colour=${colour} /><bdi
      class="cut">${visible(name)}</bdi></span></th>
  `;
  return html`
    <thead><tr><th scope="col">Metric</th>${runs.map(head)}</tr></thead>
    <tbody>${names.map((name) => html`
      <tr key=${name}><th scope="row" title=${visible(name)}><bdi>${visible(name)}</bdi></th>${
        found.map((each, at) => cell(runs[at].uuid, each?.get(name)?.[figure]))}</tr>`)}</tbody>
  `;
}

function ofOne(run, { byRun }, names) {
  const found = run && byRun.value.get(run.uuid);
  const row = (name) => {
    const { first_step: first, max_step: most, ...values } = found?.get(name) ?? {};
    const steps = values.count ? `${number(first)} – ${number(most)}` : undefined;
    return html`
      <tr key=${name}><th scope="row" title=${visible(name)}><bdi>${visible(name)}</bdi></th>
        ${FIGURES.map(([figure]) => cell(figure, values[figure]))}<td>${steps}</td></tr>
    `;
  };
  return html`
    <thead><tr><th scope="col">Metric</th>
      ${FIGURES.map(([figure, text]) => html`<th key=${figure} scope="col">${text}
        </th>`)}<th scope="col">Steps</th></tr></thead>
    <tbody>${names.map(row)}</tbody>
  `;
}

function cell(key, value) {
  if (value === undefined || value === null) return html`<td key=${key}></td>`;
  const text = shown(value);
  return html`<td key=${key} title=${text.length > TEXT_MAX ? undefined : text}><bdi>${text.slice(0, TEXT_MAX)}</bdi>
    </td>`;
}
