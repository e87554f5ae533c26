// A table that is a file of its run.

import { textAt } from "../data/arrival.js";
import { tableOf } from "../data/media.js";
import { parsed } from "../data/api.js";
import { html } from "../ui.js";
import { Download, Figure, Instead, useLoaded } from "./media_parts.js";
import { SampleRows } from "./samples_rows.js";

export function FileTable({ value, path, beside = null }) {
  const { state, found } = useLoaded(async (signal, absent) => {
    const rows = tableOf(parsed(await textAt(path, signal, absent)));
    if (!rows) throw new Error("The file has no table.");
    return rows;
  });
  const content = () => {
    if (state) return html`<${Instead} state=${state} kind="table" path=${path} />`;
    return found ? html`<${SampleRows} rows=${found.rows} columns=${found.columns} beside=${beside} />`
      : html`<div class="media-instead" aria-busy="true"></div>`;
  };
  return html`
    <${Figure} value=${value}>
      ${content()}
      <div class="media-tools"><${Download} path=${path} /></div>
    <//>
  `;
}
