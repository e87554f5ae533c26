// The top of every page: where this is, when the server last answered, and who is signed in.

import { web } from "../data/address.js";
import { Away } from "../data/api.js";
import { pulse } from "../data/connection.js";
import { canEdit, needKey, session, signOut } from "../data/session.js";
import { fullDate } from "../data/time.js";
import { visible } from "../data/values.js";
import { html } from "../ui.js";
import { Button } from "./parts/button.js";
import { Menu } from "./parts/menu.js";
import { tell } from "./parts/toast.js";

export function Header({ here }) {
  return html`
    <header id="top">
      <nav class="trail" aria-label="Where this is"><a class="brand" href=${web.home()}>steplog</a>${trail(here)}</nav>
      <span class="pulse">${pulse}</span>
      ${session.value && html`<${Who} />`}
    </header>
  `;
}

function trail(here) {
  if (here.kind === "home") return null;
  const separator = html`<span class="muted" aria-hidden="true">/</span>`;
  const isProject = here.kind === "project";
  return html`
    ${separator}<bdi>${visible(here.namespace)}</bdi>${separator}
    <a href=${web.project(here)} aria-current=${isProject ? "page" : undefined}><bdi>${visible(here.project)}</bdi></a>
    ${here.kind === "trash" && html`${separator}<span aria-current="page">Trash</span>`}
  `;
}

function Who() {
  const { user, expires } = session.value;
  const name = user ? visible(user.username) : "Signed in to read";
  const items = () => [
    { heading: html`<bdi>${name}</bdi>, until ${fullDate(expires)}` },
    !canEdit.value && { label: "Sign in to edit", icon: "edit", onSelect: ask },
    { label: "Sign out", onSelect: leave },
  ];
  return html`
    <div class="who">
      ${!canEdit.value && html`<${Button} onClick=${ask}>Sign in to edit<//>`}
      <${Menu} label="Who is signed in" name=${name} icon="user" kind="quiet" items=${items}
        text=${user && html`<bdi class="cut">${name}</bdi>`} />
    </div>
  `;
}

const ask = () => needKey().catch(() => {});

async function leave() {
  try {
    await signOut();
  } catch (error) {
    if (!(error instanceof Away)) throw error;
    tell("You are still signed in: the server does not answer.", { text: "Try again", onClick: leave });
  }
}
