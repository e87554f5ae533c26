// What is shown instead of a view while nobody is signed in.

import { session } from "../data/session.js";
import { html } from "../ui.js";

export function SignIn({ children }) {
  return session.value ? children : html`<h1>This page needs its token</h1>`;
}
