// The row above the charts: which metrics, and how they are drawn.

import { html, useRef } from "../ui.js";
import { RangeChoice, ResetZoom } from "./chart_range.js";
import { Button } from "./parts/button.js";
import { copied } from "./parts/copy.js";
import { Choice } from "./parts/choice.js";
import { Menu } from "./parts/menu.js";
import { Popover } from "./parts/popover.js";
import { SearchField } from "./parts/search_field.js";
import { Slider } from "./parts/slider.js";

const AXES = [
  ["step", "Step"],
  ["time", "Time", "When a point was logged"],
  ["relative", "Relative", "Since the run's start"],
];
const SIZES = [["small", "Small charts"], ["medium", "Medium charts"], ["large", "Large charts"]];

/** `wide`: whether there is room for all; else the settings are behind a button. `sections`: `{openAll, closeAll}`. */
export function Toolbar({ board, search, wide, sections }) {
  const { view } = board;
  const field = useRef(null);
  const settings = html`<${Settings} view=${view} />`;
  return html`
    <div class="toolbar" role="group" aria-label="Charts">
      <${SearchField} element=${field} label="Search metrics" placeholder="Search metrics"
        title="Words, or a /regular expression/" value=${view.metrics.value}
        wrong=${search.wrong} onInput=${(text) => (view.metrics.value = text)} />
      ${wide ? settings : html`
        <${Popover} label="Settings of the charts" icon="settings" class="settings-popover">${() => settings}<//>`}
      <${ResetZoom} view=${view} />
      <${Menu} icon="more" kind="quiet" label="More of the charts" items=${() => more(view, sections)} />
    </div>
  `;
}

function Settings({ view }) {
  return html`
    <div class="settings">
      <${Choice} label="Horizontal axis" options=${AXES} value=${view.x.value} onChange=${(x) => setAxis(view, x)} />
      <${Slider} label="Smoothing" value=${view.smoothing.value} most=${0.999} step=${0.001} curve=${4}
        onInput=${(smoothing) => (view.smoothing.value = smoothing)} />
      <span class="logs">
        <${Button} aria-pressed=${String(view.logX.value)} disabled=${view.x.value === "time"}
          title="Logarithmic horizontal axis"
          onClick=${() => (view.logX.value = !view.logX.value)}>log x<//>
        <${Button} aria-pressed=${String(view.logY.value)} title="Logarithmic values"
          onClick=${() => (view.logY.value = !view.logY.value)}>log y<//>
      </span>
      <${RangeChoice} view=${view} />
    </div>
  `;
}

/** A range belongs to its axis. */
function setAxis(view, x) {
  view.range.value = null;
  view.x.value = x;
}

function more(view, { openAll, closeAll }) {
  const choose = (size) => () => (view.size.value = size);
  return [
    ...SIZES.map(([size, label]) => ({ label, checked: view.size.value === size, onSelect: choose(size) })),
    "-",
    { label: "Open all sections", onSelect: openAll },
    { label: "Close all sections", onSelect: closeAll },
    "-",
    { label: "Copy link to this view", icon: "link", onSelect: () => copied(view.href(), "Link copied.") },
  ];
}
