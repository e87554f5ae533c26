// One chart that fills the window, and the way from it to the next.

import { chartOf } from "../data/sections.js";
import { html, useSignal } from "../ui.js";
import { Canvas } from "./chart_canvas.js";
import { Title } from "./chart_card.js";
import { Legend } from "./chart_legend.js";
import { ChartMenu } from "./chart_menu.js";
import { Button } from "./parts/button.js";
import { Dialog } from "./parts/dialog.js";

const MOVES = { ArrowLeft: -1, ArrowRight: 1, PageUp: -1, PageDown: 1 };

export function LargeChart({ board, sections, numeric }) {
  const { view } = board;
  const key = view.large.value;
  if (!key) return null;
  const all = sections.value.flatMap(({ charts }) => charts);
  const at = all.findIndex((chart) => chart.key === key);
  const chart = all[at] ?? (numeric.value.includes(key) ? chartOf([key]) : null);
  if (!chart) return null;
  const go = (by) => all.length > 1 && at >= 0 && (view.large.value = all[(at + by + all.length) % all.length].key);
  const keyed = (event) => {
    const typing = event.target.closest("input, [role=menu], .chart-canvas");
    if (event.defaultPrevented || typing || !Object.hasOwn(MOVES, event.key)) return;
    event.preventDefault();
    go(MOVES[event.key]);
  };
  const alone = all.length < 2 || at < 0 ? "true" : undefined;
  const tools = html`
    <span class="muted figures">${at >= 0 && `${at + 1} of ${all.length}`}</span>
    <${Button} kind="quiet" icon="back" label="Previous chart" aria-disabled=${alone} onClick=${() => go(-1)} />
    <${Button} kind="quiet" icon="chevron" label="Next chart" aria-disabled=${alone} onClick=${() => go(1)} />
    <${ChartMenu} key=${chart.key} board=${board} chart=${chart} large />
  `;
  const close = () => view.leave("large", "");
  return html`
    <${Dialog} kind="large" title=${html`<${Title} chart=${chart} />`} tools=${tools} onClose=${close}
      onKeyDown=${keyed}>
      <${Body} key=${chart.key} board=${board} chart=${chart} />
    <//>
  `;
}

function Body({ board, chart }) {
  const drawn = useSignal(null);
  return html`
    <div class="large-chart">
      <${Canvas} board=${board} chart=${chart} drawn=${drawn} />
      <${Legend} board=${board} chart=${chart} drawn=${drawn} most=${12} />
    </div>
  `;
}
