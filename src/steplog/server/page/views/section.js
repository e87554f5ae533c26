// A section of charts, which can be closed.

import { number, visible } from "../data/values.js";
import { html, useId } from "../ui.js";
import { Card } from "./chart_card.js";
import { Icon } from "./parts/icon.js";

export function Section({ board, section, open, onToggle }) {
  const id = useId();
  const { title, charts } = section;
  const cards = () => charts.map((chart) => html`<${Card} key=${chart.key} board=${board} chart=${chart} />`);
  return html`
    <section class="section" aria-labelledby=${id}>
      <h2>
        <button type="button" aria-expanded=${String(open)} onClick=${onToggle}>
          <${Icon} name="chevron" turned=${open} /><bdi id=${id}>${visible(title)}</bdi>
          <span class="count">${number(charts.length)}</span>
        </button>
      </h2>
      ${open && html`<div class="cards">${cards()}</div>`}
    </section>
  `;
}
