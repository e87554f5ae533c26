// What is said where there is nothing to show, and how to change that.

import { html } from "../../ui.js";
import { Copy } from "./copy.js";

export function Empty({ title, children }) {
  return html`<div class="empty"><h2>${title}</h2>${children}</div>`;
}

/** Lines to type, and a button that copies them. */
export function Code({ text, label = "Copy" }) {
  return html`<div class="code"><pre tabindex="0"><code>${text}</code></pre><${Copy} text=${text} label=${label} />
    </div>`;
}
