// The runs of a project as its table has them, and which of them are shown in charts.

import { coloursOf } from "../charts/palette.js";
import { computed, signal } from "../ui.js";
import { api, query } from "./address.js";
import { read } from "./api.js";

export class Runs {
  constructor(here, view) {
    this.rows = signal([]); // {uuid, name, …}
    this.total = signal(0);
    /** `{uuid, name, colour, status, started, group}` of the runs that are shown. */
    this.shown = computed(() => {
      const first = this.rows.value.slice(0, view.first.value);
      const colours = coloursOf(first.map(({ uuid }) => uuid));
      return first.map((row) => ({ group: null, colour: colours.get(row.uuid), ...row }));
    });
    read(api.table(here) + query({ columns: "name,status,started", count: 1 })).then(({ rows, count }) => {
      this.rows.value = rows;
      this.total.value = count;
    });
  }
}
