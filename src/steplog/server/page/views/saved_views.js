// Saved views of a project: the menu beside the tabs, and its dialogs.

import { SavedViews as Saved } from "../data/saved_views.js";
import { number, visible } from "../data/values.js";
import { html, useEffect, useMemo, useRef, useSignal } from "../ui.js";
import { failure } from "./edit_failure.js";
import { Text } from "./edit_run.js";
import { Button } from "./parts/button.js";
import { copied } from "./parts/copy.js";
import { Dialog } from "./parts/dialog.js";
import { Menu } from "./parts/menu.js";
import { Moment } from "./parts/moment.js";
import { SearchField } from "./parts/search_field.js";
import { tell } from "./parts/toast.js";

const IN_MENU = 12;
const NAME_MAX = 256;

export function SavedViews({ here, view }) {
  const saved = useMemo(() => new Saved(here, view), []);
  const dialog = useSignal(null); // {kind: "add" | "rename" | "all", of}
  useEffect(() => void refresh(saved), []);
  if (saved.all.value === null) return null;
  const open = (kind, of = null) => (dialog.value = { kind, of });
  const close = () => (dialog.value = null);
  const { kind, of } = dialog.value ?? {};
  return html`
    <div class="saved-views">
      <${Menu} label="Saved views" icon="views" kind="quiet" text=${title(saved)} items=${() => items(saved, open)}
        onClick=${() => refresh(saved)} />
      ${kind === "add" && html`<${Named} title="Save view" name="" onClose=${close}
        save=${(name) => saved.add(name)} />`}
      ${kind === "rename" && html`<${Named} title="Rename view" name=${of.name} onClose=${close}
        save=${(name) => saved.edit(of.uuid, { name })} />`}
      ${kind === "all" && html`<${All} saved=${saved} onClose=${close} onRename=${(one) => open("rename", one)} />`}
    </div>
  `;
}

async function refresh(saved) {
  if (!(await saved.read())) tell("The saved view of this address is not there any more.");
}

function title({ current, changed }) {
  if (!current.value) return "Views";
  return html`
    <span class="unseen">Saved view: </span><bdi class="cut">${visible(current.value.name)}</bdi>
    ${changed.value && html`<span class="muted">changed</span>`}
  `;
}

function items(saved, open) {
  const all = saved.all.value;
  const current = saved.current.value;
  const changed = saved.changed.value;
  const keep = () => saved.view.write(); // where Back leads to
  const entry = (one) => ({
    label: html`<bdi>${visible(one.name)}</bdi>`,
    icon: one === current ? "check" : undefined,
    href: saved.href(one),
    onSelect: keep,
  });
  return [
    ...all.slice(0, IN_MENU).map(entry),
    all.length > IN_MENU && { label: `All ${number(all.length)} views…`, onSelect: () => open("all") },
    all.length > 0 && "-",
    changed && { label: "Save changes", icon: "check", onSelect: () => save(saved) },
    changed && { label: "Discard changes", icon: "undo", href: saved.href(current), onSelect: keep },
    { label: current ? "Save as a new view…" : "Save this view…", icon: "plus", onSelect: () => open("add") },
    current && { label: "Rename…", icon: "edit", onSelect: () => open("rename", current) },
    current && { label: "Copy link", icon: "link", onSelect: () => copy(saved.link(current)) },
    current && { label: "Delete", icon: "trash", danger: true, onSelect: () => remove(saved, current) },
  ];
}

const copy = (link) => copied(link, "Link copied.");

/** Do something that may fail, and say either. */
async function attempt(change, done, word, action = null) {
  try {
    await change();
    tell(done, action);
  } catch (error) {
    tell(failure(error, word, "view"), { text: "Try again", onClick: () => attempt(change, done, word, action) });
  }
}

function save(saved) {
  const { uuid, address } = saved.current.value;
  const back = () => attempt(() => saved.edit(uuid, { address }), "The view is what it was before.", "undone");
  return attempt(() => saved.save(), "View saved.", "saved", { text: "Undo", onClick: back });
}

function remove(saved, one) {
  const back = () => attempt(() => saved.restore(one), "The view is back.", "restored");
  return attempt(() => saved.remove(one), "View deleted.", "deleted", { text: "Undo", onClick: back });
}

/** A dialog that asks for a name; what was typed stays until it is saved or given up. */
function Named({ title, name, save, onClose }) {
  const typed = useSignal(name);
  const said = useSignal("");
  const busy = useSignal(false);
  const form = useRef(null);
  const submit = async (event) => {
    event.preventDefault();
    if (busy.value || !typed.value.trim()) return;
    busy.value = true;
    said.value = "";
    try {
      await save(typed.value.trim());
      onClose();
    } catch (error) {
      said.value = failure(error, "saved", "view");
    }
    busy.value = false;
  };
  const actions = html`
    <p class="wrong" role="alert">${said.value}</p>
    <${Button} onClick=${onClose}>Cancel<//>
    <${Button} kind="primary" onClick=${() => form.current.requestSubmit()}
      aria-disabled=${busy.value ? "true" : undefined}>${busy.value ? "Saving…" : "Save"}<//>
  `;
  return html`
    <${Dialog} title=${title} onClose=${onClose} actions=${actions}>
      <form ref=${form} class="fields" onSubmit=${submit}>
        <${Text} label="Name" maxlength=${NAME_MAX} required autofocus value=${typed.value}
          onInput=${(text) => (typed.value = text)} />
        <p class="muted">Everybody who reads this project sees its views.</p>
      </form>
    <//>
  `;
}

/** All views, to be searched, renamed and deleted. */
function All({ saved, onClose, onRename }) {
  const words = useSignal("");
  const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = saved.all.value.filter(({ name }) => wanted.every((word) => name.toLowerCase().includes(word)));
  const row = (one) => html`
    <li key=${one.uuid}>
      <a href=${saved.href(one)} aria-current=${one === saved.current.value ? "true" : undefined}>
        <bdi>${visible(one.name)}</bdi>
      </a>
      <span class="muted"><bdi>${visible(one.user.username)}</bdi>, <${Moment} iso=${one.date_updated} /></span>
      <${Button} kind="quiet" icon="edit" label="Rename ${visible(one.name)}" onClick=${() => onRename(one)} />
      <${Button} kind="quiet" icon="trash" label="Delete ${visible(one.name)}" onClick=${() => remove(saved, one)} />
    </li>
  `;
  return html`
    <${Dialog} title="Saved views" onClose=${onClose}>
      <${SearchField} label="Search views" value="" onInput=${(text) => (words.value = text)} autofocus />
      ${found.length
        ? html`<ul class="all-views">${found.map(row)}</ul>`
        : html`<p class="muted">None has these words.</p>`}
    <//>
  `;
}
