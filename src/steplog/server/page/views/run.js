// A run: what is known of it, its charts and its samples.

import { visible } from "../data/values.js";
import { html } from "../ui.js";

export function RunPage({ here }) {
  return html`<h1><bdi>${visible(here.run)}</bdi></h1>`;
}
