// One chart that fills the window, and the way from it to the next.

import { chartOf } from "../data/sections.js";
import { visible } from "../data/values.js";
import { html, useEffect, useMemo, useSignal } from "../ui.js";
import { Board } from "./chart_board.js";
import { Canvas } from "./chart_canvas.js";
import { Notes, Title } from "./chart_card.js";
import { Legend, legendRows, Value } from "./chart_legend.js";
import { ChartMenu } from "./chart_menu.js";
import { Button } from "./parts/button.js";
import { Dialog } from "./parts/dialog.js";

const LISTED_MAX = 50;
const MOVES = { ArrowLeft: -1, ArrowRight: 1, PageUp: -1, PageDown: 1 };

export function LargeChart({ board, sections, numeric }) {
  const key = board.view.large.value;
  if (!key) return null;
  const all = sections.value.flatMap(({ charts }) => charts);
  const at = all.findIndex((chart) => chart.key === key);
  const chart = all[at] ?? (numeric.value.includes(key) ? chartOf([key]) : null);
  return chart && html`<${Large} panel=${board} all=${all} at=${at} chart=${chart} />`;
}

/** `at` is its place among `all`, -1 where the search does not find it. Its curves are finer than the panel's. */
function Large({ panel, all, at, chart }) {
  const { view } = panel;
  const board = useMemo(() => new Board({ ...panel, coarser: panel.curves }), []);
  useEffect(() => () => board.end(), []);
  const drawn = useSignal(null);
  const isAlone = all.length < 2 || at < 0;
  const go = (by) => {
    if (isAlone) return;
    drawn.value = null;
    view.large.value = all[(at + by + all.length) % all.length].key;
  };
  const keyed = (event) => {
    const typing = event.target.closest("input, [role=menu], .chart-canvas");
    if (event.defaultPrevented || typing || !Object.hasOwn(MOVES, event.key)) return;
    event.preventDefault();
    go(MOVES[event.key]);
  };
  const disabled = isAlone ? "true" : undefined;
  const tools = html`
    <${Value} board=${board} drawn=${drawn} /><${Notes} drawn=${drawn} />
    <span class="muted figures">${at >= 0 && `${at + 1} of ${all.length}`}</span>
    <${Button} kind="quiet" icon="back" label="Previous chart" aria-disabled=${disabled} onClick=${() => go(-1)} />
    <${Button} kind="quiet" icon="chevron" label="Next chart" aria-disabled=${disabled} onClick=${() => go(1)} />
    <${ChartMenu} key=${chart.key} board=${board} chart=${chart} large />
  `;
  const title = html`<${Title} chart=${chart} drawn=${drawn} />`;
  return html`
    <${Dialog} kind="large" title=${title} label=${visible(chart.title)} tools=${tools} onKeyDown=${keyed}
      onClose=${() => view.leave("large", "")}>
      <div class="large-chart">
        <${Canvas} key=${chart.key} board=${board} chart=${chart} drawn=${drawn} />
        ${legendRows(board, chart) > 0 && html`<${Legend} board=${board} drawn=${drawn} most=${LISTED_MAX} />`}
      </div>
    <//>
  `;
}
