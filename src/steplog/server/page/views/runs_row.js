// A line of the table of runs: a run, or the head of a group.

import { web } from "../data/address.js";
import { many, number, visible } from "../data/values.js";
import { html } from "../ui.js";
import { Cell } from "./runs_cell.js";
import { fold, idOf, switched } from "./runs_keys.js";
import { Icon } from "./parts/icon.js";

let last = null; // the key of the line whose box was ticked last, where a range begins

export function RunRow({ here, runs, line, index, top, fields, active, selection, view }) {
  const { row } = line;
  const { uuid } = row;
  const isShown = runs.isShown(uuid);
  const colour = isShown ? runs.colours.value.get(uuid) : undefined;
  const name = visible(row.name);
  const kinds = ["runs-line", isShown && "shown", active.value === line.key && "active", runs.emphasis.value === uuid && "emphasised"];
  const show = (event) => {
    const wanted = !isShown;
    runs.show(uuidsUpTo(runs, line.key, event.shiftKey), wanted);
    event.currentTarget.checked = runs.isShown(uuid);
    begin(event, line, active);
  };
  const select = (event) => {
    selection.value = switched(selection.value, uuidsUpTo(runs, line.key, event.shiftKey), !selection.value.has(uuid));
    begin(event, line, active);
  };
  return html`
    <div class=${kinds.filter(Boolean).join(" ")} role="row" id=${idOf(line.key)} aria-rowindex=${index + 2} aria-selected=${String(isShown)}
      aria-level=${view.group.value ? 2 : undefined} style=${{ top: `${top}px` }}
      onPointerEnter=${() => (runs.emphasis.value = isShown ? uuid : null)}>
      <div class="name" role="gridcell">
        ${selection && html`
          <input type="checkbox" class="select" tabindex="-1" aria-label="Select ${name}" checked=${selection.value.has(uuid)} onClick=${select} />
        `}
        <input type="checkbox" class="show" tabindex="-1" aria-label="Show ${name}" checked=${isShown} onClick=${show} />
        <button type="button" class="swatch" tabindex="-1" aria-label="Show only ${name}" title="Show only this run"
          onClick=${() => runs.showOnly(uuid)}><span style=${{ background: colour }}></span></button>
        <a href=${web.run(here, uuid)} tabindex="-1" title=${name}><bdi>${name}</bdi></a>
        ${row.lost > 0 && html`<span class="lossmark" role="img" aria-label=${lossOf(row.lost)} title=${lossOf(row.lost)}>
          <${Icon} name="warning" />
        </span>`}
      </div>
      ${fields.slice(1).map((field) => html`<${Cell} key=${field} field=${field} row=${row} runs=${runs} view=${view} />`)}
    </div>
  `;
}

/** The head of a group: its runs are shown and hidden together. */
export function GroupRow({ runs, line, index, top, fields, active }) {
  const shown = line.uuids.filter((uuid) => runs.isShown(uuid)).length;
  const isAll = shown === line.uuids.length;
  const text = line.text === null ? "none" : line.text;
  const box = (input) => input && (input.indeterminate = shown > 0 && !isAll);
  const show = (event) => {
    runs.show(line.uuids, !isAll);
    begin(event, line, active);
  };
  const said = shown && !isAll ? `${number(shown)} of ${many(line.uuids.length, "run")} shown` : many(line.uuids.length, "run");
  return html`
    <div class="runs-line runs-group ${active.value === line.key ? "active" : ""}" role="row" id=${idOf(line.key)} aria-rowindex=${index + 2} aria-level="1"
      aria-expanded=${String(!line.closed)} style=${{ top: `${top}px` }}>
      <div class="name" role="gridcell" aria-colspan=${fields.length}>
        <input type="checkbox" class="show" tabindex="-1" aria-label="Show the runs of ${text}" checked=${isAll} ref=${box} onClick=${show} />
        <button type="button" class="fold" tabindex="-1" aria-label=${line.closed ? `Open ${text}` : `Close ${text}`}
          onClick=${() => fold(runs, line, !line.closed)}><${Icon} name="chevron" turned=${!line.closed} /></button>
        <b class=${line.text === null ? "muted" : ""}><bdi>${text}</bdi></b><span class="muted">${said}</span>
      </div>
    </div>
  `;
}

/** The runs from the line that was ticked last to this one, if a range is wanted. */
function uuidsUpTo(runs, key, isRange) {
  const lines = runs.lines.value;
  const [from, to] = [lines.findIndex((each) => each.key === last), lines.findIndex((each) => each.key === key)].sort((a, b) => a - b);
  const range = isRange && from !== -1 ? lines.slice(from, to + 1) : [lines.find((each) => each.key === key)];
  return range.flatMap(({ row }) => (row ? [row.uuid] : []));
}

/** Note where a range begins; the keys go on from there. */
function begin(event, { key }, active) {
  last = active.value = key;
  event.currentTarget.closest(".runs-grid").focus({ preventScroll: true });
}

const lossOf = (count) => `${many(count, "value")} lost`;
