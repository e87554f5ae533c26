// The line in which runs are filtered: words, or a filter, with what may be typed next.

import { completions, valuesOf } from "../data/runs_fields.js";
import { filterOf, isUnfinished, typedAt, valuesFor } from "../data/runs_filter.js";
import { visible } from "../data/values.js";
import { html, useEffect, useId, useRef, useSignal } from "../ui.js";
import { Button } from "./parts/button.js";
import { Icon } from "./parts/icon.js";

const TYPING_MS = 350; // until what is typed is asked for
const SETTLED_MS = 1200; // until it is said what is wrong with it
const OFFERED_MAX = 12;

export function RunsFilter({ here, view, runs, element }) {
  const id = useId();
  const offer = useSignal({ options: [], at: -1, from: 0 }); // what may be typed next; `at`: the one that is chosen
  const isSettled = useSignal(true);
  const typing = useRef(new Typing(here, view, offer, isSettled)).current;
  typing.input = element;
  const { where } = view;
  useEffect(() => typing.take(where.value), [where.value]);
  const { options, at } = offer.value;
  const kept = runs.total.value === null ? "" : " The runs below are those from before.";
  const wrong = isSettled.value && runs.wrong.value ? `${runs.wrong.value}${kept}` : "";
  const option = (text, index) => html`
    <li key=${text} id="${id}-${index}" role="option" aria-selected=${String(index === at)}
      onPointerDown=${(event) => typing.complete(text, event)}><bdi>${visible(text)}</bdi></li>
  `;
  return html`
    <div class="search runs-filter">
      <${Icon} name="search" />
      <input type="text" ref=${element} role="combobox" aria-label="Filter the runs"
        placeholder="Words, or config.lr>0.01" spellcheck="false" autocomplete="off" autocapitalize="off"
        aria-autocomplete="list" aria-controls="${id}-list"
        aria-expanded=${String(options.length > 0)} aria-activedescendant=${at >= 0 ? `${id}-${at}` : undefined}
        aria-invalid=${wrong ? "true" : undefined} aria-describedby=${wrong ? `${id}-wrong` : undefined}
        onInput=${() => typing.typed()} onKeyDown=${(event) => typing.press(event)} onBlur=${() => typing.leave()} />
      ${where.value && html`<${Button} kind="quiet" icon="close" label="All runs" onClick=${() => typing.clear()} />`}
      <ul class="runs-offer" id="${id}-list" role="listbox" aria-label="What may be typed" hidden=${!options.length}>
        ${options.map(option)}
      </ul>
      <p class="wrong" id="${id}-wrong" role="status">${wrong}</p>
    </div>
  `;
}

/** What happens while a filter is typed. */
class Typing {
  #timer = null;
  #settles = null;
  #number = 0; // of the newest question for what may be typed next

  constructor(here, view, offer, isSettled) {
    Object.assign(this, { here, view, offer, isSettled, input: null, known: null });
  }

  /** The filter was changed elsewhere. */
  take(where) {
    const { current } = this.input;
    if (filterOf(current.value) !== where) current.value = where;
  }

  typed() {
    clearTimeout(this.#timer);
    clearTimeout(this.#settles);
    this.isSettled.value = false;
    this.#timer = setTimeout(() => isUnfinished(this.input.current.value) || this.#tell(), TYPING_MS);
    this.#settles = setTimeout(() => (this.isSettled.value = true), SETTLED_MS);
    this.#offer();
  }

  leave() {
    if (!this.input.current) return; // it has gone with its focus
    this.#close();
    this.#finish();
  }

  clear() {
    this.input.current.value = "";
    this.#finish();
    this.input.current.focus();
  }

  press(event) {
    const { options, at } = this.offer.value;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (!options.length) this.#offer(true);
      else this.#choose(at + (event.key === "ArrowDown" ? 1 : -1));
    } else if ((event.key === "Enter" || event.key === "Tab") && at >= 0) {
      this.complete(options[at], event);
    } else if (event.key === "Enter") {
      this.leave();
    } else if (event.key === "Escape" && options.length) {
      this.#close();
    } else {
      return;
    }
    event.preventDefault();
  }

  /** Take one of those that may be typed next. */
  complete(text, event) {
    event.preventDefault();
    const { current } = this.input;
    const isField = typedAt(current.value)?.kind === "field";
    current.value = current.value.slice(0, this.offer.value.from) + text + (isField ? "" : " ");
    current.focus();
    this.#close();
    if (!isField) this.#finish();
  }

  #tell() {
    clearTimeout(this.#timer);
    this.view.where.value = filterOf(this.input.current.value);
  }

  #finish() {
    clearTimeout(this.#settles);
    this.#tell();
    this.isSettled.value = true;
  }

  #close() {
    this.#number++;
    this.offer.value = { options: [], at: -1, from: 0 };
  }

  #choose(at) {
    const { options } = this.offer.value;
    const next = at < -1 ? options.length - 1 : at >= options.length ? -1 : at;
    this.offer.value = { ...this.offer.value, at: next };
  }

  async #offer(isWanted = false) {
    const number = ++this.#number;
    const { current } = this.input;
    const isAtEnd = current.selectionStart === current.value.length;
    const place = isAtEnd ? typedAt(current.value) : null;
    if (!place || (!place.typed && !isWanted && place.kind === "field")) return this.#close();
    const found = await this.#found(place).catch(() => []);
    if (number !== this.#number) return undefined;
    const options = found.filter((text) => text !== place.typed).slice(0, OFFERED_MAX);
    this.offer.value = { options, at: -1, from: place.from };
    return undefined;
  }

  async #found({ kind, field, typed }) {
    if (kind === "field") return completions(this.here, typed, OFFERED_MAX);
    if (field !== "status") this.known ??= await valuesOf(this.here);
    return valuesFor(field, this.known ?? {}).filter((text) => text.toLowerCase().startsWith(typed.toLowerCase()));
  }
}
