// The deleted runs of a project, which can be restored for a day.

import { web } from "../data/address.js";
import { ago, fullDate, since, span } from "../data/time.js";
import { Deleted } from "../data/trash.js";
import { many, number, visible } from "../data/values.js";
import { html, useEffect, useMemo, useSignal } from "../ui.js";
import { restoreRuns } from "./edit_delete.js";
import { Button } from "./parts/button.js";
import { Empty } from "./parts/empty.js";
import { Status } from "./parts/status.js";

const HOUR_MS = 3600_000;
const KEPT_MS = 24 * HOUR_MS;
const SHOWN = 200; // at first

export function Trash({ here }) {
  const trash = useMemo(() => new Deleted(here), []);
  const shown = useSignal(SHOWN);
  useEffect(() => trash.follow(), []);
  const runs = trash.runs.value;
  if (!runs) return html`<h1>Trash</h1>`;
  if (!runs.length) {
    return html`
      <h1 class="unseen">Trash</h1>
      <${Empty} title="The trash is empty">
        <p>What is deleted stays here for a day. <a href=${web.project(here)}>Back to the runs</a></p>
      <//>
    `;
  }
  const more = runs.length - shown.value;
  const row = (run) => html`<${Row} key=${run.uuid} here=${here} run=${run} trash=${trash} />`;
  return html`
    <section class="listing">
      <header>
        <h1>Trash</h1>
        <p class="muted">${many(runs.length, "run")}; each is gone for good a day after it was deleted.</p>
      </header>
      <table class="list">
        <thead>
          <tr>
            <th scope="col">Name</th><th scope="col" class="spare">Status</th><th scope="col">Deleted</th>
            <th scope="col" class="spare">Gone in</th>
            <th scope="col"><span class="unseen">Restore</span></th>
          </tr>
        </thead>
        <tbody>${runs.slice(0, shown.value).map(row)}</tbody>
      </table>
      ${more > 0 && html`<${Button} onClick=${() => (shown.value += SHOWN)}>Show more of ${number(more)}<//>`}
    </section>
  `;
}

function Row({ here, run, trash }) {
  const { uuid, name, deleted } = run;
  const restore = async () => {
    trash.hide(uuid, true); // at once
    await restoreRuns(here, [uuid], { onRestored: () => trash.drop(uuid) });
    trash.hide(uuid, false);
  };
  return html`
    <tr>
      <th scope="row"><a href=${web.run(here, uuid)}><bdi>${visible(name)}</bdi></a></th>
      <td class="spare"><${Status} run=${run} /></td>
      <td><time datetime=${deleted} title=${fullDate(deleted)}>${ago(deleted)}</time></td>
      <td class="spare">${remaining(KEPT_MS - since(deleted))}</td>
      <td><${Button} icon="undo" onClick=${restore} label="Restore ${visible(name)}">Restore<//></td>
    </tr>
  `;
}

/** How long something still goes on, in whole hours where it is more than one. */
function remaining(ms) {
  if (ms <= 0) return "a moment";
  return span(ms > HOUR_MS ? Math.ceil(ms / HOUR_MS) * HOUR_MS : ms, 1);
}
