// Charts of the metrics of some runs, in sections.

import { html } from "../ui.js";

export function ChartsPanel({ runs, names }) {
  return html`<section aria-label="Charts"><p>${names.value.length} metrics of ${runs.value.length} runs</p></section>`;
}
