// Contents of files that a run has named. They may come after what names them: until then a server answers 404.

import { answer, linked, Missing } from "./api.js";
import { reach } from "./outage.js";

const FIRST_MS = 2000;
const MOST_MS = 30_000;
const GROWTH = 1.5;
const TRIES = 2; // to draw an image that is there
const IMAGES_KEPT = 60;

const images = new Map(); // by path: those that were asked for, the one used last at the end

/**
 * Resolves once the content at a path is there; calls `absent` each time that it is not. Throws Forbidden, AbortError.
 */
export async function arrived(path, signal, absent) {
  for (let wait_ms = FIRST_MS; ; wait_ms = Math.min(MOST_MS, wait_ms * GROWTH)) {
    try {
      await reach(() => answer("HEAD", path, undefined, "*/*", { signal }), signal);
      return;
    } catch (error) {
      if (!(error instanceof Missing)) throw error;
    }
    absent();
    await pause(wait_ms, signal);
  }
}

/** The content at a path as a text, once it is there. Throws as `arrived`. */
export async function textAt(path, signal, absent) {
  for (;;) {
    try {
      return await reach(async () => (await answer("GET", path, undefined, "*/*", { signal })).text(), signal);
    } catch (error) {
      if (!(error instanceof Missing)) throw error;
    }
    absent();
    await arrived(path, signal, absent);
  }
}

/** The image at a path, once it is there and can be drawn. Throws as `arrived`, and EncodingError where it is none. */
export async function imageAt(path, signal, absent) {
  for (let tries = TRIES; ; tries--) {
    try {
      return await loaded(path);
    } catch (error) {
      if (tries <= 1) throw error;
    }
    await arrived(path, signal, () => {
      tries = TRIES + 1;
      absent();
    });
  }
}

/** Load an image that may be wanted next. */
export const preload = (path) => void loaded(path).catch(() => null);

function loaded(path) {
  const known = images.get(path);
  images.delete(path);
  const loading = known ?? decoded(path);
  images.set(path, loading);
  if (images.size > IMAGES_KEPT) images.delete(images.keys().next().value);
  return loading;
}

function decoded(path) {
  const image = new Image();
  image.src = linked(path);
  const decoding = image.decode().then(() => image);
  decoding.catch(() => images.delete(path));
  return decoding;
}

function pause(ms, signal) {
  signal.throwIfAborted();
  return new Promise((done, stop) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      stop(signal.reason);
    }, { once: true });
  });
}
