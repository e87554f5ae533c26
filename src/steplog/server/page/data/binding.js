// What the page keeps of a session: its binding, which opens nothing without the cookie that no script can read, and
// who was signed in. Other ports of the host get the cookie, and not this: `sessions.py` says why.

import { signal } from "../ui.js";

// Of this server: others may be reached by the same address, through a tunnel.
const NAME = `steplog-${document.querySelector("meta[name=instance]")?.content ?? ""}`;

const kept = signal(stored());

/** Whether the server has refused the session: requests wait for the next one. */
export const lapsed = signal(false);

/** `{binding, user, role, expires}`, null without a session. */
export const keptSession = () => kept.value;

let entry = Promise.resolve();

/** Have requests wait while somebody signs in, since the browser has the new cookie before the page the new binding. */
export function entering(doing) {
  entry = Promise.allSettled([doing]);
  return doing;
}

/** Resolves once nobody is signing in. */
export const entered = () => entry;

/** Keep a session for all tabs, or none. Where the browser keeps nothing, this tab does. */
export function keepSession(session) {
  kept.value = session;
  try {
    if (session) localStorage.setItem(NAME, JSON.stringify(session));
    else localStorage.removeItem(NAME);
  } catch {
    // Until this tab is closed, then.
  }
}

/** Calls `tell` when another tab has signed in or out; what is kept is the same then. */
export function onOtherTab(tell) {
  addEventListener("storage", ({ key }) => {
    if (key !== NAME && key !== null) return;
    kept.value = stored();
    tell(kept.value);
  });
}

/** Resolves once somebody is signed in again, after a request was refused; at once if it had the session before. */
export function signedInAgain({ binding }, signal = undefined) {
  if (binding !== (kept.value?.binding ?? "")) return Promise.resolve();
  lapsed.value = true;
  return new Promise((done) => {
    const stop = lapsed.subscribe((is) => is || queueMicrotask(end));
    const end = () => {
      stop();
      done();
    };
    signal?.addEventListener("abort", end, { once: true });
  });
}

function stored() {
  try {
    const { binding = "", user = null, role = null, expires = "" } = JSON.parse(localStorage.getItem(NAME)) ?? {};
    return binding ? { binding, user, role, expires } : null;
  } catch {
    return null;
  }
}
