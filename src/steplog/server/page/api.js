// Requests to the API, with the page token, and their errors.

import { hear } from "./time.js";
import { currentToken } from "./token.js";

const TIMEOUT_MS = 20_000;
const LONG_INTEGER = /\d{16}/;

/** No usable response; try again. */
export class Away extends Error {}

/** Not found. */
export class Missing extends Error {}

/** The token is missing or wrong. */
export class Refused extends Error {}

/** GET a path of the API as JSON. Integers beyond 2^53 are BigInt, where the browser supports it. */
export async function read(path) {
  let response, text;
  try {
    response = await fetch(path, {
      headers: { Authorization: `Page-Token ${currentToken()}` },
      credentials: "omit",
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    hear(response.headers.get("date"));
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
