// Questions to the server, each with the token in a header, and what can become of them.

import { currentToken } from "./token.js";

const TIMEOUT_MS = 20_000;
const LONG_INTEGER = /\d{16}/;

/** The server does not answer, or not sensibly: the same question may be asked again. */
export class Away extends Error {}

/** There is no such thing on the server. */
export class Missing extends Error {}

/** The token is missing or wrong. */
export class Refused extends Error {}

/** The JSON that a path of the API answers. Integers beyond 2^53 come as BigInt where the browser can tell them. */
export async function read(path) {
  let response, text;
  try {
    response = await fetch(path, {
      headers: { Authorization: `Page-Token ${currentToken()}` },
      credentials: "omit",
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    text = await response.text();
  } catch (error) {
    throw new Away(String(error));
  }
  if (response.status === 401 || response.status === 403) throw new Refused();
  if (response.status === 404) throw new Missing();
  if (!response.ok) throw new Away(`${response.status}`);
  try {
    return LONG_INTEGER.test(text) ? JSON.parse(text, exact) : JSON.parse(text);
  } catch (error) {
    throw new Away(String(error));
  }
}

function exact(_key, value, context) {
  const lost = typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value);
  return lost && /^-?\d+$/.test(context?.source ?? "") ? BigInt(context.source) : value;
}
