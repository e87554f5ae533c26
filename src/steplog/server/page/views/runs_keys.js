// The keys of the table of runs.

import { web } from "../data/address.js";

/** By how many lines a key moves, where a page has so many. */
const MOVES = {
  ArrowDown: () => 1,
  ArrowUp: () => -1,
  PageDown: (page) => page,
  PageUp: (page) => -page,
  Home: () => -Infinity,
  End: () => Infinity,
};

/** Act on a key that was pressed in the table; keys of what is in it, such as the buttons of its head, are theirs. */
export function keysOf(event, { here, view, runs, active, selection, scroll }) {
  if (event.target !== event.currentTarget || event.ctrlKey || event.metaKey || event.altKey) return;
  const lines = runs.lines.value;
  const at = lines.findIndex(({ key }) => key === active.value);
  const line = lines[at];
  if (Object.hasOwn(MOVES, event.key)) {
    const wanted = (at === -1 && event.key === "ArrowUp" ? 1 : at) + MOVES[event.key](scroll.page);
    const to = Math.max(0, Math.min(lines.length - 1, wanted));
    if (!lines.length) return;
    if (event.shiftKey && line?.row && lines[to].row) runs.show([lines[to].row.uuid], runs.isShown(line.row.uuid));
    active.value = lines[to].key;
    scroll.show(to);
    if (event.key === "End") scroll.element.scrollTop = scroll.element.scrollHeight;
  } else if (event.key === " " && line) {
    const uuids = line.row ? [line.row.uuid] : line.uuids;
    if (selection) selection.value = switched(selection.value, uuids);
    else runs.toggle(...uuids);
  } else if (event.key === "Enter" && line?.row) {
    location.assign(web.run(here, line.row.uuid));
  } else if ((event.key === "Enter" || event.key === "ArrowLeft" || event.key === "ArrowRight") && line && !line.row) {
    fold(runs, line, event.key === "Enter" ? !line.closed : event.key === "ArrowLeft");
  } else if (event.key === "ArrowLeft" && view.group.value && line?.row) {
    const head = lines.slice(0, at).findLastIndex(({ row }) => !row);
    active.value = lines[head].key;
    scroll.show(head);
  } else if (event.key === "o" && line) {
    runs.showOnly(...(line.row ? [line.row.uuid] : line.uuids));
  } else {
    return;
  }
  event.preventDefault();
}

/** Close a group, or open it. */
export function fold(runs, { text }, isClosed) {
  const closed = new Set(runs.closed.value);
  if (isClosed) closed.add(text);
  else closed.delete(text);
  runs.closed.value = closed;
}

/** A set with all of some uuids, or with none of them if it had them all. */
export function switched(set, uuids, isWanted = !uuids.every((uuid) => set.has(uuid))) {
  const next = new Set(set);
  for (const uuid of uuids) {
    if (isWanted) next.add(uuid);
    else next.delete(uuid);
  }
  return next;
}

/** The id of the element of a line. */
export const idOf = (key) => `line-${encodeURIComponent(key)}`;
