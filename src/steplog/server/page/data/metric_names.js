// The names of the metrics of a project, or of a run.

import { signal } from "../ui.js";
import { api } from "./address.js";
import { read } from "./api.js";

export class MetricNames {
  constructor(here) {
    this.all = signal([]); // {name, numeric}
    read(api.columns(here)).then(({ metrics }) => (this.all.value = metrics.map((name) => ({ name, numeric: true }))));
  }
}
