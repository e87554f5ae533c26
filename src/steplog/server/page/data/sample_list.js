// The samples of one metric of one run in the order in which they came, or those with a text in them: read by pages.

import { signal } from "../ui.js";
import { query } from "./address.js";
import { Missing, read, Refused } from "./api.js";
import { reach } from "./outage.js";

const PAGE = 100;
const FIND_MAX = 1024; // characters that the server looks for
const CUT = 160; // characters of a value
const PAGES_KEPT = 40;

export class SampleList {
  /** `find`: a text that the samples have, "" for all. */
  constructor({ path, uuid, name, find }) {
    Object.assign(this, { path, uuid, name, find });
    this.contains = [...find].slice(0, FIND_MAX).join("");
    /** How many rows there are, as far as is known; null until then. */
    this.count = signal(null);
    /** Changes with each page that has come. */
    this.version = signal(0);
    /** The place of the sample that is looked at; null until it is known. */
    this.place = signal(null);
    /** The row that was gone to last; null if none was. */
    this.gone = signal(null);
    this.pages = new Map(); // by number: {rows, reading}; the one that was read last at the end
    this.ends = new AbortController();
    this.stored = 0; // how many samples there are, whatever is looked for
  }

  end() {
    this.ends.abort();
  }

  /** So many samples have been stored by now. */
  grow(stored) {
    if (stored === this.stored) return;
    this.stored = stored;
    if (!this.find) this.count.value = stored;
    const last = this.find && !this.pages.size ? 0 : Math.max(-1, ...this.pages.keys());
    const page = this.pages.get(last);
    if (last >= 0 && !(page?.rows.length === PAGE)) this.#read(last);
  }

  /** The row at a place: `{at, step, time, value, bytes}`; undefined while its page has not come. */
  row(at) {
    return this.pages.get(Math.floor(at / PAGE))?.rows[at % PAGE];
  }

  /** Ask for the rows `[first, end)` that are not there. */
  want(first, end) {
    for (let number = Math.floor(first / PAGE); number * PAGE < Math.min(end, this.count.value ?? 1); number++) {
      this.#page(number);
    }
  }

  /** The row at a place, once it has come; undefined if there is none. */
  async reached(at) {
    await this.#page(Math.floor(at / PAGE));
    return this.row(at);
  }

  /** The place of the first row of a step, or of the first after it, where steps go up. */
  async placeOf(step) {
    const wanted = BigInt(step);
    const last = Math.ceil((this.count.value ?? 0) / PAGE) - 1;
    if (last < 0) return 0;
    const ends = await Promise.all([this.#page(0), this.#page(last)]);
    let [low, high] = [0, last]; // pages in which it may be
    let [least, most] = ends.map((rows, at) => rows.at(-at)?.step ?? 0).map(Number);
    while (low < high) {
      const share = (Number(wanted) - least) / (most - least || 1);
      const middle = Math.max(low, Math.min(high, low + Math.floor(share * (high - low + 1))));
      const rows = await this.#page(middle);
      if (rows.length && BigInt(rows.at(-1).step) < wanted) {
        [low, least] = [middle + 1, Number(rows.at(-1).step)];
        continue;
      }
      const isFirst = rows.length && BigInt(rows[0].step) >= wanted;
      const before = isFirst && middle > low ? await this.#page(middle - 1) : null;
      if (before?.length && BigInt(before.at(-1).step) >= wanted) [high, most] = [middle - 1, Number(rows[0].step)];
      else [low, high] = [middle, middle];
    }
    const rows = await this.#page(Math.min(low, last));
    const inside = rows.findIndex(({ step: each }) => BigInt(each) >= wanted);
    return Math.min(low, last) * PAGE + (inside < 0 ? rows.length : inside);
  }

  /** The rows of a page, once they have come. */
  async #page(number) {
    if (!this.pages.has(number)) this.#read(number);
    const page = this.pages.get(number);
    await page.reading;
    return page.rows;
  }

  /** Read a page; what is known of it stays until it has come. */
  #read(number) {
    const page = { rows: this.pages.get(number)?.rows ?? [] };
    const fields = { name: this.name, contains: this.contains, skip: number * PAGE, limit: PAGE, cut: CUT };
    page.reading = reach(() => read(this.path + query(fields)), this.ends.signal).then(
      (rows) => this.#take(page, number, rows),
      (error) => this.#fail(page, number, error),
    );
    this.pages.delete(number);
    this.pages.set(number, page);
    if (this.pages.size > PAGES_KEPT) this.pages.delete(this.pages.keys().next().value);
  }

  #take(page, number, rows) {
    const first = number * PAGE;
    page.rows = rows.map((row, at) => ({ ...row, at: first + at }));
    if (this.find) {
      const isLast = rows.length < PAGE;
      const known = first + rows.length + (isLast ? 0 : 1); // a row that is not there asks for the next page
      this.count.value = isLast ? known : Math.max(this.count.value ?? 0, known);
    }
    this.version.value += 1;
  }

  #fail(page, number, error) {
    if (this.pages.get(number) === page) this.pages.delete(number);
    if (!this.ends.signal.aborted && !(error instanceof Missing) && !(error instanceof Refused)) throw error;
  }
}
