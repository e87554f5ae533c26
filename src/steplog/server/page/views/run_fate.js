// What has become of a run that is not there: in the trash, deleted for good, or never on this server.

import { web } from "../data/address.js";
import { visible } from "../data/values.js";
import { html } from "../ui.js";
import { restoreRuns } from "./edit_delete.js";
import { Button } from "./parts/button.js";
import { Moment } from "./parts/moment.js";

export function Fate({ open }) {
  const fate = open.fate.value;
  const known = open.run.value !== null;
  const told = { trashed: Trashed, deleted: Deleted, missing: Unknown }[fate];
  const words = told && html`<${told} open=${open} />`;
  const name = visible(open.trashed.value?.name ?? open.here.run);
  const title = !known && fate !== "sought" && html`<h1><bdi>${name}</bdi></h1>`;
  return html`${title}<div class="fate" role="status">${words}</div>`;
}

function Trashed({ open }) {
  const trashed = open.trashed.value;
  const restore = () => restoreRuns(open.here, [trashed.uuid], { onRestored: open.refresh });
  return html`
    <p>This run was moved to the trash <${Moment} iso=${trashed.deleted} />. It stays there for a day.</p>
    <${Button} icon="undo" onClick=${restore}>Restore<//>
  `;
}

function Deleted({ open }) {
  return html`<p>This run was deleted.</p><a href=${web.project(open.here)}>Runs of this project</a>`;
}

function Unknown({ open }) {
  return html`
    <p>This run is not on the server. It may have another name now, or be deleted.</p>
    <a href=${web.project(open.here)}>Runs of this project</a>
  `;
}
