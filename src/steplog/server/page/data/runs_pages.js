// The rows of a table of runs, read page after page and kept up to date: the first pages, and those that are in view.

import { signal } from "../ui.js";
import { api, query } from "./address.js";
import { Wrong, readChanged } from "./api.js";
import { lasting } from "./life.js";
import { json } from "./values.js";

const FIRST = 50; // rows of the first page, at least
const FIRST_MAX = 1000; // where more are needed, it has few, which come sooner
const NEXT = [200, 1000]; // of the second, and of those after it
const FAR = 3000; // where so many rows are missing, pages are larger, and shown some at a time
const LARGE = 2500;
const AT_A_TIME = 4;
const SLACK = 50; // a page that others follow is asked for with so many rows more: runs may have come
const LOGGED = /\.(last|min|max|count)$/; // fields of metrics
const CELLS_MAX = 200_000; // of a page, by the server

/**
 * Of the runs that match a question, the rows from the top on.
 *
 * A page goes on from a place in the order, not from a count: pages stay disjoint while runs come and go between them.
 */
export class RunPages {
  #pages = []; // {after, limit, rows, next, tag, path}; `after` is where the page begins, null at the top
  #tail = []; // rows that are to be read anew, and stand below the pages until then
  #isFresh = false; // there are rows that `rows` does not have
  #round = 0; // the page that is asked for again besides those that are seen
  #question = null; // {where, sort, columns} of the pages
  #refused = null; // the question that the server has found wrong

  constructor(here) {
    this.path = api.table(here);
    this.rows = signal([]);
    this.total = signal(null); // of all that match; null until it is known
    this.wrong = signal(""); // what the server says of the filter or the order
  }

  /** Whether rows are missing up to an index. */
  lacks(index) {
    const last = this.#pages.at(-1);
    return !last || (last.next !== null && this.#count() <= index);
  }

  /**
   * Bring up to date the first page, those with runs that are seen and one more, and read missing pages.
   *
   * `needed()` gives `{least, seen}`, which may change meanwhile: an index, and uuids. `isCurrent()` tells whether the
   * question still stands. Returns whether anything changed but what runs that go on log.
   */
  async read(question, needed, isCurrent) {
    const known = this.#question;
    if (this.#refused && same(this.#refused, question)) {
      // The rows that are there are still kept up to date.
      return known === null ? false : this.#goOn(this.#seen(needed()), needed, isCurrent);
    }
    this.#refused = null;
    const anew = known === null || known.where !== question.where || known.sort !== question.sort;
    let changed = anew;
    try {
      if (anew && !(await this.#begin(question, needed().least, isCurrent))) return true;
      this.#question = question;
      changed = (await this.#goOn(anew ? [] : this.#seen(needed()), needed, isCurrent)) || anew;
      if (isCurrent()) this.wrong.value = "";
    } catch (error) {
      if (!(error instanceof Wrong)) throw error;
      if (!isCurrent()) return true;
      if (!anew) this.#question = known;
      this.#refused = question;
      this.wrong.value = error.message;
    }
    return changed;
  }

  /** Ask for pages again, and for those that are missing. */
  async #goOn(pages, needed, isCurrent) {
    let changed = false;
    for (const page of pages) changed = (await this.#again(page, isCurrent)) || changed;
    while (isCurrent() && this.#isShort(needed())) changed = (await this.#more(needed().least, isCurrent)) || changed;
    this.#show();
    return changed;
  }

  /** Take a run away that is gone. */
  drop(uuids) {
    const gone = new Set(uuids);
    for (const page of this.#pages) {
      page.tag = null;
      page.rows = page.rows.filter(({ uuid }) => !gone.has(uuid));
    }
    this.#tail = this.#tail.filter(({ uuid }) => !gone.has(uuid));
    this.#isFresh = true;
    if (this.total.value !== null) this.total.value -= this.rows.value.filter(({ uuid }) => gone.has(uuid)).length;
    this.#show();
  }

  async #begin(question, least, isCurrent) {
    const limit = least < FIRST_MAX ? Math.max(FIRST, least + 1) : FIRST;
    const page = { after: null, limit, rows: [], next: null, tag: null };
    const { body, known } = await this.#ask(page, question, limit);
    if (!isCurrent()) return false;
    this.#question = question;
    this.#pages = [page];
    this.#tail = [];
    this.#take(page, body, known);
    return true;
  }

  /** Whether a row that is needed is on no page, or is one that is to be read anew. */
  #isShort({ least, seen }) {
    return this.lacks(least) || this.#tail.some(({ uuid }) => seen.has(uuid));
  }

  /** The pages that are asked for again: the first, those with runs that are seen, and each of the others in turn. */
  #seen({ seen }) {
    this.#round = (this.#round + 1) % this.#pages.length;
    const isSeen = ({ rows }, at) => at === 0 || at === this.#round || rows.some(({ uuid }) => seen.has(uuid));
    return this.#pages.filter(isSeen);
  }

  async #again(page, isCurrent) {
    const at = this.#pages.indexOf(page);
    if (at === -1 || !isCurrent()) return false;
    const isLast = at === this.#pages.length - 1;
    const limit = isLast ? Math.max(page.limit, page.rows.length) : page.rows.length + SLACK;
    const { body, known } = await this.#ask(page, this.#question, limit);
    if (!isCurrent() || !this.#pages.includes(page)) return false;
    if (!body) {
      Object.assign(page, known);
      return false;
    }
    const before = text(page.rows);
    if (isLast) this.#take(page, body, known);
    else this.#fit(at, body, known);
    return text(page.rows) !== before;
  }

  async #more(least, isCurrent) {
    const last = this.#pages.at(-1);
    const isFar = least - this.#count() > FAR;
    const limit = isFar ? LARGE : NEXT[Math.min(this.#pages.length, NEXT.length) - 1];
    const page = { after: last.next, limit, rows: [], next: null, tag: null };
    const { body, known } = await this.#ask(page, this.#question, limit);
    if (!isCurrent() || this.#pages.at(-1) !== last) return false;
    this.#pages.push(page);
    this.#take(page, body, known, !isFar || this.#pages.length % AT_A_TIME === 0);
    return true;
  }

  /** `{body, known}`: the rows of a page, null where it has those already, and what says so the next time. */
  async #ask(page, { where, sort, columns }, rows) {
    const limit = Math.max(1, Math.min(rows, Math.floor(CELLS_MAX / columns.length)));
    const count = page.after === null ? 1 : null;
    const path = this.path + query({ columns: columns.join(","), where, sort, limit, after: page.after, count });
    const { tag, body } = await readChanged(path, page.path === path ? page.tag : null);
    return { body, known: { path, tag } };
  }

  #take(page, { rows, next, count }, known, isShown = true) {
    Object.assign(page, { rows, next }, known);
    this.#isFresh = true;
    if (count !== undefined) this.total.value = count;
    if (next === null) this.#tail = [];
    if (isShown) this.#show();
  }

  /** Take the answer to a page that others follow: its last rows are the first ones of the next page. */
  #fit(at, answer, known) {
    const [page, next] = this.#pages.slice(at, at + 2);
    const following = new Set(next.rows.map(({ uuid }) => uuid));
    let end = answer.rows.length;
    while (end && following.has(answer.rows[end - 1].uuid)) end--;
    if (end === answer.rows.length) {
      // The two do not meet: so many runs have come, or the next page has changed. It is read anew.
      this.#tail = [...this.#pages.slice(at + 1).flatMap(({ rows }) => rows), ...this.#tail];
      this.#pages.length = at + 1;
      this.#take(page, answer, known);
      return;
    }
    const moved = new Set(answer.rows.slice(0, end).map(({ uuid }) => uuid));
    next.rows = next.rows.filter(({ uuid }) => !moved.has(uuid));
    this.#take(page, { ...answer, rows: answer.rows.slice(0, end), next: next.after }, known);
  }

  #count() {
    return this.#pages.reduce((total, { rows }) => total + rows.length, 0);
  }

  #show() {
    if (!this.#isFresh) return;
    this.#isFresh = false;
    const found = new Map();
    for (const rows of [...this.#pages.map((page) => page.rows), this.#tail]) {
      for (const row of rows) if (!found.has(row.uuid)) found.set(row.uuid, row);
    }
    this.rows.value = [...found.values()];
  }
}

/** What of rows hastens polls: not what says that a run is alive, nor the values of its metrics. */
const text = (rows) => json(rows.map((row) => Object.entries(lasting(row)).filter(([field]) => !LOGGED.test(field))));
const same = (one, other) => json(one) === json(other);
