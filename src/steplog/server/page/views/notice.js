// What is to be noticed: an outage, a run that is gone.

import { notice } from "../data/connection.js";
import { html } from "../ui.js";

export function Notice() {
  const { text, kind } = notice.value ?? { text: "", kind: "" };
  return html`<div id="notice" class=${kind} role="status" aria-live="polite">${text}</div>`;
}
