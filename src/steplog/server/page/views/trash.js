// The deleted runs of a project, which can be restored for a day.

import { html } from "../ui.js";

export function Trash() {
  return html`<h1>Trash</h1>`;
}
