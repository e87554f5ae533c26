// Asking again and again: soon while things change, seldom while they do not, not at all while no one looks, and
// with growing patience while the server is away.

import { Away } from "./api.js";

const AWAY_FIRST_S = 1;
const AWAY_MOST_S = 30;
const GROWTH = 1.5;
const SHARE_MAX = 0.2; // of the time may be spent in questions: a slow answer makes the next one wait

/**
 * Calls `ask` for ever, or until it throws something other than Away, which is thrown on.
 *
 * `ask` returns `{changed, least, most}`: it is called again `least` seconds after a change, growing to `most` without
 * one. `tell` hears 0 after each answer, or the seconds to the next try where the server is away.
 */
export async function poll(ask, tell) {
  let wait_s = 0;
  let away_s = 0;
  for (;;) {
    await looked();
    const began = performance.now();
    try {
      const { changed, least, most } = await ask();
      const spent_s = (performance.now() - began) / 1000;
      away_s = 0;
      wait_s = Math.max(Math.min(most, changed ? least : Math.max(least, wait_s * GROWTH)), spent_s / SHARE_MAX);
    } catch (error) {
      if (!(error instanceof Away)) throw error;
      away_s = Math.min(AWAY_MOST_S, away_s * 2 || AWAY_FIRST_S);
    }
    tell(away_s);
    await pause((away_s || wait_s) * 1000);
  }
}

/** Done when the page is to be seen. */
function looked() {
  if (!document.hidden) return Promise.resolve();
  return new Promise((done) => document.addEventListener("visibilitychange", done, { once: true })).then(looked);
}

/** Done after a while, or when the page comes to be seen again, or the network is back. */
function pause(ms) {
  return new Promise((done) => {
    const end = () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", look);
      removeEventListener("online", end);
      done();
    };
    const look = () => document.hidden || end();
    const timer = setTimeout(end, ms);
    document.addEventListener("visibilitychange", look);
    addEventListener("online", end);
  });
}
