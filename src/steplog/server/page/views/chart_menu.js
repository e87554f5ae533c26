// What can be done with a chart.

import { csvOf, pngOf, svgOf } from "../charts/files.js";
import { pythonOf } from "../charts/python.js";
import { sceneOf } from "../charts/scene.js";
import { toggled } from "../data/sections.js";
import { visible } from "../data/values.js";
import { html, untracked, useSignal } from "../ui.js";
import { choices, isLog } from "./chart_canvas.js";
import { Combine } from "./chart_combine.js";
import { pin } from "./chart_pin.js";
import { copied } from "./parts/copy.js";
import { Menu } from "./parts/menu.js";

/** `large`: the menu is that of the chart that is shown large. */
export function ChartMenu({ board, chart, large = false }) {
  const combining = useSignal(false);
  const items = () => [...arrangement(board, chart, large, combining), "-", ...files(board, chart)];
  return html`
    <${Menu} icon="more" kind="quiet" label="Menu of ${visible(chart.title)}" items=${items} />
    ${combining.value && html`<${Combine} board=${board} chart=${chart} onClose=${() => (combining.value = false)} />`}
  `;
}

function arrangement(board, chart, large, combining) {
  const { view } = board;
  const { key, names } = chart;
  const pinned = view.pins.value.includes(key);
  const log = () => (view.logOf.value = toggled(view.logOf.value, key));
  return [
    !large && { label: "Show large", icon: "expand", onSelect: () => view.enter("large", key) },
    { label: pinned ? "Unpin" : "Pin", icon: "pin", onSelect: () => pin(board, chart) },
    { label: "Combine with…", icon: "combine", onSelect: () => (combining.value = true) },
    names.length > 1 && { label: "Take apart", icon: "minus", onSelect: () => remove(view, key) },
    "-",
    { label: "Logarithmic values", checked: isLog(view, chart), onSelect: log },
  ];
}

/** Take a chart of several metrics away. */
export function remove(view, key) {
  view.combined.value = view.combined.value.filter((names) => names.join(" + ") !== key);
  view.pins.value = view.pins.value.filter((pin) => pin !== key);
  if (view.large.value === key) view.leave("large", "");
}

function files(board, chart) {
  const name = chart.names.join("_").replace(/[^\w.-]+/g, "_").slice(0, 100) || "chart";
  const save = async (ending, made, type) => download(`${name}.${ending}`, await made(sceneNow(board, chart)), type);
  return [
    { label: "Copy link", icon: "link", onSelect: () => copied(linkTo(board.view, chart), "Link copied.") },
    { label: "Copy as Python", icon: "copy", onSelect: () => copied(python(board, chart), "Python copied.") },
    { label: "Download CSV", icon: "download", onSelect: () => save("csv", csvOf, "text/csv") },
    { label: "Download SVG", icon: "download", onSelect: () => save("svg", svgOf, "image/svg+xml") },
    { label: "Download PNG", icon: "download", onSelect: () => save("png", pngOf, "image/png") },
  ];
}

/** What a chart shows now. */
function sceneNow(board, chart) {
  return untracked(() => {
    const curves = chart.names.map((name) => {
      const { value } = board.curves.want(name);
      board.curves.release(name);
      return value;
    });
    return sceneOf({ curves, runs: board.runs.value, view: choices(board.view, chart), label: chart.title });
  });
}

function python({ here, view, runs }, chart) {
  return untracked(() => pythonOf({ here, runs: runs.value, names: chart.names, view: choices(view, chart) }));
}

function linkTo(view, { key }) {
  const address = new URL(view.href());
  address.searchParams.set("large", key);
  return address.href;
}

function download(name, content, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
