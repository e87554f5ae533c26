// Editing what a user says of a run: its name, tags, group, job type, description and notes.

import { Missing } from "../data/api.js";
import { edit, fieldsOf } from "../data/edits.js";
import { visible } from "../data/values.js";
import { html, useEffect, useId, useRef, useSignal } from "../ui.js";
import { failure } from "./edit_failure.js";
import { TagsField } from "./edit_tags.js";
import { Button } from "./parts/button.js";
import { Dialog } from "./parts/dialog.js";

const FIELDS = ["name", "tags", "group", "job_type", "description", "notes"];

/**
 * A dialog. `run` needs a uuid and a name; `onSaved` gets the run as it is then, and `onClose` is called when the
 * dialog is to go, saved or not. What was typed stays until it is saved or given up.
 */
export function EditRun({ here, run, onSaved = () => {}, onClose }) {
  const before = useSignal(null); // as the server had it
  const typed = useSignal({});
  const said = useSignal("");
  const busy = useSignal(false);
  const form = useRef(null);
  useEffect(() => {
    const found = (fields) => (before.value = fields);
    fieldsOf(here, run.uuid).then(found, (error) => (said.value = failure(error, "read")));
  }, [run.uuid]);
  const save = async (event) => {
    event.preventDefault();
    const changed = changes(before.value, typed.value);
    if (busy.value || !Object.keys(changed).length) return busy.value || onClose();
    busy.value = true;
    said.value = "";
    try {
      onSaved(await edit(here, run.uuid, changed));
      onClose();
    } catch (error) {
      said.value = failure(error, "saved");
      if (error instanceof Missing) before.value = null;
    }
    busy.value = false;
  };
  const actions = html`
    <p class="wrong" role="alert">${said.value}</p>
    <${Button} onClick=${onClose}>Cancel<//>
    <${Button} kind="primary" onClick=${() => form.current.requestSubmit()}
      aria-disabled=${busy.value || !before.value ? "true" : undefined}>
      ${busy.value ? "Saving…" : "Save"}
    <//>
  `;
  const title = html`Edit <bdi>${visible(run.name)}</bdi>`;
  return html`
    <${Dialog} title=${title} onClose=${onClose} actions=${actions}>
      <form ref=${form} class="fields" onSubmit=${save} aria-busy=${String(!before.value && !said.value)}>
        <${Fields} before=${before.value} typed=${typed} />
        <button type="submit" hidden>Save</button>
      </form>
    <//>
  `;
}

function Fields({ before, typed }) {
  const value = (field) => typed.value[field] ?? before?.[field] ?? (field === "tags" ? [] : "");
  const set = (field) => (to) => (typed.value = { ...typed.value, [field]: to });
  const given = (field) => ({ value: value(field), onInput: set(field), readOnly: !before });
  return html`
    <${Text} label="Name" maxlength="256" required autofocus ...${given("name")} />
    <${TagsField} label="Tags" tags=${value("tags")} onChange=${set("tags")} />
    <div class="two">
      <${Text} label="Group" maxlength="256" ...${given("group")} />
      <${Text} label="Job type" maxlength="256" ...${given("job_type")} />
    </div>
    <${Text} label="Description" lines="2" maxlength="65536" ...${given("description")} />
    <${Text} label="Notes" lines="6" maxlength="65536" ...${given("notes")} />
  `;
}

/** A field of text, of one line unless it has `lines`. */
export function Text({ label, lines, onInput, ...rest }) {
  const id = useId();
  const tell = ({ currentTarget }) => onInput(currentTarget.value);
  const given = { id, dir: "auto", onInput: tell, ...rest };
  return html`
    <div class="labelled">
      <label for=${id}>${label}</label>
      ${lines ? html`<textarea rows=${lines} ...${given} />` : html`<input type="text" ...${given} />`}
    </div>
  `;
}

/** What is to be sent: fields that were changed; an empty one is none. */
function changes(before, typed) {
  const changed = FIELDS.filter((field) => field in typed && !same(typed[field], before[field]));
  return Object.fromEntries(changed.map((field) => [field, typed[field] === "" ? null : typed[field]]));
}

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other ?? "");
