// What can be done with a run: compare it, take its data along, edit it.

import { api, query, web } from "../data/address.js";
import { visible } from "../data/values.js";
import { html } from "../ui.js";
import { CopyButton } from "./parts/copy_button.js";

export function RunActions({ open }) {
  const { uuid, name } = open.run.value;
  const { here } = open;
  const history = api.history(here, uuid) + query({ format: "csv" });
  return html`
    <div class="actions" role="group" aria-label="Actions">
      <a class="button" href=${web.project(here) + query({ with: uuid })}>Compare</a>
      <${CopyButton} text=${() => inPython(here, uuid)}>Open in Python<//>
      <a class="button" href=${history} download=${`${plain(name)}.csv`}>CSV</a>
    </div>
  `;
}

/** A program that opens the run. */
function inPython({ namespace, project }, uuid) {
  return `import steplog\n\nrun = steplog.open(${JSON.stringify(`${namespace}/${project}/${uuid}`)})\nprint(run.summary)\n`;
}

/** A name of a file. */
const plain = (name) => visible(name).replace(/[\\/:*?"<>|]+/g, "_").slice(0, 100);
