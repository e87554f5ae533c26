// The widths of the columns of the table of runs, as CSS has them.

import { widthOf } from "../data/runs_columns.js";

/** The fields of the columns, the name first. */
export const fieldsOf = (runs) => ["name", ...runs.columns.value.filter((field) => field !== "name")];

/** The custom properties by which all rows are laid out; `besides` is what the first column is wider, in pixels. */
export function templateOf(fields, besides) {
  const [name, ...others] = fields.map(widthOf);
  const widths = [name + besides, ...others];
  return {
    "--template": `${widths.map((width) => `${width}px`).join(" ")} 1fr`,
    "--first": `${widths[0]}px`,
    "--width": `${widths.reduce((total, width) => total + width, 0)}px`,
  };
}
