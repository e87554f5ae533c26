// Deleting runs, which can be undone: a day in the trash.

import { web } from "../data/address.js";
import { changeAll, discard, restore } from "../data/edits.js";
import { needKey } from "../data/session.js";
import { many } from "../data/values.js";
import { failure } from "./edit_failure.js";
import { tell } from "./parts/toast.js";

/**
 * Move runs to the trash. `onDeleted(uuids)` is called at once, so that they vanish; `onRestored(uuids)` with those
 * that are there again, since they were not deleted, or "Undo" has brought them back.
 */
export async function deleteRuns(here, uuids, told = {}) {
  if (!(await isGranted())) return;
  told.onDeleted?.(uuids);
  const { left, error } = await changeAll(uuids, (uuid) => discard(here, uuid));
  if (left.length) {
    told.onRestored?.(left);
    failed(left, failure(error, "deleted"), () => deleteRuns(here, left, told));
  } else {
    const undo = () => restoreRuns(here, uuids, told);
    const them = uuids.length === 1 ? "it" : "them";
    const text = `Deleted ${many(uuids.length, "run")}; the trash keeps ${them} for a day.`;
    tell(text, { text: "Undo", onClick: undo }, { text: "Trash", href: web.trash(here) });
  }
}

/** Take runs out of the trash; `onRestored(uuids)` is told of those that are out, `onLeft(uuids)` of the others. */
export async function restoreRuns(here, uuids, told = {}) {
  if (!(await isGranted())) {
    told.onLeft?.(uuids);
    return;
  }
  const { left, error } = await changeAll(uuids, (uuid) => restore(here, uuid));
  const missed = new Set(left);
  const back = uuids.filter((uuid) => !missed.has(uuid));
  if (back.length) told.onRestored?.(back);
  if (left.length) {
    told.onLeft?.(left);
    failed(left, failure(error, "restored"), () => restoreRuns(here, left, told));
  } else {
    tell(`Restored ${many(back.length, "run")}.`);
  }
}

function failed(left, words, again) {
  tell(`${many(left.length, "run")}: ${words}`, { text: "Try again", onClick: again });
}

const isGranted = () => needKey().then(() => true, () => false);
