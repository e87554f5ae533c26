// One schedule of retries for all requests of the page: while the server is away, one at a time asks again, and when
// that is answered, all go on.

import { Away, Refused } from "./api.js";
import { signedInAgain } from "./binding.js";
import { standing } from "./connection.js";

const FIRST_S = 1;
const MOST_S = 15;

const waiting = []; // requests, by what lets each go on
let away_s = 0; // between tries; 0 while the server answers
let timer = null;
let isFree = false; // the next request is the one that tries

addEventListener("online", tryNow);
document.addEventListener("visibilitychange", tryNow);

/**
 * Make a request, again until the server answers somebody who is signed in, and while the page is visible. Throws
 * anything but Away and Refused.
 */
export async function reach(request, signal = undefined) {
  for (;;) {
    await seen(signal);
    await turn(signal);
    try {
      const answer = await request();
      answered();
      return answer;
    } catch (error) {
      if (error instanceof Away && !signal?.aborted) {
        unanswered(error.after_s);
        continue;
      }
      if (!signal?.aborted) answered();
      else if (away_s && timer === null) next();
      if (!(error instanceof Refused) || signal?.aborted) throw error;
      await signedInAgain(signal);
    }
  }
}

/** Resolves when the page is visible. */
export function seen(signal = undefined) {
  signal?.throwIfAborted();
  if (!document.hidden) return Promise.resolve();
  return new Promise((done) => {
    document.addEventListener("visibilitychange", done, { once: true });
    signal?.addEventListener("abort", done, { once: true });
  }).then(() => seen(signal));
}

function turn(signal) {
  if (!away_s || isFree) {
    isFree = false;
    return Promise.resolve();
  }
  return new Promise((go, stop) => {
    const one = { go, signal };
    waiting.push(one);
    signal?.addEventListener("abort", () => {
      const at = waiting.indexOf(one);
      if (at >= 0) waiting.splice(at, 1);
      stop(signal.reason);
    });
  });
}

function answered() {
  away_s = 0;
  isFree = false;
  clearTimeout(timer);
  timer = null;
  standing(0);
  waiting.splice(0).forEach(({ go }) => go());
}

function unanswered(after_s = 0) {
  if (timer !== null) return; // of requests at the same time one counts
  away_s = Math.max(after_s, Math.min(MOST_S, away_s * 2 || FIRST_S));
  standing(away_s);
  timer = setTimeout(next, away_s * 1000);
}

/** Let one request ask again; none while the page is hidden. */
function next() {
  timer = null;
  if (document.hidden) return;
  const one = waiting.shift();
  if (one) one.go();
  else isFree = true;
}

function tryNow() {
  if (!away_s || document.hidden) return;
  clearTimeout(timer);
  away_s = FIRST_S / 2; // from here on as at first
  next();
}
