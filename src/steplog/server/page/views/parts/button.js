// Buttons: with a text, an icon, or both.

import { html } from "../../ui.js";
import { Icon } from "./icon.js";

/**
 * `kind`: "" (with an edge), "quiet" (without), "primary", "danger". A button that has an icon alone needs a `label`.
 * `element` is a ref. Anything else, such as `onClick`, `aria-pressed` or `disabled`, goes to the button.
 */
export function Button({ kind = "", icon, label, children, element, class: more = "", ...rest }) {
  const kinds = `button ${kind} ${children ? "" : "bare"} ${more}`;
  return html`
    <button type="button" class=${kinds} ref=${element} aria-label=${label} title=${children ? undefined : label}
      ...${rest}>
      ${icon && html`<${Icon} name=${icon} />`}${children}
    </button>
  `;
}
