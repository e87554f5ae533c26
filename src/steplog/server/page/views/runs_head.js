// The head of the table of runs: a click sorts by a column, its edge is dragged to make it wider, the head to move it.

import { setWidth, titleOf, widthOf } from "../data/runs_columns.js";
import { html, useRef, useSignal } from "../ui.js";

const STEP = 16;
const DRAG_PX = 5; // a pointer that moved less has clicked
const UNSORTED = new Set(["tag"]);
const NUMBERS_FIRST = /\.(last|min|max|count)$/;

export function RunsHead({ view, runs, fields }) {
  const current = useSignal("name"); // the head that has a place in the order of tabs
  const dragged = useSignal(null); // {field, before}
  const known = fields.includes(current.value) ? current.value : "name";
  const shared = { view, runs, fields, current, dragged };
  return html`
    <div class="runs-head" role="rowgroup"><div role="row" aria-rowindex="1">
      ${fields.map((field) => html`<${Head} key=${field} field=${field} isCurrent=${field === known} ...${shared} />`)}
    </div></div>
  `;
}

function Head({ view, runs, fields, field, isCurrent, current, dragged }) {
  const button = useRef(null);
  const [sorted, descending] = orderOf(view.sort.value);
  const order = sorted === field ? (descending ? "descending" : "ascending") : "none";
  const title = titleOf(field);
  const isNumeric = NUMBERS_FIRST.test(field) || field === "duration" || runs.rows.value.slice(0, 20).some((row) => typeof row[field] === "number");
  const move = (by) => moveColumn(view, fields, field, by);
  const press = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (event.altKey) return move(step);
    if (event.shiftKey) return setWidth(field, widthOf(field) + step * STEP);
    const heads = [...event.currentTarget.closest("[role=row]").querySelectorAll("button.sort")];
    heads[heads.indexOf(event.currentTarget) + step]?.focus();
  };
  const kinds = [isNumeric && "number", dragged.value?.before === field && "before", dragged.value?.field === field && "dragged"];
  const how = UNSORTED.has(field) ? "" : "Sort by it. ";
  return html`
    <div class=${["head", field === "name" && "name", ...kinds].filter(Boolean).join(" ")} role="columnheader" aria-sort=${order} data-field=${field}>
      <button type="button" class="sort" ref=${button} tabindex=${isCurrent ? 0 : -1} title="${field}\n${how}Alt+arrows move it, Shift+arrows its edge."
        onFocus=${() => (current.value = field)} onKeyDown=${press} onClick=${() => sortBy(view, field)}
        onPointerDown=${(event) => field !== "name" && drag(event, { view, fields, field, dragged })}>
        <bdi>${title}</bdi>${order !== "none" && html`<span aria-hidden="true">${descending ? "↓" : "↑"}</span>`}
      </button>
      <span class="edge" aria-hidden="true" onPointerDown=${(event) => resize(event, field)} onDblClick=${() => setWidth(field, null)}></span>
    </div>
  `;
}

const orderOf = (sort) => (sort.startsWith("-") ? [sort.slice(1), true] : [sort, false]);

/** Sort by a column: the one way, the other, not at all. Numbers and dates begin with the greatest. */
function sortBy(view, field) {
  if (UNSORTED.has(field)) return;
  const states = /^(name|user|status|group|id|job_type|config\.)/.test(field) || NUMBERS_FIRST.test(field) ? [field, `-${field}`] : [`-${field}`, field];
  const at = states.indexOf(view.sort.value);
  view.sort.value = at === -1 ? states[0] : (states[at + 1] ?? "");
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
  const grid = target.closest(".runs-grid");
  const overAt = (x) => [...grid.querySelectorAll(".head:not(.name)")].find((head) => x < middle(head))?.dataset.field ?? null;
  const move = ({ clientX, pointerId }) => {
    if (!dragged.value && Math.abs(clientX - from) < DRAG_PX) return;
    target.setPointerCapture(pointerId);
    dragged.value = { field, before: overAt(clientX) };
  };
  const end = ({ type }) => {
    target.removeEventListener("pointermove", move);
    const moved = dragged.value;
    dragged.value = null;
    if (!moved || type !== "pointerup") return;
    target.addEventListener("click", (click) => click.stopImmediatePropagation(), { capture: true, once: true });
    const columns = fields.slice(1).filter((each) => each !== field);
    const at = moved.before === null ? columns.length : moved.before === field ? fields.indexOf(field) - 1 : columns.indexOf(moved.before);
    view.columns.value = [...columns.slice(0, at), field, ...columns.slice(at)];
  };
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
