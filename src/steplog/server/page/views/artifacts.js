// Versions of artifacts: a line each, which opens to its description, metadata and files.

import { api, web } from "../data/address.js";
import { sizeOf } from "../data/media.js";
import { artifactAt } from "../data/run_files.js";
import { many, number, visible } from "../data/values.js";
import { html, useSignal } from "../ui.js";
import { FilesTree } from "./files_tree.js";
import { useLoaded } from "./media_parts.js";
import { Button } from "./parts/button.js";
import { Icon } from "./parts/icon.js";
import { Moment } from "./parts/moment.js";
import { SampleTree } from "./samples_tree.js";

const PAGE = 100;

/** `withRun`: say which run has logged each. */
export function ArtifactList({ here, artifacts, withRun = false }) {
  const shown = useSignal(PAGE);
  const left = artifacts.length - shown.value;
  const one = (artifact) => html`
    <${Version} key=${artifact.uuid} here=${here} artifact=${artifact} withRun=${withRun} />
  `;
  return html`
    <ul class="files artifacts">${artifacts.slice(0, shown.value).map(one)}</ul>
    ${left > 0 && html`<${Button} onClick=${() => (shown.value += PAGE)}>Show more (${number(left)})<//>`}
  `;
}

function Version({ here, artifact, withRun }) {
  const open = useSignal(false);
  const { name, type, version, aliases, count, size, present, date_created: date } = artifact;
  const called = `${visible(name)}:v${version}`;
  const alias = (each) => html`<li key=${each}><span class="tag"><bdi>${visible(each)}</bdi></span></li>`;
  const missing = present < count ? `, ${number(count - present)} not here yet` : "";
  return html`
    <li>
      <div class="file">
        <button type="button" class="fold-name" aria-expanded=${String(open.value)}
          onClick=${() => (open.value = !open.value)}>
          <${Icon} name="chevron" turned=${open.value} /><bdi>${called}</bdi>
        </button>
        <bdi class="muted">${visible(type)}</bdi>
        ${aliases.length > 0 && html`<ul class="tags" aria-label="Aliases of ${called}">${aliases.map(alias)}</ul>`}
        <span class="muted figures">${many(count, "file")}, ${sizeOf(size)}${missing}</span>
        <span class="muted">
          ${date && html`<${Moment} iso=${date} />`}${withRun && html`<${By} ...${artifact} here=${here} />`}
        </span>
      </div>
      ${open.value && html`<${Detail} key=${present} here=${here} artifact=${artifact} />`}
    </li>
  `;
}

function By({ here, run, run_name: name }) {
  return run && html`<span> by <a href=${web.run(here, run)}><bdi>${visible(name)}</bdi></a></span>`;
}

function Detail({ here, artifact }) {
  const { state, found } = useLoaded((signal) => artifactAt(here, artifact, signal));
  const { name, version, description, metadata } = artifact;
  const address = ({ path }) => api.artifactFile(here, name, `v${version}`, path);
  if (state) return html`<p class="muted file-shown">This version is not there any more.</p>`;
  return html`
    <div class="file-shown">
      ${description && html`<p class="description"><bdi>${visible(description, { lines: true })}</bdi></p>`}
      ${Object.keys(metadata ?? {}).length > 0 && html`<${SampleTree} value=${metadata} />`}
      ${found ? html`<${FilesTree} files=${found.files} address=${address} label="Files of ${visible(name)}" />`
        : html`<p class="muted" aria-busy="true">…</p>`}
    </div>
  `;
}
