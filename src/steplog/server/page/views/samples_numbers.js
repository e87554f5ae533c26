// The numbers that the runs have logged at the step of the samples: asked for once they are opened.

import { Missing, Refused } from "../data/api.js";
import { isReserved } from "../data/run.js";
import { many, number, numeric, visible } from "../data/values.js";
import { html, useEffect, useSignal } from "../ui.js";
import { Icon } from "./parts/icon.js";

const ROWS_MAX = 500;

export function SampleNumbers({ samples, runs, step }) {
  const open = useSignal(false);
  const found = useSignal(null); // by metric: values by run
  const uuids = runs.map(({ uuid }) => uuid).join();
  useEffect(() => {
    if (!open.value) return undefined;
    let current = true;
    found.value = null;
    Promise.all(runs.map(({ uuid }) => samples.numbers(uuid, step))).then(
      (answers) => current && (found.value = byName(answers)),
      (error) => {
        if (!(error instanceof Missing) && !(error instanceof Refused) && error.name !== "AbortError") throw error;
      },
    );
    return () => (current = false);
  }, [open.value, step, uuids]);
  return html`
    <details class="samples-numbers" onToggle=${({ currentTarget }) => (open.value = currentTarget.open)}>
      <summary><${Icon} name="chevron" /><h3>Numbers at this step</h3></summary>
      ${open.value && (found.value ? table(found.value, runs) : html`<p class="muted" aria-busy="true">…</p>`)}
    </details>
  `;
}

function byName(answers) {
  const found = new Map();
  answers.forEach((rows, at) => {
    for (const { name, value, bytes } of rows) {
      if (bytes !== undefined || numeric(value) === undefined || isReserved(name)) continue;
      if (!found.has(name)) found.set(name, []);
      found.get(name)[at] = value;
    }
  });
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1));
}

function table(found, runs) {
  if (!found.length) return html`<p class="muted">None was logged at this step.</p>`;
  const more = found.length - ROWS_MAX;
  const cell = (value) => (value === undefined ? "" : number(typeof value === "bigint" ? value : numeric(value)));
  const row = ([name, values]) => html`
    <tr key=${name}><th scope="row"><bdi>${visible(name)}</bdi></th>
      ${runs.map(({ uuid }, at) => html`<td key=${uuid} class="number">${cell(values[at])}</td>`)}</tr>
  `;
  const head = runs.map(({ uuid, name }) => html`
    <th key=${uuid} scope="col" class="number"><bdi>${visible(name)}</bdi></th>
  `);
  return html`
    <div class="sample-rows" tabindex="0" role="group" aria-label="Numbers at this step">
      <table>
        <thead><tr><th scope="col">Metric</th>${head}</tr></thead>
        <tbody>${found.slice(0, ROWS_MAX).map(row)}</tbody>
      </table>
    </div>
    ${more > 0 && html`<p class="muted">and ${many(more, "more metric")}</p>`}
  `;
}
