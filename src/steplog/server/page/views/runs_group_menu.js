// By which field the runs are grouped.

import { fieldsWith } from "../data/runs_fields.js";
import { titleOf } from "../data/runs_columns.js";
import { html, useEffect, useSignal } from "../ui.js";
import { Icon } from "./parts/icon.js";
import { Popover } from "./parts/popover.js";
import { SearchField } from "./parts/search_field.js";

const FIELDS = ["group", "tag", "status", "user", "job_type"];
const LISTED_MAX = 100;

export function GroupMenu({ here, view }) {
  const { group } = view;
  const begin = (panel) => panel.querySelector("input").focus();
  return html`
    <${Popover} label="Group the runs" icon="group" kind="quiet" class="runs-fields" onOpen=${begin}
      aria-pressed=${String(group.value !== "")}
      text=${html`<span class="cut">${group.value ? `By ${titleOf(group.value)}` : "Group"}</span>`}>
      ${(close) => html`<${Fields} here=${here} group=${group} close=${close} />`}
    <//>
  `;
}

function Fields({ here, group, close }) {
  const text = useSignal("");
  const config = useSignal([]);
  useEffect(() => {
    fieldsWith(here, text.value, LISTED_MAX).then((found) => (config.value = found.config), () => {});
  }, [text.value]);
  const typed = text.value.toLowerCase();
  const known = FIELDS.filter((field) => titleOf(field).toLowerCase().includes(typed));
  const choose = (field) => {
    group.value = field;
    close();
  };
  const option = (field) => html`
    <li key=${field}><button type="button" class="item" aria-pressed=${String(field === group.value)}
      onClick=${() => choose(field)}>
      <span class="mark">${field === group.value && html`<${Icon} name="check" />`}</span>
      <bdi class="words">${field ? titleOf(field) : "Not grouped"}</bdi>
    </button></li>
  `;
  return html`
    <${SearchField} label="Find a field" value=${text.value} onInput=${(value) => (text.value = value)} />
    <ul>${(typed ? [] : [""]).concat(known, config.value).map(option)}</ul>
  `;
}
