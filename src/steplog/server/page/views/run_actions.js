// What can be done with a run: compare it, edit it, take its data along, delete it.

import { api, query, web } from "../data/address.js";
import { linked } from "../data/api.js";
import { visible } from "../data/values.js";
import { html, useSignal } from "../ui.js";
import { deleteRuns } from "./edit_delete.js";
import { EditRun } from "./edit_run.js";
import { Button } from "./parts/button.js";
import { copied, Copy } from "./parts/copy.js";
import { Icon } from "./parts/icon.js";
import { Menu } from "./parts/menu.js";

const NARROW = "(max-width: 600px)"; // what is `roomy` is in the menu there
const COPIED = "Copied a program that opens this run.";

export function RunActions({ open }) {
  const editing = useSignal(false);
  const run = open.run.value;
  const { uuid, name } = run;
  const { here } = open;
  const file = `${plain(name)}.csv`;
  const history = linked(api.history(here, uuid) + query({ format: "csv" }));
  const isThere = open.fate.value === "there";
  const remove = async () => {
    await deleteRuns(here, [uuid], { onRestored: open.refresh });
    open.refresh();
  };
  const inMenu = () => matchMedia(NARROW).matches && [
    { label: "Open in Python", icon: "copy", onSelect: () => copied(inPython(here, uuid), COPIED) },
    { label: "Save as CSV", icon: "download", onSelect: () => save(history, file) },
  ];
  const items = () => [
    ...(inMenu() || []),
    { label: "Copy the uuid", icon: "copy", onSelect: () => copied(uuid) },
    "-",
    { label: "Delete", icon: "trash", danger: true, disabled: !isThere, onSelect: remove },
  ];
  return html`
    <div class="actions" role="group" aria-label="Actions">
      <a class="button" href=${web.project(here) + query({ with: uuid })}><${Icon} name="runs" />Compare</a>
      <${Button} icon="edit" onClick=${() => (editing.value = true)} disabled=${!isThere}>Edit<//>
      <${Copy} kind="" class="roomy" label="Open in Python" text=${inPython(here, uuid)} done=${COPIED}>
        Open in Python
      <//>
      <a class="button roomy" href=${history} download=${file}><${Icon} name="download" />CSV</a>
      <${Menu} label="More actions" icon="more" items=${items} />
    </div>
    ${editing.value && html`<${EditRun} here=${here} run=${run} onSaved=${open.refresh}
      onClose=${() => (editing.value = false)} />`}
  `;
}

/** A program that opens the run. */
function inPython({ namespace, project }, uuid) {
  return `import steplog\n\nrun = steplog.open("${namespace}/${project}/${uuid}")\nprint(run.summary)\n`;
}

function save(href, download) {
  Object.assign(document.createElement("a"), { href, download }).click();
}

/** A name of a file. */
const plain = (name) => visible(name).replace(/[\\/:*?"<>|]+/g, "_").slice(0, 100);
