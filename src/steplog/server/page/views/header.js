// The top of every page: where this is, and when the server last answered.

import { web } from "../data/address.js";
import { pulse } from "../data/connection.js";
import { visible } from "../data/values.js";
import { html } from "../ui.js";

export function Header({ here }) {
  const separator = html`<span class="muted" aria-hidden="true">/</span>`;
  const trail = here.kind === "home" ? null : html`
    ${separator}<bdi>${visible(here.namespace)}</bdi>${separator}
    <a href=${web.project(here)}><bdi>${visible(here.project)}</bdi></a>
  `;
  return html`
    <header id="top">
      <nav class="trail" aria-label="Where this is"><a class="brand" href=${web.home()}>steplog</a>${trail}</nav>
      <span class="pulse">${pulse}</span>
    </header>
  `;
}
