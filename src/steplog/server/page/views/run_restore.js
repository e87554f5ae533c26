// Takes a run out of the trash.

import { api } from "../data/address.js";
import { ask } from "../data/api.js";
import { html, useSignal } from "../ui.js";
import { Button } from "./parts/button.js";

/** `onRestored` is called once it is back. */
export function RestoreRun({ here, run, onRestored }) {
  const said = useSignal("");
  const restore = async () => {
    try {
      await ask("POST", api.restored(here, run.uuid), {});
      onRestored();
    } catch {
      said.value = "It was not restored.";
    }
  };
  return html`<${Button} icon="undo" onClick=${restore}>Restore<//>${said.value && html`<p>${said.value}</p>`}`;
}
