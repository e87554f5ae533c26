// A field for tags: those that are chosen, each with a button that takes it away, and where to type another.

import { visible } from "../data/values.js";
import { html, useId, useRef } from "../ui.js";
import { Chip } from "./parts/chip.js";

/** `known`: tags to choose from. A tag ends with Enter or a comma; Backspace takes the last one away. */
export function TagsField({ label, tags, onChange, known = [], autofocus }) {
  const id = useId();
  const field = useRef(null);
  const add = () => {
    const typed = field.current.value.split(",").map((tag) => tag.trim()).filter(Boolean);
    field.current.value = "";
    const fresh = typed.filter((tag, at) => !tags.includes(tag) && typed.indexOf(tag) === at);
    if (fresh.length) onChange([...tags, ...fresh]);
  };
  const press = (event) => {
    const { key, currentTarget } = event;
    if ((key === "Enter" || key === ",") && currentTarget.value.trim()) add();
    else if (key === "Backspace" && !currentTarget.value && tags.length) return onChange(tags.slice(0, -1));
    else return;
    event.preventDefault();
  };
  const remove = (tag) => {
    onChange(tags.filter((each) => each !== tag));
    field.current.focus();
  };
  const chosen = (tag) => html`<${Chip} key=${tag} onRemove=${() => remove(tag)}>${visible(tag)}<//>`;
  return html`
    <div class="labelled" role="group" aria-labelledby="${id}-label">
      <label id="${id}-label" for=${id}>${label}</label>
      <div class="tagsfield" onClick=${(event) => event.target === event.currentTarget && field.current.focus()}>
        ${tags.map(chosen)}
        <input id=${id} ref=${field} list="${id}-known" enterkeyhint="enter" autofocus=${autofocus}
          onKeyDown=${press} onBlur=${add} placeholder=${tags.length ? "" : "Enter or a comma ends a tag"} />
        <datalist id="${id}-known">
          ${known.filter((tag) => !tags.includes(tag)).map((tag) => html`<option key=${tag} value=${tag} />`)}
        </datalist>
      </div>
    </div>
  `;
}
