// The table of a project's runs.

import { visible } from "../data/values.js";
import { html } from "../ui.js";

export function RunsTable({ runs }) {
  const rows = runs.rows.value.map(({ uuid, name }) => html`<tr key=${uuid}><td><bdi>${visible(name)}</bdi></td></tr>`);
  return html`<table aria-label="Runs">${rows}</table>`;
}
