// One of a few: a row of radio buttons, or a list.

import { html, useId } from "../../ui.js";

/** A row of radio buttons that look like one control. `options`: `[value, text]`, or `[value, text, title]`. */
export function Choice({ label, options, value, onChange }) {
  const name = useId();
  const option = ([each, text, title]) => html`
    <label key=${each} title=${title}>
      <input type="radio" name=${name} checked=${each === value} onChange=${() => onChange(each)} /><span>${text}</span>
    </label>
  `;
  return html`<div class="choice" role="radiogroup" aria-label=${label}>${options.map(option)}</div>`;
}

/** A list that opens. `options`: `[value, text]`. */
export function Select({ label, options, value, onChange, children, ...rest }) {
  const option = ([each, text]) => html`<option key=${each} value=${each} selected=${each === value}>${text}</option>`;
  return html`
    <label class="field">
      ${children && html`<span>${children}</span>`}
      <select aria-label=${label} value=${value} onChange=${(event) => onChange(event.currentTarget.value)} ...${rest}>
        ${options.map(option)}
      </select>
    </label>
  `;
}

/** A box to tick. */
export function Check({ checked, onChange, children, ...rest }) {
  return html`
    <label class="check">
      <input type="checkbox" checked=${checked} onChange=${(event) => onChange(event.currentTarget.checked)}
        ...${rest} />
      <span>${children}</span>
    </label>
  `;
}
