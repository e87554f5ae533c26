// A chip: a short text that can be chosen, or taken away.

import { html } from "../../ui.js";
import { Icon } from "./icon.js";

/** `pressed`: whether it is chosen, for one that can be. `onRemove` gives it a button that takes it away. */
export function Chip({ children, label, pressed, onClick, onRemove }) {
  const text = html`<bdi>${children}</bdi>`;
  const remove = onRemove && html`
    <button type="button" aria-label="Remove ${label ?? children}" onClick=${onRemove}><${Icon} name="close" /></button>
  `;
  const content = onClick
    ? html`<button type="button" aria-label=${label}
      aria-pressed=${pressed === undefined ? undefined : String(pressed)} onClick=${onClick}>
        ${text}
      </button>`
    : html`<span>${text}</span>`;
  return html`<span class="chip ${pressed ? "chosen" : ""}">${content}${remove}</span>`;
}
