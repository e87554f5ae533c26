// The entry point: the view for the current address, under the header and what is to be noticed.

import { place } from "./data/address.js";
import { begin } from "./data/session.js";
import { View } from "./state.js";
import { html, render } from "./ui.js";
import { Header } from "./views/header.js";
import { Home } from "./views/home.js";
import { Notice } from "./views/notice.js";
import { Toast } from "./views/parts/toast.js";
import { RunPage } from "./views/run.js";
import { SignIn, SignInDialog } from "./views/sign_in.js";
import { Trash } from "./views/trash.js";
import { Workspace } from "./views/workspace.js";

const VIEWS = { home: Home, project: Workspace, run: RunPage, trash: Trash };

function Page({ here, view }) {
  return html`
    <${Header} here=${here} />
    <${Notice} />
    <main id="main" tabindex="-1"><${SignIn}><${VIEWS[here.kind]} here=${here} view=${view} /><//></main>
    <${SignInDialog} />
    <${Toast} />
  `;
}

begin();
render(html`<${Page} here=${place(location)} view=${new View()} />`, document.getElementById("page"));
