// A line of the table of runs: a run, or the head of a group.

import { web } from "../data/address.js";
import { many, number, numeric, visible } from "../data/values.js";
import { html } from "../ui.js";
import { Cell } from "./runs_cell.js";
import { fold, idOf, switched } from "./runs_keys.js";
import { Icon } from "./parts/icon.js";

let last = null; // the key of the line whose box was ticked last, where a range begins

export function RunRow({ here, runs, line, index, top, fields, active, selection, view }) {
  const { row, key } = line;
  const { uuid } = row;
  const isShown = runs.isShown(uuid);
  const isSelected = selection ? selection.value.has(uuid) : isShown;
  const name = visible(row.name);
  const show = (event) => {
    runs.show(uuidsUpTo(runs, key, event.shiftKey), !isShown);
    event.currentTarget.checked = runs.isShown(uuid);
    begin(event, line, active);
  };
  const select = (event) => {
    selection.value = switched(selection.value, uuidsUpTo(runs, key, event.shiftKey), !isSelected);
    begin(event, line, active);
  };
  const kinds = { shown: isShown, active: active.value === key, emphasised: runs.emphasis.value === uuid };
  const cell = (field) => html`<${Cell} key=${field} field=${field} row=${row} runs=${runs} view=${view} />`;
  return html`
    <div class=${classOf("runs-line", kinds)} role="row" id=${idOf(key)} aria-rowindex=${index + 2}
      aria-selected=${String(isSelected)} aria-level=${view.group.value ? 2 : undefined} style=${{ top: `${top}px` }}
      onPointerEnter=${() => (runs.emphasis.value = isShown ? uuid : null)}>
      <div class="name" role="gridcell">
        ${selection && html`
          <input type="checkbox" class="select" tabindex="-1" aria-label="Select ${name}" checked=${isSelected}
            title="Select it, to edit it" onClick=${select} />
        `}
        <input type="checkbox" class="show" tabindex="-1" aria-label="Show ${name}" checked=${isShown}
          title="Show it in the charts" onClick=${show} />
        <button type="button" class="swatch" tabindex="-1" aria-label="Show only ${name}" title="Show only this run"
          onClick=${() => runs.showOnly(uuid)}>
          <span class="dot" style=${{ background: runs.colours.value.get(uuid) }}></span>
        </button>
        <a href=${web.run(here, uuid)} tabindex="-1" title=${name}><bdi>${name}</bdi></a>
        <${LossMark} lost=${row.lost} />
      </div>
      ${fields.slice(1).map(cell)}
    </div>
  `;
}

function LossMark({ lost }) {
  const count = numeric(lost ?? 0);
  if (!(count > 0)) return null;
  const text = Number.isFinite(count) ? `up to ${many(count, "value")} lost` : "an unknown number of values lost";
  return html`<span class="lossmark" role="img" aria-label=${text} title=${text}><${Icon} name="warning" /></span>`;
}

/** The head of a group: its runs are shown and hidden together. */
export function GroupRow({ runs, line, index, top, fields, active, selection }) {
  const { text, uuids, closed } = line;
  const chosen = uuids.filter((uuid) => (selection ? selection.value.has(uuid) : runs.isShown(uuid))).length;
  const isAll = chosen === uuids.length;
  const name = text ?? "none";
  const box = (input) => input && (input.indeterminate = chosen > 0 && !isAll);
  const choose = (event) => {
    if (selection) selection.value = switched(selection.value, uuids, !isAll);
    else runs.show(uuids, !isAll);
    begin(event, line, active);
  };
  const count = many(uuids.length, "run");
  const said = chosen && !isAll ? `${number(chosen)} of ${count} ${selection ? "selected" : "shown"}` : count;
  const colour = runs.colours.value.get(uuids.find((uuid) => runs.isShown(uuid)));
  const kinds = { "runs-group": true, active: active.value === line.key };
  return html`
    <div class=${classOf("runs-line", kinds)} role="row" id=${idOf(line.key)} aria-rowindex=${index + 2}
      aria-level="1" aria-expanded=${String(!closed)} style=${{ top: `${top}px` }}>
      <div class="name" role="gridcell" aria-colspan=${fields.length}>
        <input type="checkbox" class=${selection ? "select" : "show"} tabindex="-1" checked=${isAll} ref=${box}
          aria-label="${selection ? "Select" : "Show"} the runs of ${name}" onClick=${choose} />
        <button type="button" class="fold" tabindex="-1" aria-label=${closed ? `Open ${name}` : `Close ${name}`}
          onClick=${() => fold(runs, line, !closed)}><${Icon} name="chevron" turned=${!closed} /></button>
        <span class="words">
          <span class="dot" style=${{ background: colour }}></span>
          <b class=${text === null ? "muted" : ""} title=${name}><bdi>${name}</bdi></b>
          <span class="muted">· ${said}</span>
        </span>
      </div>
    </div>
  `;
}

const classOf = (first, kinds) => [first, ...Object.keys(kinds).filter((kind) => kinds[kind])].join(" ");

/** The runs from the line that was ticked last to this one, if a range is wanted. */
function uuidsUpTo(runs, key, isRange) {
  const lines = runs.lines.value;
  const to = lines.findIndex((line) => line.key === key);
  const begun = isRange ? lines.findIndex((line) => line.key === last) : -1;
  const from = begun === -1 ? to : begun;
  return lines.slice(Math.min(from, to), Math.max(from, to) + 1).flatMap(({ row }) => (row ? [row.uuid] : []));
}

/** Note where a range begins; the keys go on from there. */
function begin(event, { key }, active) {
  last = active.value = key;
  event.currentTarget.closest(".runs-grid").focus({ preventScroll: true });
}
