// Charts of the metrics of some runs, in sections; their samples, and their figures.

import { isOpen, searchOf, sectionsOf } from "../data/sections.js";
import { number } from "../data/values.js";
import { html, useComputed, useEffect, useLayoutEffect, useMemo, useRef, useSignal } from "../ui.js";
import { Board } from "./chart_board.js";
import { NoMetric, NoRunShown } from "./chart_empty.js";
import { LargeChart } from "./chart_large.js";
import { FiguresTab } from "./chart_table.js";
import { Empty } from "./parts/empty.js";
import { Tabs } from "./parts/tabs.js";
import { Samples } from "./samples.js";
import { Section } from "./section.js";
import { Toolbar } from "./toolbar.js";

const WIDE = 940; // pixels: from here on all settings are in the toolbar
const TIGHT = 640; // below, what stands beside the tabs has a line of its own

/**
 * `runs` is a signal of the runs that are shown, `names` one of `{name, numeric, others}[]`, null until they are known.
 * `aside` stands beside the tabs; `total` is a signal of how many runs there are to choose from. `files`: the last tab,
 * `{text, View}`.
 */
export function ChartsPanel({ here, view, runs, names, emphasis, aside, total, files }) {
  const board = useMemo(() => new Board({ here, view, runs, names, emphasis }), []);
  useEffect(() => () => board.end(), []);
  const element = useRef(null);
  const width = useSignal(WIDE);
  useLayoutEffect(() => {
    width.value = element.current.clientWidth;
    const resized = new ResizeObserver(([{ contentRect }]) => (width.value = contentRect.width));
    resized.observe(element.current);
    return () => resized.disconnect();
  }, []);
  const wide = useComputed(() => width.value >= WIDE);
  const tight = useComputed(() => width.value < TIGHT);
  const search = useComputed(() => searchOf(view.metrics.value));
  const numeric = useComputed(() => (names.value ?? []).filter((each) => each.numeric).map(({ name }) => name));
  const sections = useComputed(() =>
    sectionsOf(numeric.value, { search: search.value, pins: view.pins.value, combined: view.combined.value }));
  const others = (names.value ?? []).filter((each) => each.others).length;
  const tabs = [
    { id: "charts", text: "Charts", count: names.value ? number(numeric.value.length) : undefined },
    { id: "samples", text: "Samples", count: others ? number(others) : undefined },
    { id: "table", text: "Table" },
    { id: "files", text: files.text },
  ];
  const shown = { charts: ChartsTab, samples: Samples, table: FiguresTab, files: files.View }[view.tab.value];
  const given = { here, view, runs, names, board, search, sections, numeric, wide, total };
  return html`
    <div class="charts size-${view.size.value} ${tight.value ? "tight" : ""}" ref=${element}>
      <${Tabs} label="Views" tabs=${tabs} value=${view.tab.value} onChange=${(tab) => (view.tab.value = tab)}
        aside=${aside}>
        <${shown} ...${given} />
      <//>
    </div>
  `;
}

function ChartsTab({ view, runs, names, board, search, sections, numeric, wide, total }) {
  const searched = Boolean(view.metrics.value.trim());
  const by = { opened: view.open.value, closed: view.closed.value, searched };
  const set = (section, open) => {
    const itself = section.open || searched;
    view.open.value = without(view.open.value, section.key).concat(open && !itself ? section.key : []);
    view.closed.value = without(view.closed.value, section.key).concat(!open && itself ? section.key : []);
  };
  const setAll = (open) => () => sections.value.forEach((section) => set(section, open));
  const section = (each) => {
    const open = isOpen(each, by);
    return html`<${Section} key=${each.key} board=${board} section=${each} open=${open}
      onToggle=${() => set(each, !open)} />`;
  };
  const all = { openAll: setAll(true), closeAll: setAll(false) };
  const most = Math.max(1, ...sections.value.map(({ charts }) => charts.length)); // in one section
  return html`
    <${Toolbar} board=${board} search=${search.value} wide=${wide.value} sections=${all} />
    <div class="sections" style=${{ "--most": most }}>${content()}</div>
    <${LargeChart} board=${board} sections=${sections} numeric=${numeric} />
  `;

  function content() {
    const { failed } = board.curves.state.value;
    if (failed) return html`<${Empty} title="No curves"><p>${failed}</p><//>`;
    if (names.value === null) return html`<${Frames} />`;
    if (!runs.value.length) return html`<${NoRunShown} view=${view} total=${total?.value} />`;
    if (!sections.value.length) return html`<${NoMetric} view=${view} names=${names.value} />`;
    return sections.value.map(section);
  }
}

/** What stands where the cards will. */
function Frames() {
  const frames = [1, 2, 3, 4].map((at) => html`<div key=${at} class="card" />`);
  return html`<div class="cards" aria-busy="true">${frames}</div>`;
}

const without = (list, item) => list.filter((each) => each !== item);
