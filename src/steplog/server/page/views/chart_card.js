// A card: a chart with its name, its values, and what can be done with it. Far from the window it is an empty frame.

import { visible } from "../data/values.js";
import { toggled } from "../data/sections.js";
import { html, useEffect, useId, useRef, useSignal } from "../ui.js";
import { Canvas } from "./chart_canvas.js";
import { Legend } from "./chart_legend.js";
import { ChartMenu } from "./chart_menu.js";
import { Button } from "./parts/button.js";

export function Card({ board, chart }) {
  const element = useRef(null);
  const near = useSignal(false);
  const id = useId();
  useEffect(() => board.whenNear(element.current, (is) => (near.value = is)), []);
  return html`
    <article class="card" ref=${element} aria-labelledby=${id}>
      <header><h3 id=${id} title=${visible(chart.title)}><${Title} chart=${chart} /></h3>${
        near.value && html`<${Tools} board=${board} chart=${chart} />`}</header>
      ${near.value && html`<${Body} key=${chart.key} board=${board} chart=${chart} />`}
    </article>
  `;
}

function Body({ board, chart }) {
  const drawn = useSignal(null);
  return html`
    <${Canvas} board=${board} chart=${chart} drawn=${drawn} />
    <${Legend} board=${board} chart=${chart} drawn=${drawn} most=${5} />
  `;
}

/** The name of a chart, what is before the last slash of a metric less prominent. */
export function Title({ chart }) {
  const parts = chart.names.map((name, at) => {
    const end = name.lastIndexOf("/") + 1;
    const [before, own] = [name.slice(0, end), name.slice(end) || name].map((part) => visible(part));
    const folder = end < name.length && html`<span class="muted">${before}</span>`;
    return html`${at > 0 && " + "}<bdi key=${name}>${folder}${own}</bdi>`;
  });
  return html`${parts}`;
}

function Tools({ board, chart }) {
  const { view } = board;
  const name = visible(chart.title);
  const pinned = view.pins.value.includes(chart.key);
  const pin = () => (view.pins.value = toggled(view.pins.value, chart.key));
  return html`
    <div class="card-tools">
      <${Button} kind="quiet" icon="pin" label=${pinned ? `Unpin ${name}` : `Pin ${name}`}
        aria-pressed=${String(pinned)} onClick=${pin} />
      <${Button} kind="quiet" icon="expand" label="Show ${name} large" onClick=${() => view.enter("large", chart.key)}
        />
      <${ChartMenu} board=${board} chart=${chart} />
    </div>
  `;
}
