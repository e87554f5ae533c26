// Why a change was not made, in words.

import { Away, Missing, Wrong } from "../data/api.js";
import { Cancelled } from "../data/session.js";

/** A sentence on what was not `done`, such as "saved"; `what` it is about may be gone. */
export function failure(error, done, what = "run") {
  if (error instanceof Away) return `Not ${done}: ${error.words || "the server does not answer"}.`;
  if (error instanceof Missing) return `Not ${done}: the ${what} is not there any more.`;
  if (error instanceof Wrong) return `Not ${done}: ${error.message}`;
  if (error instanceof Cancelled) return `Not ${done}: that takes a key.`;
  throw error;
}
