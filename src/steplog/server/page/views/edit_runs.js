// Editing several runs at once: their tags, their group, the trash.

import { changeAll, edit, retag } from "../data/edits.js";
import { many, number } from "../data/values.js";
import { html, useRef, useSignal } from "../ui.js";
import { deleteRuns } from "./edit_delete.js";
import { failure } from "./edit_failure.js";
import { Text } from "./edit_run.js";
import { TagsField } from "./edit_tags.js";
import { Button } from "./parts/button.js";
import { Dialog } from "./parts/dialog.js";

/**
 * Actions on the runs that are selected: `runs.selected`, a signal of uuids. `runs` is told of changes by `refresh()`,
 * of deleted ones by `drop(uuids)`.
 */
export function EditRuns({ here, runs }) {
  const open = useSignal(null); // "tags" or "group"
  const uuids = [...runs.selected.value];
  const disabled = uuids.length === 0;
  const onDeleted = (gone) => {
    runs.selected.value = new Set();
    runs.drop(gone);
  };
  const discard = () => deleteRuns(here, uuids, { onDeleted, onRestored: () => runs.refresh() });
  const close = () => (open.value = null);
  const about = { here, uuids, onClose: close, onSaved: () => runs.refresh() };
  return html`
    <div class="runs-edit" role="group" aria-label="Edit the selected runs">
      <span role="status">${number(uuids.length)} selected</span>
      <${Button} label="Edit tags" disabled=${disabled} onClick=${() => (open.value = "tags")}>Tags<//>
      <${Button} label="Edit group" disabled=${disabled} onClick=${() => (open.value = "group")}>Group<//>
      <${Button} kind="danger" disabled=${disabled} onClick=${discard}>Delete<//>
    </div>
    ${open.value === "tags" && html`<${EditTags} known=${tagsOf(runs, uuids)} ...${about} />`}
    ${open.value === "group" && html`<${EditGroup} ...${about} />`}
  `;
}

function EditTags({ here, uuids, known, ...rest }) {
  const add = useSignal([]);
  const remove = useSignal([]);
  const change = (uuid) => retag(here, uuid, { add: add.value, remove: remove.value });
  return html`
    <${EditAll} title="Tags of ${many(uuids.length, "run")}" uuids=${uuids} change=${change} ...${rest}>
      <${TagsField} label="Add" autofocus tags=${add.value} onChange=${(tags) => (add.value = tags)} known=${known} />
      <${TagsField} label="Remove" tags=${remove.value} onChange=${(tags) => (remove.value = tags)} known=${known} />
    <//>
  `;
}

function EditGroup({ here, uuids, ...rest }) {
  const group = useSignal("");
  const change = (uuid) => edit(here, uuid, { group: group.value || null });
  return html`
    <${EditAll} title="Group of ${many(uuids.length, "run")}" uuids=${uuids} change=${change} ...${rest}>
      <${Text} label="Group" autofocus maxlength="256" value=${group.value} onInput=${(text) => (group.value = text)} />
      <p class="muted">Empty: no group.</p>
    <//>
  `;
}

/** A dialog that makes a change of each run. What is not changed stays to be tried again. */
function EditAll({ title, uuids, change, onSaved, onClose, children }) {
  const left = useSignal(uuids); // the same runs, whatever is selected meanwhile
  const done = useSignal(0);
  const said = useSignal("");
  const busy = useSignal(false);
  const form = useRef(null);
  const save = async (event) => {
    event.preventDefault();
    if (busy.value) return;
    busy.value = true;
    said.value = "";
    try {
      const all = left.value.length;
      const result = await changeAll(left.value, change, (count) => (done.value = count));
      onSaved();
      left.value = result.left;
      if (!result.left.length) onClose();
      else said.value = `${result.left.length} of ${all}: ${failure(result.error, "saved")}`;
    } catch (error) {
      said.value = failure(error, "saved");
    }
    busy.value = false;
  };
  const actions = html`
    <p class="wrong" role="alert">${said.value}</p>
    <${Button} onClick=${onClose}>Cancel<//>
    <${Button} kind="primary" onClick=${() => form.current.requestSubmit()}
      aria-disabled=${busy.value ? "true" : undefined}>
      ${busy.value ? `Saving ${done.value} of ${left.value.length}` : "Save"}
    <//>
  `;
  return html`
    <${Dialog} title=${title} onClose=${onClose} actions=${actions}>
      <form ref=${form} class="fields" onSubmit=${save}>${children}<button type="submit" hidden>Save</button></form>
    <//>
  `;
}

/** The tags of these runs, as far as the table has them. */
function tagsOf(runs, uuids) {
  const chosen = new Set(uuids);
  const tags = runs.rows.value.flatMap(({ uuid, tag }) => (chosen.has(uuid) && Array.isArray(tag) ? tag : []));
  return [...new Set(tags)].sort();
}
