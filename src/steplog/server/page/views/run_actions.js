// What can be done with a run: compare it, take its data along, edit it.

import { api, query, web } from "../data/address.js";
import { visible } from "../data/values.js";
import { html } from "../ui.js";
import { Copy } from "./parts/copy.js";
import { Icon } from "./parts/icon.js";

export function RunActions({ open }) {
  const { uuid, name } = open.run.value;
  const { here } = open;
  const history = api.history(here, uuid) + query({ format: "csv" });
  return html`
    <div class="actions" role="group" aria-label="Actions">
      <a class="button" href=${web.project(here) + query({ with: uuid })}><${Icon} name="runs" />Compare</a>
      <${Copy} kind="" label="Open in Python" text=${inPython(here, uuid)} done="Copied a program that opens this run.">
        Open in Python
      <//>
      <a class="button" href=${history} download=${`${plain(name)}.csv`}><${Icon} name="download" />CSV</a>
    </div>
  `;
}

/** A program that opens the run. */
function inPython({ namespace, project }, uuid) {
  return `import steplog\n\nrun = steplog.open("${namespace}/${project}/${uuid}")\nprint(run.summary)\n`;
}

/** A name of a file. */
const plain = (name) => visible(name).replace(/[\\/:*?"<>|]+/g, "_").slice(0, 100);
