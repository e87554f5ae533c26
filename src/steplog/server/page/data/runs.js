// The runs of a project as its table has them, and which of them are shown in charts.

import { coloursOf } from "../charts/palette.js";
import { computed, effect, signal, untracked } from "../ui.js";
import { Missing } from "./api.js";
import { Wake, poll } from "./poll.js";
import { RunsApart } from "./runs_apart.js";
import { groupText } from "./runs_cells.js";
import { columnsOf, isField, usualMetrics } from "./runs_columns.js";
import { displayed } from "./runs_groups.js";
import { RunPages } from "./runs_pages.js";
import { until } from "./settled.js";
import { everySecond } from "./time.js";

const SHOWN_MAX = 1000;
const GROUPED_MAX = 50_000; // rows that are read to be grouped
export const COLUMNS_MAX = 150; // the server allows 200, and others are asked for besides
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const LEAST_S = 4; // between polls: after a change, and at most without one
const MOST_S = 15;

const NONE = new Set();
const NEWEST = "-started"; // the server's own order is that of arrival, which is another one for imported runs
const ALWAYS = ["name", "status", "started", "ended", "seen", "last_point", "lost"];

/** The runs of the project `here`, by the choices of `view`. */
export class Runs {
  #pages;
  #open; // the lines if no group were closed
  #apart; // shown runs that are on no page that was read
  #turn = Promise.resolve(); // requests are sent one after another
  #waiting = null; // the one that has not begun
  #least = 0; // the index of a row that is to be read in any case
  #colours = new Map(); // that runs and groups have had
  #wake = new Wake(); // makes the poll ask at once
  #before = []; // the runs that were shown
  #rows = new Map(); // of them, by uuid

  /** `names` is a signal of the metrics, `{name, numeric}[]`, null until they are known. */
  constructor(here, view, names) {
    this.here = here;
    this.view = view;
    this.#pages = new RunPages(here);
    this.#apart = new RunsApart(here);
    this.rows = this.#pages.rows;
    this.total = this.#pages.total;
    this.wrong = this.#pages.wrong;
    this.gone = signal(false); // the project is not on the server
    this.isKnown = signal(false); // which runs are shown
    this.outside = 0; // how many of the shown runs are not in the table
    this.emphasis = signal(null); // uuid of the run that is pointed at
    this.selected = signal(new Set()); // uuids that are to be edited
    this.inView = signal([0, 0]); // of the lines that are displayed: the first, and the one after the last
    this.metrics = signal([]); // usual ones, for the columns: as they were when there were any
    effect(() => {
      const numeric = (names.value ?? []).filter((each) => each.numeric).map(({ name }) => name);
      if (numeric.length && !this.metrics.peek().length) this.metrics.value = usualMetrics(numeric);
    });
    /** Fields of the columns besides the name. */
    this.columns = computed(() => columnsOf(view.columns.value, this.metrics.value));
    /** Uuids of groups that are closed, by their text. */
    this.closed = signal(new Set());
    /** What the table has, from top to bottom: lines of groups and of runs. */
    this.lines = computed(() => {
      const { value: closed } = this.closed;
      return closed.size ? displayed(this.rows.value, view.group.value, closed) : this.#open.value;
    });
    this.#open = computed(() => displayed(this.rows.value, view.group.value, NONE));
    this.shownUuids = computed(() => this.#chosen());
    /** `ShownRun[]`: `{uuid, name, colour, status, started, group}`, in the table's order; a group has one colour. */
    this.shown = computed(() => this.#shown());
    this.colours = computed(() => new Map(this.shown.value.map(({ uuid, colour }) => [uuid, colour])));
    this.second = signal(0); // changes every second, and every minute, while the page is looked at
    this.minute = signal(0);
    everySecond(() => {
      this.second.value += 1;
      if (this.second.value % 60 === 0) this.minute.value += 1;
    });
    this.#begin(() => names.value !== null || view.columns.value.length > 0);
  }

  isShown(uuid) {
    return this.shownUuids.value.has(uuid);
  }

  /** Show runs that are not shown, or hide those that are. */
  toggle(...uuids) {
    this.show(uuids, !uuids.every((uuid) => this.isShown(uuid)));
  }

  /** Show runs, or hide them. */
  show(uuids, isWanted = true) {
    const { added, removed } = this.view;
    const first = new Set(this.#first());
    const given = new Set(uuids);
    const keptAdded = added.value.filter((uuid) => !given.has(uuid));
    const keptRemoved = removed.value.filter((uuid) => !given.has(uuid));
    if (isWanted) {
      const room = Math.max(0, SHOWN_MAX - this.shownUuids.value.size);
      keptAdded.push(...uuids.filter((uuid) => !first.has(uuid) && !added.value.includes(uuid)).slice(0, room));
      keptAdded.push(...uuids.filter((uuid) => !first.has(uuid) && added.value.includes(uuid)));
    } else {
      keptRemoved.push(...uuids.filter((uuid) => first.has(uuid)));
    }
    added.value = keptAdded;
    removed.value = keptRemoved;
  }

  showOnly(...uuids) {
    const { first, added, removed } = this.view;
    first.value = 0;
    added.value = uuids.slice(0, SHOWN_MAX);
    removed.value = [];
  }

  /** Show the first runs of the table, or those of its first groups. */
  showFirst(count) {
    const { first, added, removed } = this.view;
    first.value = count;
    added.value = [];
    removed.value = [];
  }

  /** Read more pages, until there is one row more, or so many. */
  more(count = this.rows.value.length + 1) {
    this.#least = count - 1;
    return this.#hasten();
  }

  /** Select all runs of the table, or as many as are shown at most; returns how many. */
  async selectAll() {
    await this.more(SHOWN_MAX);
    this.#least = 0;
    this.selected.value = new Set(this.rows.value.slice(0, SHOWN_MAX).map(({ uuid }) => uuid));
    return this.selected.value.size;
  }

  /** Ask at once, since something has changed. */
  refresh() {
    return this.#hasten();
  }

  /** Take runs away that were deleted. */
  drop(uuids) {
    this.#pages.drop(uuids);
    this.#apart.drop(uuids);
  }

  /** Ask at once; what fails is asked again by the poll. */
  #hasten() {
    return this.#ask().catch(() => this.#wake.call());
  }

  /** `isReady` tells whether it is known which columns there are: the table is asked for once. */
  async #begin(isReady) {
    const { first, added, columns, sort, group } = this.view;
    effect(() => {
      // What is no field, in an old address say, would have the whole table refused.
      if (!columns.value.every(isField)) columns.value = columns.value.filter(isField);
      if (columns.value.length > COLUMNS_MAX) columns.value = columns.value.slice(0, COLUMNS_MAX);
      if (sort.value && (!isField(sort.value.replace(/^-/, "")) || /^-?tag$/.test(sort.value))) sort.value = "";
      if (group.value && !isField(group.value)) group.value = "";
    });
    await until(isReady);
    let before = null;
    effect(() => {
      const now = JSON.stringify([this.#question(), first.value, added.value]);
      const lacks = this.#pages.lacks(this.inView.value[1]);
      if (before !== null && (now !== before || lacks)) untracked(() => this.#hasten());
      before = now;
    });
    try {
      await poll(async () => ({ changed: await this.#ask(), least: LEAST_S, most: MOST_S }), { wake: this.#wake });
    } catch (error) {
      if (!(error instanceof Missing)) throw error;
      this.gone.value = true;
    }
  }

  #question() {
    const { where, sort, group } = this.view;
    const fields = [...ALWAYS, ...this.columns.value, ...(group.value ? [group.value] : [])];
    const columns = [...new Set(fields)].filter((field) => field !== "duration" || field === group.value);
    return { where: where.value, sort: sort.value || NEWEST, columns };
  }

  /** Bring up to date what is in view, after the requests before it. Returns whether anything changed. */
  #ask() {
    this.#waiting ??= this.#turn.then(() => {
      this.#waiting = null;
      return untracked(() => this.#read());
    });
    const turn = this.#waiting;
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #read() {
    const question = this.#question();
    const text = JSON.stringify(question);
    const isCurrent = () => text === JSON.stringify(untracked(() => this.#question()));
    const changed = await this.#pages.read(question, () => this.#needed(), isCurrent);
    const known = new Set(this.rows.value.map(({ uuid }) => uuid));
    const apart = this.view.added.value.filter((uuid) => !known.has(uuid) && UUID.test(uuid));
    const changedApart = await this.#apart.read([...new Set(apart)].slice(0, SHOWN_MAX), question.columns);
    this.isKnown.value = true;
    return changed || changedApart;
  }

  /** The index up to which rows are to be read, and the runs that are to be up to date. */
  #needed() {
    const { first, group } = this.view;
    const [from, to] = this.inView.value;
    const seen = this.lines.value.slice(from, to).flatMap(({ row }) => (row ? [row.uuid] : []));
    const goOn = this.shown.value.flatMap(({ uuid, status }) => (status === "RUNNING" ? [uuid] : []));
    const least = group.value ? GROUPED_MAX - 1 : Math.max(first.value - 1, to, this.#least);
    return { least, seen: new Set([...seen, ...goOn]) };
  }

  /** Uuids of the runs that are the first of the table; where it has groups, of the first groups. */
  #first() {
    const { first, group } = this.view;
    if (!group.value) return this.rows.value.slice(0, first.value).map(({ uuid }) => uuid);
    const groups = this.#open.value.filter(({ row }) => !row).slice(0, first.value);
    return groups.flatMap(({ uuids }) => uuids).slice(0, SHOWN_MAX);
  }

  #chosen() {
    const removed = new Set(this.view.removed.value);
    const first = this.#first().filter((uuid) => !removed.has(uuid));
    const { value: apart } = this.#apart.rows;
    const added = this.view.added.value.filter((uuid) => apart.get(uuid) !== null);
    return new Set([...first, ...added].slice(0, SHOWN_MAX));
  }

  #shown() {
    const chosen = this.shownUuids.value;
    const group = this.view.group.value;
    const rows = this.#open.value.flatMap(({ row }) => (row && chosen.has(row.uuid) ? [row] : []));
    const known = new Set(rows.map(({ uuid }) => uuid));
    for (const uuid of chosen) {
      // What has left the pages is as it was, until it is asked for.
      const row = known.has(uuid) ? null : (this.#apart.rows.value.get(uuid) ?? this.#rows.get(uuid));
      if (row) rows.push(row);
    }
    this.#rows = new Map(rows.map((row) => [row.uuid, row]));
    this.outside = rows.length - known.size;
    const now = rows.map((row) => {
      const { uuid, name, status, started } = row;
      return { uuid, name, colour: null, status, started, group: groupText(row, group) };
    });
    // What is hidden and shown again has its colour again, where it is free.
    const coloured = ({ uuid, group: text }) => (group ? `${group} ${text ?? ""}` : uuid);
    const colours = coloursOf([...new Set(now.map(coloured))], this.#colours);
    this.#colours = new Map([...this.#colours, ...colours]);
    for (const run of now) run.colour = colours.get(coloured(run));
    if (JSON.stringify(now) !== JSON.stringify(this.#before)) this.#before = now;
    return this.#before;
  }
}
