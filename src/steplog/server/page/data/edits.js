// Changing runs: their fields, the trash. Whoever may not is asked for a key first, once.

import { api, query } from "./address.js";
import { Away, Forbidden, Missing, Refused, Wrong, ask, read } from "./api.js";
import { signedInAgain } from "./binding.js";
import { reach } from "./outage.js";
import { keyRefused, mayEdit, needKey } from "./session.js";

const AT_ONCE = 4; // of the changes of many runs

/** The fields of a run, as the server has them now: `{uuid, name, tags, group, notes, …}`. Throws Missing. */
export const fieldsOf = (here, uuid) => reach(() => brief(here, uuid));

/** Set some fields of a run; returns the run. Throws Cancelled, Away, Missing, Wrong, as all below do. */
export const edit = (here, uuid, fields) => changing(() => ask("PATCH", api.run(here, uuid), fields));

/** Move a run to the trash. */
export const discard = (here, uuid) => changing(() => ask("DELETE", api.run(here, uuid)));

/** Take a run out of the trash; returns the run, which may have another name. */
export const restore = (here, uuid) => changing(() => ask("POST", api.restored(here, uuid), {}));

/** Add and remove tags of a run; others that it has stay. */
export function retag(here, uuid, { add = [], remove = [] }) {
  return changing(async () => {
    const { tags } = await brief(here, uuid);
    const wanted = [...tags.filter((tag) => !remove.includes(tag)), ...add.filter((tag) => !tags.includes(tag))];
    if (wanted.join("\n") !== tags.join("\n")) await ask("PATCH", api.run(here, uuid), { tags: wanted });
  });
}

/**
 * Make a change of each of these uuids, some at once; `tell` gets how many are done. A run that is gone needs none.
 * Returns those that are left, and the error of one of them: `{left, error}`. Throws Cancelled.
 */
export async function changeAll(uuids, change, tell = () => {}) {
  const waiting = [...uuids];
  const left = [];
  let error = null;
  let done = 0;
  const work = async () => {
    while (waiting.length && !(error instanceof Away)) {
      const uuid = waiting.shift();
      try {
        await change(uuid);
      } catch (caught) {
        if (!(caught instanceof Missing)) {
          error = caught;
          left.push(uuid);
          continue;
        }
      }
      tell(++done);
    }
  };
  await needKey();
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return { left: [...left, ...waiting], error };
}

const brief = (here, uuid) => read(api.run(here, uuid) + query({ brief: 1 }));

/** Ask for a key, unless one is given whose user has not the role for it. Throws Wrong. */
async function keyWanted(refusal) {
  const { role } = await read(api.session());
  if (mayEdit(role)) throw new Wrong(refusal.message);
  await keyRefused();
}

/** Make requests that take a key: asks for one, also where the session ends meanwhile. */
export async function changing(request) {
  for (;;) {
    await needKey();
    try {
      return await request();
    } catch (error) {
      if (error instanceof Refused) await signedInAgain(error);
      else if (error instanceof Forbidden) await keyWanted(error);
      else throw error;
    }
  }
}
