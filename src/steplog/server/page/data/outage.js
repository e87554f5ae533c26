// One schedule of retries for all requests of the page: while the server is away, one at a time asks again, and when
// that is answered, all go on.

import { Away, Refused } from "./api.js";
import { signedInAgain } from "./binding.js";
import { standing } from "./connection.js";

const FIRST_S = 1;
const MOST_S = 15;
const SILENT_S = 25; // what is not answered for so long is not waited for

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
    const tries = await turn(signal);
    try {
      const answer = await request();
      answered();
      return answer;
    } catch (error) {
      if (signal?.aborted) {
        if (tries) next();
        throw error;
      }
      if (error instanceof Away) {
        if (tries || !away_s) unanswered(error.after_s); // of several at the same time one counts
        continue;
      }
      answered();
      if (!(error instanceof Refused)) throw error;
      await signedInAgain(error, signal);
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

/** Resolves when a request may go on, to whether it is the one that tries. */
async function turn(signal) {
  if (!away_s) return false;
  if (isFree) {
    isFree = false;
    return true;
  }
  return new Promise((go, stop) => {
    waiting.push(go);
    signal?.addEventListener("abort", () => {
      const at = waiting.indexOf(go);
      if (at >= 0) waiting.splice(at, 1);
      stop(signal.reason);
    });
  });
}

function answered() {
  away_s = 0;
  isFree = false;
  clearTimeout(timer);
  standing(0);
  for (const go of waiting.splice(0)) go(false);
}

function unanswered(after_s) {
  away_s = Math.max(after_s, Math.min(MOST_S, away_s * 2 || FIRST_S));
  standing(away_s);
  wait(away_s);
}

/** Let one request ask again; none while the page is hidden. */
function next() {
  clearTimeout(timer);
  if (document.hidden) return;
  const go = waiting.shift();
  isFree = !go;
  if (!go) return;
  wait(SILENT_S);
  go(true);
}

function wait(seconds) {
  clearTimeout(timer);
  timer = setTimeout(next, seconds * 1000);
}

function tryNow() {
  if (!away_s || document.hidden) return;
  away_s = FIRST_S / 2; // from here on as at first
  next();
}
