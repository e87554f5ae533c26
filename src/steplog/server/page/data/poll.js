// Polling: frequent while things change, rare while they do not, none while the page is hidden, with backoff while the
// server is unavailable.

import { Away } from "./api.js";

const AWAY_FIRST_S = 1;
const AWAY_MOST_S = 30;
const GROWTH = 1.5;
const SHARE_MAX = 0.2; // of the time may go to requests, so that slow responses slow the polling

/**
 * Calls `ask` until it throws anything but Away, which is rethrown.
 *
 * `ask` returns `{changed, least, most}`: the interval in seconds, `least` after a change, growing to `most` without.
 * `tell` gets 0 after each response, or the seconds to the next try while the server is unavailable.
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

/** Resolves when the page is visible. */
function looked() {
  if (!document.hidden) return Promise.resolve();
  return new Promise((done) => document.addEventListener("visibilitychange", done, { once: true })).then(looked);
}

/** Resolves after a delay, or when the page becomes visible or the network returns. */
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
