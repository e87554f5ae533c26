// Polling: frequent while things change, rare while they do not, none while the page is hidden or the server is away.

import { reach } from "./outage.js";

const GROWTH = 1.5;
const SHARE_MAX = 0.2; // of the time may go to requests, so that slow responses slow the polling

/**
 * Calls `ask` until it throws anything but Away, which is rethrown.
 *
 * `ask` returns `{changed, least, most}`: the interval in seconds, `least` after a change, growing to `most` without.
 * A call of `wake` has it asked at once, or once more where that is being asked; `signal` ends all.
 */
export async function poll(ask, { wake, signal } = {}) {
  for (let wait_s = 0; ; ) {
    let spent_s = 0;
    if (wake) wake.isCalled = false;
    const { changed, least, most } = await reach(async () => {
      const began = performance.now();
      const answer = await ask();
      spent_s = (performance.now() - began) / 1000;
      return answer;
    }, signal);
    wait_s = Math.max(Math.min(most, changed ? least : Math.max(least, wait_s * GROWTH)), spent_s / SHARE_MAX);
    if (!wake?.isCalled) await pause(wait_s * 1000, wake, signal);
  }
}

/** What a poll is hastened by. */
export class Wake extends EventTarget {
  isCalled = false;

  call() {
    this.isCalled = true;
    this.dispatchEvent(new Event("call"));
  }
}

/** Resolves after a delay; at once when the page becomes visible, the network returns, or `wake` says so. */
function pause(ms, wake, signal) {
  return new Promise((done) => {
    const ends = new AbortController();
    const end = () => {
      clearTimeout(timer);
      ends.abort();
      done();
    };
    const timer = setTimeout(end, ms);
    document.addEventListener("visibilitychange", () => document.hidden || end(), ends);
    addEventListener("online", end, ends);
    wake?.addEventListener("call", end, ends);
    signal?.addEventListener("abort", end, ends);
  });
}
