// The rows of the table of runs: as many as are in view, in a grid that has one place in the order of tabs.

import { html, useEffect, useLayoutEffect, useRef, useSignal } from "../ui.js";
import { many } from "../data/values.js";
import { RunsHead } from "./runs_head.js";
import { GroupRow, RunRow } from "./runs_row.js";
import { idOf, keysOf } from "./runs_keys.js";
import { Scroll } from "./runs_scroll.js";
import { fieldsOf, templateOf } from "./runs_template.js";

/** `selection`: null, or the signal of the uuids that are selected to be edited. */
export function RunsGrid({ here, view, runs, selection }) {
  const scroller = useRef(null);
  const scroll = useSignal(null);
  const active = useSignal(null); // the key of the line that the keyboard is at
  const lines = runs.lines.value;
  useLayoutEffect(() => {
    scroll.value = new Scroll(scroller.current, runs);
    return () => scroll.value.end();
  }, []);
  useLayoutEffect(() => scroll.value?.keepInPlace(lines), [lines]);
  useEffect(() => scroll.value?.toTop(), [view.sort.value, view.where.value, view.group.value]);
  const [from, to] = runs.inView.value;
  const fields = fieldsOf(runs);
  const shared = { here, view, runs, selection, fields, active };
  const isBusy = runs.total.value === null && !runs.wrong.value;
  const isGrouped = view.group.value !== "";
  const count = isGrouped ? lines.length : Math.max(lines.length, runs.total.value ?? 0);
  const height = scroll.value?.height.value ?? 28;
  const besides = (isGrouped ? 16 : 0) + (selection ? 28 : 0);
  const row = (line, at) => {
    const index = from + at;
    const Row = line.row ? RunRow : GroupRow;
    return html`<${Row} key=${line.key} line=${line} index=${index} top=${index * height} ...${shared} />`;
  };
  const fresh = scroll.value?.fresh.value ?? 0;
  const current = lines.slice(from, to).some(({ key }) => key === active.value) ? idOf(active.value) : undefined;
  return html`
    ${fresh > 0 && html`
      <button type="button" class="fresh" onClick=${() => scroll.value.toTop()}>${many(fresh, "new run")}</button>
    `}
    <div class=${`runs-grid ${selection ? "selecting" : ""}`} ref=${scroller} role=${isGrouped ? "treegrid" : "grid"}
      tabindex="0" aria-label="Runs" aria-multiselectable="true" aria-rowcount=${count + 1}
      aria-colcount=${fields.length} aria-activedescendant=${current} aria-busy=${String(isBusy)}
      style=${templateOf(fields, besides)}
      onKeyDown=${(event) => keysOf(event, { ...shared, scroll: scroll.value })}>
      <${RunsHead} view=${view} runs=${runs} fields=${fields} selection=${selection} />
      <div class="runs-rows" role="rowgroup" style=${{ height: `${count * height}px` }}
        onPointerLeave=${() => (runs.emphasis.value = null)}>
        ${lines.slice(from, to).map(row)}
      </div>
    </div>
  `;
}
