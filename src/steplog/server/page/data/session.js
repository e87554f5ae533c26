// Who is signed in. The address that the terminal prints signs in to read; a key signs in to edit.

import { signal } from "../ui.js";

/** `{user, role}`, or null while nobody is signed in. */
export const session = signal(null);

let token = sessionStorage.getItem("steplog-token") ?? "";

/** The page's token. */
export const pageToken = () => token;

/** Find out who is signed in; signs in by the address's token, which leaves the address bar at once. */
export async function beginSession() {
  const given = /^#token=([A-Za-z0-9_-]+)$/.exec(location.hash);
  if (given) {
    token = given[1];
    sessionStorage.setItem("steplog-token", token);
    history.replaceState(null, "", location.pathname + location.search);
  }
  session.value = token ? { user: null, role: "READER" } : null;
}
