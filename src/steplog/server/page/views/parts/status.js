// A run's status: a word with a mark whose shape and colour follow it.

import { statusOf } from "../../data/life.js";
import { html } from "../../ui.js";

export function Status({ run }) {
  const { text, kind, meaning } = statusOf(run);
  return html`<span class="status ${kind}" title=${meaning}>${text}</span>`;
}
