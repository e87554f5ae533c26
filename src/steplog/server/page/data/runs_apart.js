// Rows of some runs of a table by their uuids, wherever in the table they stand.

import { signal } from "../ui.js";
import { api, query } from "./address.js";
import { read, readChanged } from "./api.js";

const AT_ONCE = 200; // runs of a request, whose address has them all

/** Rows of runs that are shown and on no page of the table, kept up to date by `read`. */
export class RunsApart {
  #tags = new Map(); // of the answers, by path

  constructor(here) {
    this.path = api.table(here);
    this.rows = signal(new Map()); // by uuid, null of a run that is not there
  }

  /** Ask for the rows of these runs, and forget others. Returns whether anything changed. */
  async read(uuids, columns) {
    const { value: before } = this.rows;
    const tags = new Map();
    const found = new Map();
    let changed = uuids.length !== before.size || uuids.some((uuid) => !before.has(uuid));
    for (const part of chunks(uuids, AT_ONCE)) {
      const path = pathOf(this.path, part, columns);
      const { tag, body } = await readChanged(path, this.#tags.get(path));
      tags.set(path, tag);
      changed ||= body !== null;
      const rows = body && byUuid(body.rows);
      for (const uuid of part) found.set(uuid, (rows ?? before).get(uuid) ?? null);
    }
    this.#tags = tags;
    if (changed) this.rows.value = found;
    return changed;
  }

  /** Take runs away that were deleted. */
  drop(uuids) {
    this.#tags.clear();
    this.rows.value = new Map([...this.rows.value, ...uuids.map((uuid) => [uuid, null])]);
  }
}

/** The rows of some runs with any number of columns, by uuid, once. */
export async function rowsOf(here, uuids, columns) {
  const found = new Map();
  for (const some of chunks(columns, AT_ONCE)) {
    for (const part of chunks(uuids, AT_ONCE)) {
      const { rows } = await read(pathOf(api.table(here), part, some));
      for (const row of rows) found.set(row.uuid, { ...found.get(row.uuid), ...row });
    }
  }
  return found;
}

function pathOf(table, uuids, columns) {
  return table + query({ runs: uuids.join(","), columns: columns.join(","), limit: AT_ONCE });
}

const byUuid = (rows) => new Map(rows.map((row) => [row.uuid, row]));

function chunks(list, size) {
  return Array.from({ length: Math.ceil(list.length / size) }, (_, at) => list.slice(at * size, (at + 1) * size));
}
