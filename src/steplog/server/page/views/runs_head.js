// The head of the table of runs: a click sorts by a column, its edge is dragged to make it wider, the head to move it.

import { setWidth, titleOf, widthOf } from "../data/runs_columns.js";
import { many, visible } from "../data/values.js";
import { html, useSignal } from "../ui.js";
import { tell } from "./parts/toast.js";

const STEP = 16;
const DRAG_PX = 5; // a pointer that moved less has clicked
const UNSORTED = new Set(["tag"]);
const LATEST_FIRST = new Set(["started", "ended", "seen", "last_point", "duration", "lost", "generation"]);
const NUMBERS = new Set(["duration", "lost", "generation"]);
const ARROWS = { ascending: "↑", descending: "↓", none: "" };
const LOOKED_AT = 20; // rows that tell whether a column has numbers
const KEYS = "Alt+arrows move the column, Shift+arrows its edge.";

export function RunsHead({ view, runs, fields, selection }) {
  const current = useSignal("name"); // the head that has a place in the order of tabs
  const dragged = useSignal(null); // {field, before}
  const known = fields.includes(current.value) ? current.value : "name";
  const shared = { view, runs, fields, selection, current, dragged };
  return html`
    <div class="runs-head" role="rowgroup"><div role="row" aria-rowindex="1">
      ${fields.map((field) => html`<${Head} key=${field} field=${field} isCurrent=${field === known} ...${shared} />`)}
    </div></div>
  `;
}

function Head({ view, runs, fields, field, selection, isCurrent, current, dragged }) {
  const [sorted, isDescending] = orderOf(view.sort.value);
  const order = sorted !== field ? "none" : isDescending ? "descending" : "ascending";
  const kinds = {
    name: field === "name",
    number: isNumeric(field, runs.rows.value),
    before: dragged.value?.before === field,
    dragged: dragged.value?.field === field,
  };
  const title = `${visible(field)}\n${UNSORTED.has(field) ? "" : "Sort by it. "}${field === "name" ? "" : KEYS}`;
  return html`
    <div class=${["head", ...Object.keys(kinds).filter((kind) => kinds[kind])].join(" ")} role="columnheader"
      aria-sort=${UNSORTED.has(field) ? undefined : order} data-field=${field}>
      ${selection && field === "name" && html`<${All} runs=${runs} selection=${selection} />`}
      <button type="button" class="sort" tabindex=${isCurrent ? 0 : -1} title=${title}
        onFocus=${() => (current.value = field)} onClick=${() => sortBy(view, field)}
        onKeyDown=${(event) => press(event, view, fields, field)}
        onPointerDown=${(event) => field !== "name" && drag(event, { view, fields, field, dragged })}>
        <bdi>${titleOf(field)}</bdi><span aria-hidden="true">${ARROWS[order]}</span>
      </button>
      <span class="edge" aria-hidden="true" onPointerDown=${(event) => resize(event, field)}
        onDblClick=${() => setWidth(field, null)}></span>
    </div>
  `;
}

/** Selects all runs of the table, or none. */
function All({ runs, selection }) {
  const count = selection.value.size;
  const isAll = count > 0 && count >= Math.min(runs.total.value, runs.rows.value.length);
  const box = (input) => input && (input.indeterminate = count > 0 && !isAll);
  const change = async () => {
    if (count) return void (selection.value = new Set());
    const found = await runs.selectAll();
    return found < runs.total.value ? tell(`The first ${many(found, "run")} are selected.`) : undefined;
  };
  return html`
    <input type="checkbox" class="select" aria-label="Select all runs" checked=${isAll} ref=${box} onClick=${change} />
  `;
}

const orderOf = (sort) => (sort.startsWith("-") ? [sort.slice(1), true] : [sort, false]);

function isNumeric(field, rows) {
  if (NUMBERS.has(field) || /\.(min|max|count)$/.test(field)) return true;
  return rows.slice(0, LOOKED_AT).some((row) => typeof row[field] === "number");
}

function press(event, view, fields, field) {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const row = event.currentTarget.closest("[role=row]");
  const heads = [...row.querySelectorAll("button.sort")];
  if (event.altKey) moveColumn(view, fields, field, step);
  else if (event.shiftKey) setWidth(field, widthOf(field) + step * STEP);
  else goTo(heads[heads.indexOf(event.currentTarget) + step]);
}

/** Focus a head, and scroll until the name beside it, which stays, does not cover it. */
function goTo(head) {
  head?.focus();
  head?.scrollIntoView({ inline: "nearest", block: "nearest" });
}

/** Sort by a column: the one way, the other, not at all. */
function sortBy(view, field) {
  if (UNSORTED.has(field)) return;
  const orders = LATEST_FIRST.has(field) ? [`-${field}`, field, ""] : [field, `-${field}`, ""];
  view.sort.value = orders[(orders.indexOf(view.sort.value) + 1) % orders.length];
}

/** Move a column by so many places. The name stays the first. */
export function moveColumn(view, fields, field, by) {
  const columns = fields.slice(1);
  const from = columns.indexOf(field);
  const to = Math.max(0, Math.min(columns.length - 1, from + by));
  if (from === -1 || to === from) return;
  columns.splice(to, 0, ...columns.splice(from, 1));
  view.columns.value = columns;
}

/** Move a column by dragging its head. */
function drag(event, { view, fields, field, dragged }) {
  if (event.button !== 0 || event.pointerType === "touch") return;
  const { currentTarget: target, clientX: from } = event;
  const heads = [...target.closest("[role=row]").querySelectorAll(".head:not(.name)")];
  const beforeAt = (x) => heads.find((head) => x < middle(head))?.dataset.field ?? null;
  const move = ({ clientX }) => {
    if (!dragged.value && Math.abs(clientX - from) < DRAG_PX) return;
    dragged.value = { field, before: beforeAt(clientX) };
  };
  const end = ({ type }) => {
    target.removeEventListener("pointermove", move);
    const moved = dragged.value;
    dragged.value = null;
    if (!moved || type !== "pointerup") return;
    addEventListener("click", (click) => click.stopImmediatePropagation(), { capture: true, once: true });
    if (moved.before === field) return;
    const columns = fields.slice(1).filter((each) => each !== field);
    const at = moved.before === null ? columns.length : columns.indexOf(moved.before);
    view.columns.value = [...columns.slice(0, at), field, ...columns.slice(at)];
  };
  target.setPointerCapture(event.pointerId);
  target.addEventListener("pointermove", move);
  for (const type of ["pointerup", "pointercancel"]) target.addEventListener(type, end, { once: true });
}

function middle(head) {
  const { left, width } = head.getBoundingClientRect();
  return left + width / 2;
}

/** Make a column wider or narrower by dragging its edge. */
function resize(event, field) {
  const { currentTarget: target, clientX: from, pointerId } = event;
  const before = widthOf(field);
  event.preventDefault();
  target.setPointerCapture(pointerId);
  target.onpointermove = ({ clientX }) => setWidth(field, before + clientX - from);
  target.onpointerup = target.onpointercancel = () => (target.onpointermove = null);
}
