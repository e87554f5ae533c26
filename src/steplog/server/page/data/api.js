// Requests to the API in the name of the session, and their errors.

import { api, query } from "./address.js";
import { entered, keptSession } from "./binding.js";
import { hear } from "./time.js";

const TIMEOUT_MS = 20_000;
const LONG_INTEGER = /(?<![\d.])\d{16}/; // not the digits of a fraction

/** No usable response; try again, after the seconds that the server says, if it does. `words` are its own, or "". */
export class Away extends Error {
  constructor(why, after_s = 0, words = "") {
    super(why);
    this.after_s = after_s;
    this.words = words;
  }
}

/** Not found. */
export class Missing extends Error {}

/** Nobody is signed in; `binding` is that of the session which was refused. */
export class Refused extends Error {
  constructor(binding) {
    super("Nobody is signed in.");
    this.binding = binding;
  }
}

/** Whoever is signed in may not do this: it takes a key, or another role. */
export class Forbidden extends Error {}

/** The server says what is wrong with the request. */
export class Wrong extends Error {}

/** The address of what a link leads to, such as a download: a link sends no headers. */
export function linked(path) {
  const { binding = "" } = keptSession() ?? {};
  return `${path}${path.includes("?") ? "&" : "?"}${query({ binding }).slice(1)}`;
}

/** GET a path of the API as JSON. Integers beyond 2^53 are BigInt, where the browser supports it. */
export const read = (path) => ask("GET", path);

/** GET a path as JSON: `{tag, body}`; `body` is null if it is still what had the tag `known`; `tag` may be newer. */
export async function readChanged(path, known = null) {
  const response = await answer("GET", path, undefined, "application/json", { known });
  return { tag: response.headers.get("etag"), body: response.status === 304 ? null : await content(response) };
}

/** Send a request; returns what it is answered with as JSON, null without content. */
export async function ask(method, path, body = undefined) {
  return content(await answer(method, path, body, "application/json"));
}

async function content(response) {
  const text = await response.text().catch(away);
  if (!text) return null;
  try {
    return parsed(text);
  } catch (error) {
    return away(error);
  }
}

/** JSON text as a value. Integers beyond 2^53 are BigInt, where the browser supports it. Throws SyntaxError. */
export const parsed = (text) => (LONG_INTEGER.test(text) ? JSON.parse(text, exact) : JSON.parse(text));

/** Send a request; returns the bytes of the answer. */
export async function bytes(method, path, body, accept, signal = undefined) {
  return (await answer(method, path, body, accept, { signal })).arrayBuffer().catch(away);
}

/** Send a request; returns a response that is good, or a 304 for what has the tag `known`. `signal` gives it up. */
export async function answer(method, path, body, accept, { signal, known } = {}) {
  if (path !== api.session()) await entered();
  const { binding = "" } = keptSession() ?? {};
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: {
        Accept: accept,
        "Steplog-Binding": binding,
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        ...(known ? { "If-None-Match": known } : {}),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      redirect: "error",
      signal: AbortSignal.any([AbortSignal.timeout(TIMEOUT_MS), ...(signal ? [signal] : [])]),
    });
  } catch (error) {
    away(error);
  }
  hear(response.headers.get("date"));
  if (response.status === 401) throw new Refused(binding);
  if (response.status === 403) throw new Forbidden((await response.json().catch(() => null))?.detail ?? "");
  if (response.status === 404) throw new Missing();
  if (response.status === 400) throw new Wrong(said(await response.json().catch(away)));
  if (response.ok || (known && response.status === 304)) return response;
  const detail = (await response.json().catch(() => null))?.detail; // what is between may answer, too
  const words = typeof detail === "string" ? detail : "";
  return away(response.status, Number(response.headers.get("retry-after")) || 0, words);
}

/** What a 400 says, in one line. */
const said = (problems) => Object.values(problems).flat().join(" ");

function away(error, after_s = 0, words = "") {
  throw new Away(String(error), after_s, words);
}

function exact(_key, value, context) {
  const lost = typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value);
  return lost && /^-?\d+$/.test(context?.source ?? "") ? BigInt(context.source) : value;
}
