// A dialog that chooses the metrics of one chart.

import { chartOf, searchOf, toggled } from "../data/sections.js";
import { many, visible } from "../data/values.js";
import { html, useSignal } from "../ui.js";
import { Button } from "./parts/button.js";
import { Check } from "./parts/choice.js";
import { Dialog } from "./parts/dialog.js";
import { SearchField } from "./parts/search_field.js";

const LISTED_MAX = 200;
const TOGETHER_MAX = 20;

export function Combine({ board, chart, onClose }) {
  const { view, names } = board;
  const chosen = useSignal(chart.names);
  const text = useSignal("");
  const search = searchOf(text.value);
  const all = names.value.filter(({ numeric }) => numeric).map(({ name }) => name);
  const found = all.filter(search.test);
  const full = chosen.value.length >= TOGETHER_MAX;
  const choose = (name) => (chosen.value = toggled(chosen.value, name));
  const row = (name) => {
    const checked = chosen.value.includes(name);
    return html`
      <li key=${name}>
        <${Check} checked=${checked} disabled=${full && !checked} onChange=${() => choose(name)}><bdi>
          ${visible(name)}</bdi><//>
      </li>
    `;
  };
  const combine = () => {
    replace(view, chart, chosen.value);
    onClose();
  };
  const actions = html`
    <${Button} onClick=${onClose}>Cancel<//>
    <${Button} kind="primary" disabled=${chosen.value.length < 2}
      onClick=${combine}>Combine ${many(chosen.value.length, "metric")}<//>
  `;
  return html`
    <${Dialog} title="Metrics in one chart" onClose=${onClose} actions=${actions}>
      <${SearchField} autofocus label="Search metrics" value=${text.value} wrong=${search.wrong}
        onInput=${(typed) => (text.value = typed)} />
      <ul class="checks" aria-label="Metrics">${found.slice(0, LISTED_MAX).map(row)}</ul>
      ${found.length > LISTED_MAX && html`<p
        class="muted">and ${many(found.length - LISTED_MAX, "more metric")}: search for them</p>`}
      ${!found.length && html`<p class="muted">No metric has that in its name.</p>`}
    <//>
  `;
}

/** Put a chart of these metrics where the other one was; a chart of one metric stays beside it. */
function replace(view, before, names) {
  const { key } = chartOf(names);
  const others = view.combined.value.filter((group) => ![key, before.key].includes(chartOf(group).key));
  view.combined.value = [...others, names];
  if (before.names.length > 1) view.pins.value = view.pins.value.map((pin) => (pin === before.key ? key : pin));
  if (view.large.value === before.key) view.large.value = key;
}
