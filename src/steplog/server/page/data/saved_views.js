// The saved views of a project: which there are, which one is shown, and whether it has been changed since.

import { choicesOf } from "../state.js";
import { batch, computed, signal } from "../ui.js";
import { api, web } from "./address.js";
import { Missing, ask, readChanged } from "./api.js";
import { changing } from "./edits.js";
import { reach } from "./outage.js";

/** Of the project `here`, whose page shows `view`. What changes them throws Cancelled, Away, Missing or Wrong. */
export class SavedViews {
  #tag = null;

  constructor(here, view) {
    this.here = here;
    this.view = view;
    /** `{uuid, name, address, user, date_created, date_updated}[]`, by name; null until they are known. */
    this.all = signal(null);
    /** The one that is shown, as it was saved; null if there is none. */
    this.current = computed(() => this.find(view.saved.value));
    /** Whether what is shown is not what was saved. */
    this.changed = computed(() => this.current.value !== null
      && choicesOf(this.current.value.address) !== choicesOf(view.query()));
  }

  find(uuid) {
    return this.all.value?.find((each) => each.uuid === uuid) ?? null;
  }

  /** Bring them up to date, and show the one that the address asks for; returns whether that is there. */
  async read() {
    try {
      const { tag, body } = await reach(() => readChanged(api.views(this.here), this.#tag));
      this.#tag = tag;
      if (body) this.#show(body);
    } catch (error) {
      if (!(error instanceof Missing)) throw error; // nor is the project, which others say
    }
    return this.#open(this.view.opening.value);
  }

  /** The address that shows a view, as it is saved now. */
  href({ uuid, address }) {
    const choices = choicesOf(address);
    return `${web.project(this.here)}${choices}${choices ? "&" : "?"}view=${uuid}`;
  }

  /** An address that shows a view as it is saved when the address is opened. */
  link({ uuid }) {
    return `${location.origin}${web.project(this.here)}?saved=${uuid}`;
  }

  /** Save what is shown under a name of its own. */
  async add(name) {
    const made = await changing(() => ask("POST", api.views(this.here), { name, address: this.#address() }));
    batch(() => {
      this.#put(made);
      this.view.saved.value = made.uuid;
    });
  }

  /** Save what is shown in the place of the view that it was. */
  save() {
    return this.edit(this.current.value.uuid, { address: this.#address() });
  }

  /** Set the name or the address of a view. */
  async edit(uuid, fields) {
    this.#put(await changing(() => ask("PATCH", api.view(this.here, uuid), fields)));
  }

  async remove({ uuid }) {
    await changing(() => ask("DELETE", api.view(this.here, uuid)));
    this.#show(this.all.value.filter((each) => each.uuid !== uuid));
  }

  /** Save a view again that was deleted. */
  async restore({ uuid, name, address }) {
    const made = await changing(() => ask("POST", api.views(this.here), { name, address }));
    batch(() => {
      this.#put(made);
      if (this.view.saved.value === uuid) this.view.saved.value = made.uuid;
    });
  }

  #address() {
    return choicesOf(this.view.query());
  }

  #put(saved) {
    this.#show([...(this.all.value ?? []).filter(({ uuid }) => uuid !== saved.uuid), saved]);
  }

  #show(all) {
    this.all.value = all.sort((one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }));
  }

  #open(uuid) {
    if (!uuid) return true;
    const wanted = this.find(uuid);
    batch(() => {
      if (wanted) this.view.read(wanted.address);
      this.view.saved.value = wanted ? uuid : "";
      this.view.opening.value = "";
    });
    return wanted !== null;
  }
}
