// Which columns the table of runs has, and in which order.

import { metricField, partsOf, titleOf } from "../data/runs_columns.js";
import { COLUMNS_MAX } from "../data/runs.js";
import { differing, fieldsWith } from "../data/runs_fields.js";
import { many, number, visible } from "../data/values.js";
import { html, useEffect, useSignal } from "../ui.js";
import { moveColumn } from "./runs_head.js";
import { fieldsOf } from "./runs_template.js";
import { Button } from "./parts/button.js";
import { Chip } from "./parts/chip.js";
import { Check } from "./parts/choice.js";
import { Popover } from "./parts/popover.js";
import { SearchField } from "./parts/search_field.js";
import { tell } from "./parts/toast.js";

const LISTED_MAX = 60; // of each kind; others are found by their name
const AGGREGATES = ["last", "min", "max", "count"];

export function ColumnsMenu({ here, view, runs }) {
  const begin = (panel) => panel.querySelector("input").focus();
  return html`
    <${Popover} label="Columns" icon="columns" kind="quiet" text="Columns" class="runs-fields runs-columns"
      onOpen=${begin}>
      ${(close) => html`<${Columns} here=${here} view=${view} runs=${runs} close=${close} />`}
    <//>
  `;
}

function Columns({ here, view, runs, close }) {
  const text = useSignal("");
  const found = useSignal({ fields: [], config: [], metrics: [], more: false });
  useEffect(() => {
    fieldsWith(here, text.value, LISTED_MAX).then((names) => (found.value = names), () => {});
  }, [text.value]);
  const chosen = fieldsOf(runs).slice(1);
  const change = (field) => {
    const columns = fieldsOf(runs).slice(1); // now, whatever has been drawn
    const isChosen = columns.includes(field);
    if (!isChosen && columns.length >= COLUMNS_MAX) return tell(`A table has up to ${COLUMNS_MAX} columns.`);
    view.columns.value = isChosen ? columns.filter((each) => each !== field) : [...columns, field];
    return undefined;
  };
  const { config, metrics, more } = found.value;
  const fields = found.value.fields.filter((field) => field !== "name");
  const plain = (field) => html`
    <li key=${field}><${Check} checked=${chosen.includes(field)} onChange=${() => change(field)}>
      <bdi>${titleOf(field)}</bdi>
    <//></li>
  `;
  const metric = (name) => html`<${Metric} key=${name} name=${name} chosen=${chosen} onChange=${change} />`;
  const section = (title, names, row) => names.length > 0 && html`<h2>${title}</h2><ul>${names.map(row)}</ul>`;
  return html`
    <${SearchField} label="Find a column" value=${text.value} onInput=${(value) => (text.value = value)} />
    <div class="actions">
      <${Button} onClick=${() => showDiffering(here, view, runs).then(close)}>Only what differs<//>
      <${Button} disabled=${!view.columns.value.length} onClick=${() => (view.columns.value = [])}>The usual ones<//>
    </div>
    ${!text.value && html`<${Chosen} view=${view} fields=${["name", ...chosen]} onRemove=${change} />`}
    ${section("Run", fields, plain)}
    ${section("Config", config, plain)}
    ${section("Metrics", metrics, metric)}
    ${more && html`<p class="muted">There are more; find them by their name.</p>`}
  `;
}

/** The columns there are, in their order. */
function Chosen({ view, fields, onRemove }) {
  const row = (field, at) => {
    const title = titleOf(field);
    const move = (by) => () => moveColumn(view, fields, field, by);
    return html`
      <li key=${field}>
        <bdi class="words" title=${visible(field)}>${title}</bdi>
        <${Button} kind="quiet" icon="up" label="Move ${title} up" disabled=${at === 0} onClick=${move(-1)} />
        <${Button} kind="quiet" icon="down" label="Move ${title} down" disabled=${at === fields.length - 2}
          onClick=${move(1)} />
        <${Button} kind="quiet" icon="close" label="Remove ${title}" onClick=${() => onRemove(field)} />
      </li>
    `;
  };
  return html`<h2>Shown · ${number(fields.length - 1)}</h2><ol>${fields.slice(1).map(row)}</ol>`;
}

/** A metric, and what of it is shown. */
function Metric({ name, chosen, onChange }) {
  const chip = (aggregate) => {
    const field = metricField(name, aggregate);
    const label = `${visible(name)} ${aggregate}`;
    const change = () => onChange(field);
    const isChosen = chosen.includes(field);
    return html`<${Chip} key=${field} label=${label} pressed=${isChosen} onClick=${change}>${aggregate}<//>`;
  };
  const text = visible(name);
  return html`<li class="metric"><bdi class="words" title=${text}>${text}</bdi>${AGGREGATES.map(chip)}</li>`;
}

/** Show as columns what is not the same in the config of all shown runs; other columns of the config go. */
async function showDiffering(here, view, runs) {
  const uuids = runs.shown.value.map(({ uuid }) => uuid);
  try {
    const fields = await differing(here, uuids);
    const of = (kind) => fieldsOf(runs).slice(1).filter((field) => partsOf(field).kind === kind);
    const wanted = fields.slice(0, COLUMNS_MAX - of("run").length - of("metric").length);
    view.columns.value = [...wanted, ...of("metric"), ...of("run")]; // what is asked about is seen first
    const more = fields.length > wanted.length ? `, of which ${number(wanted.length)} are shown` : "";
    const differ = fields.length ? `Entries of the config that differ: ${number(fields.length)}${more}.` : "";
    tell(differ || `The config is the same in ${many(uuids.length, "run")}.`);
  } catch {
    tell("The server did not answer.");
  }
}
