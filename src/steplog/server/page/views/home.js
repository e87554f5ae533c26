// The projects of all namespaces.

import { html } from "../ui.js";

export function Home() {
  return html`<h1>Projects</h1>`;
}
