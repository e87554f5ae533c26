// Takes a run out of the trash.

import { api } from "../data/address.js";
import { ask } from "../data/api.js";
import { html, useSignal } from "../ui.js";

export function RestoreRun({ here, run }) {
  const said = useSignal("");
  const restore = async () => {
    try {
      await ask("POST", api.restored(here, run.uuid), {});
      document.dispatchEvent(new Event("visibilitychange")); // polls at once
    } catch {
      said.value = "It was not restored: the server did not answer.";
    }
  };
  return html`<button onClick=${restore}>Restore</button>${said.value && html`<p>${said.value}</p>`}`;
}
