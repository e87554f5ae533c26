// Signing in: what is shown instead of a view while nobody is, and the dialog over a view that takes a key, or whose
// session has ended.

import { lapsed } from "../data/binding.js";
import { Away, Forbidden, Refused, Wrong } from "../data/api.js";
import { FOREIGN, cancelKey, hint, keyWanted, session, signIn } from "../data/session.js";
import { html, useId, useRef, useSignal } from "../ui.js";
import { Button } from "./parts/button.js";
import { Dialog } from "./parts/dialog.js";

/** Its children once somebody is signed in. */
export function SignIn({ children }) {
  if (session.value !== null) return session.value && children;
  return html`
    <section class="ask">
      <h1>Sign in</h1>
      ${hint.value && html`<p>${hint.value}</p>`}
      <p>Paste your key, and you see and edit what you may. To read alone, the address
      that <code>steplog serve</code> prints does, too; <code>steplog key page</code> prints it again.</p>
      <${SignInForm} label="Address or key" />
    </section>
  `;
}

/** Asks for a key, or to sign in again, whichever is needed. */
export function SignInDialog() {
  if (lapsed.value) {
    return html`
      <${Dialog} title="Sign in again" onClose=${() => location.reload()}>
        <p>The session has ended. What is shown stays, and goes on once you are signed in.</p>
        <${SignInForm} label="Address or key" />
      <//>
    `;
  }
  return keyWanted.value && html`
    <${Dialog} title="Sign in to edit" onClose=${cancelKey}>
      <p>To change anything takes a key. Without one of your own, <code>steplog key issue</code> makes one on the
      server's machine.</p>
      <${SignInForm} label="Key" />
    <//>
  `;
}

function SignInForm({ label }) {
  const id = useId();
  const field = useRef(null);
  const wrong = useSignal("");
  const busy = useSignal(false);
  const submit = async (event) => {
    event.preventDefault();
    if (busy.value || !field.current.value.trim()) return;
    busy.value = true;
    wrong.value = "";
    try {
      await signIn(field.current.value);
    } catch (error) {
      wrong.value = reason(error);
      field.current?.focus();
    }
    busy.value = false;
  };
  return html`
    <form class="signin" onSubmit=${submit}>
      <input type="text" autocomplete="username" value=${location.host} readonly hidden />
      <label for=${id}>${label}</label>
      <input id=${id} ref=${field} type="password" autocomplete="current-password" spellcheck="false" autofocus
        aria-invalid=${wrong.value ? "true" : undefined} aria-describedby="${id}-wrong" />
      <${Button} kind="primary" type="submit" aria-disabled=${busy.value ? "true" : undefined}>Sign in<//>
      <p class="wrong" id="${id}-wrong" role="alert">${wrong.value}</p>
    </form>
  `;
}

function reason(error) {
  if (error instanceof Refused) return "This is not valid here: it may have been replaced or revoked.";
  if (error instanceof Forbidden) return FOREIGN;
  if (error instanceof Wrong) return error.message;
  if (error instanceof Away) return "The server does not answer. What you typed stays; try again.";
  throw error;
}
