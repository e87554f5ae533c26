// Who is signed in. The address that the terminal prints signs in to read; a key signs in to edit.

import { batch, computed, signal } from "../ui.js";
import { api } from "./address.js";
import { Forbidden, Refused, Wrong, ask, read } from "./api.js";
import { entering, keepSession, keptSession, lapsed, onOtherTab } from "./binding.js";
import { reach } from "./outage.js";

const FRAGMENT = /^#token=([A-Za-z0-9_-]+)$/;
/** What is said where the server is reached by another name than the page. */
export const FOREIGN = "The server does not take this page for its own: what is between them changes the Host.";
const PASTED = /#token=([A-Za-z0-9_-]+)\s*$/;

/** `{user, role, expires}`, `user` null of a READER; null while nobody is signed in, undefined until that is known. */
export const session = signal(undefined);

/** Whether one with this role may change something; what, each project's role says. */
export const mayEdit = (role) => role === "OWNER" || role === "MEMBER";

/** Whether who is signed in may change something. */
export const canEdit = computed(() => mayEdit(session.value?.role));

/** Why the address that was opened has signed nobody in, "" if it had no token. */
export const hint = signal("");

/** Whether somebody is asked for a key, since what they do takes one. */
export const keyWanted = signal(false);

/** What was asked for takes a key, and none was given. */
export class Cancelled extends Error {}

let asked = null; // {promise, resolve, reject} of `needKey`

/** Find out who is signed in; signs in by the address's token, which leaves the address bar at once. */
export async function begin() {
  onOtherTab(follow);
  const token = takeToken();
  if (!token && keptSession()) {
    session.value = who(keptSession()); // as far as is known here: the page need not wait for the server
    reach(() => read(api.session())).then(hear);
    return;
  }
  await entering(reach(() => exchanged(token)).then(hear));
}

/** Sign in by a key, or by the address that the terminal prints. Throws Refused, Wrong, Away. */
export async function signIn(text) {
  const given = text.trim();
  const token = PASTED.exec(given)?.[1];
  if (!token && /^\w+:\/\//.test(given)) throw new Wrong("This address has no token at its end.");
  const enter = (credential) => ask("POST", api.session(), credential);
  const alone = (error) => {
    if (error instanceof Refused) return enter({ token: given }); // of an address, without the rest of it
    throw error;
  };
  await entering((token ? enter({ token }) : enter({ key: given }).catch(alone)).then(hear));
}

/** Sign out, in all tabs. Throws Away. */
export async function signOut() {
  await ask("DELETE", api.session());
  keepSession(null);
  location.reload();
}

/** Resolves once who is signed in may edit: asks for a key if need be. Rejects with Cancelled. */
export function needKey() {
  if (canEdit.value) return Promise.resolve();
  if (!asked) {
    asked = {};
    asked.promise = new Promise((resolve, reject) => Object.assign(asked, { resolve, reject }));
    keyWanted.value = true;
  }
  return asked.promise;
}

/** No key is given. */
export const cancelKey = () => answerAsked("reject", new Cancelled());

/** The server has refused the key's session: somebody is asked again. */
export function keyRefused() {
  session.value = session.value && { ...session.value, role: "READER", user: null };
  return needKey();
}

async function exchanged(token) {
  if (token) {
    try {
      return await ask("POST", api.session(), { token });
    } catch (error) {
      if (!(error instanceof Refused) && !(error instanceof Forbidden)) throw error;
      hint.value = error instanceof Refused ? "The address that was opened is no longer valid." : FOREIGN;
    }
  }
  return read(api.session());
}

function takeToken() {
  const token = FRAGMENT.exec(location.hash)?.[1];
  if (token) history.replaceState(null, "", location.pathname + location.search);
  return token;
}

/** Take what the server says of who is signed in. */
function hear({ binding = keptSession()?.binding, ...told }) {
  batch(() => {
    if (told.role === null) {
      keepSession(null);
      lapsed.value = Boolean(session.value);
      session.value ??= null;
    } else {
      keepSession({ binding, ...told });
      session.value = who(told);
      lapsed.value = false;
    }
  });
  if (canEdit.value) answerAsked("resolve");
}

/** Go on as another tab does. */
function follow(kept) {
  if (!kept) return session.value && location.reload();
  return reach(() => read(api.session())).then(hear);
}

function answerAsked(how, value) {
  keyWanted.value = false;
  asked?.[how](value);
  asked = null;
}

const who = ({ user, role, expires }) => ({ user, role, expires });
