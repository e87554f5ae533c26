// A card: a chart with its name, its values, and what can be done with it. Far from the window it is an empty frame.

import { visible } from "../data/values.js";
import { html, useEffect, useId, useRef, useSignal } from "../ui.js";
import { Canvas } from "./chart_canvas.js";
import { Legend, legendRows, Stroke, Value } from "./chart_legend.js";
import { ChartMenu } from "./chart_menu.js";
import { pin } from "./chart_pin.js";
import { Button } from "./parts/button.js";
import { Icon } from "./parts/icon.js";

export function Card({ board, chart }) {
  const element = useRef(null);
  const near = useSignal(false);
  const drawn = useSignal(null); // the scene, once the chart has been drawn
  const id = useId();
  useEffect(() => {
    // Asked for before the chart is made, as finely as it will be wide.
    const ask = (is) => {
      if (is) board.measure(element.current);
      chart.names.forEach((name) => (is ? board.curves.want(name) : board.curves.release(name)));
    };
    const stop = board.whenNear(element.current, (is) => {
      if (is !== near.peek()) ask(is);
      near.value = is;
    });
    return () => {
      stop();
      if (near.peek()) ask(false);
    };
  }, []);
  const rows = legendRows(board, chart);
  const label = visible(chart.title);
  return html`
    <article class="card rows-${rows}" ref=${element} aria-labelledby=${id}>
      <header>
        <h3 id=${id} aria-label=${label} title=${label}><${Title} chart=${chart} drawn=${drawn} /></h3>
        ${near.value && html`
          <${Value} board=${board} drawn=${drawn} /><${Notes} drawn=${drawn} />
          <${Tools} board=${board} chart=${chart} />
        `}
      </header>
      ${near.value && html`
        <${Canvas} key=${chart.key} board=${board} chart=${chart} drawn=${drawn} />
        ${rows > 0 && html`<${Legend} board=${board} drawn=${drawn} most=${rows < 3 ? 2 * rows : 5} />`}
      `}
    </article>
  `;
}

/** A mark with what is not to be seen in the picture. */
export function Notes({ drawn }) {
  const notes = drawn.value?.notes ?? [];
  if (!notes.length) return null;
  const text = notes.join(" ");
  return html`<span class="notes" role="img" aria-label=${text} title=${text}><${Icon} name="warning" /></span>`;
}

/** The name of a chart; of several metrics how the lines of each are dashed. */
export function Title({ chart, drawn }) {
  const lines = chart.names.length > 1 ? (drawn.value?.lines ?? []) : [];
  const parts = chart.names.map((name, at) => {
    const end = name.lastIndexOf("/") + 1;
    const [before, own] = [name.slice(0, end), name.slice(end) || name].map((part) => visible(part));
    const folder = end && end < name.length ? html`<span class="muted">${before}</span>` : null;
    const line = lines.find(({ metric }) => metric === name);
    const stroke = line && html`<${Stroke} colour="currentcolor" dashes=${line.dashes} /> `;
    return html`${at > 0 && " + "}${stroke}<bdi key=${name}>${folder}<span>${own}</span></bdi>`;
  });
  return html`<span class=${parts.length > 1 ? "paths cut" : "path"} onCopy=${copied}>${parts}</span>`;
}

/** Copy a name in one line: its parts are laid out side by side, as blocks. */
function copied(event) {
  event.clipboardData.setData("text/plain", String(getSelection()).replaceAll("\n", ""));
  event.preventDefault();
}

function Tools({ board, chart }) {
  const { view } = board;
  const name = visible(chart.title);
  const pinned = view.pins.value.includes(chart.key);
  return html`
    <div class="card-tools">
      <${Button} kind="quiet" icon="pin" label=${pinned ? `Unpin ${name}` : `Pin ${name}`}
        aria-pressed=${String(pinned)} onClick=${() => pin(board, chart)} />
      <${Button} kind="quiet" icon="expand" label="Show ${name} large" onClick=${() => view.enter("large", chart.key)}
        />
      <${ChartMenu} board=${board} chart=${chart} />
    </div>
  `;
}
