// The tab of files: what a run has saved, and its artifacts; of a project, the artifacts of all its runs.

import { api } from "../data/address.js";
import { Artifacts, RunFiles } from "../data/run_files.js";
import { many } from "../data/values.js";
import { html, useEffect, useMemo } from "../ui.js";
import { ArtifactList } from "./artifacts.js";
import { FilesTree } from "./files_tree.js";
import { Code, Empty } from "./parts/empty.js";

const SAVE = `run.save("checkpoints/*.pt")
run.log_artifact("model/", name="mnist-cnn", type="model")`;
const LOG = `run.log_artifact("model/", name="mnist-cnn", type="model")`;

/** `run`: a signal of the run's JSON. */
export function RunFilesTab({ here, run }) {
  const files = useMemo(() => new RunFiles(here, run), []);
  useFollowed(files);
  if (!files.isKept.value) return html`<${NotKept} />`;
  if (files.files.value === null) return html`<div class="files-tab" aria-busy="true"></div>`;
  return html`<${OfRun} here=${here} run=${run.value} files=${files} />`;
}

function OfRun({ here, run, files }) {
  const { uuid, files_pending: pending } = run;
  const logged = useMemo(() => new Artifacts(here, { run: uuid }), []);
  const used = useMemo(() => new Artifacts(here, { used_by: uuid }), []);
  useFollowed(logged, used);
  const [saved, artifacts, inputs] = [files.files.value, logged.all.value, used.all.value];
  if (artifacts && inputs && !saved.length && !artifacts.length && !inputs.length && !pending) {
    return html`<${Empty} title="No files"><p>A run saves files like this:</p><${Code} text=${SAVE} /><//>`;
  }
  const address = ({ id }) => api.file(here, uuid, id);
  return html`
    <div class="files-tab">
      ${pending > 0 && html`<p class="files-coming" role="status">${many(pending, "file")} on their way.</p>`}
      ${saved.length > 0 && html`
        <section aria-label="Saved files">
          <h2>Files</h2>
          <${FilesTree} files=${saved} address=${address} label="Saved files" />
          ${files.isCut.value && html`<p class="muted">There are more: <code>run.files()</code> lists all.</p>`}
        </section>
      `}
      <${List} here=${here} title="Artifacts logged" artifacts=${artifacts} />
      <${List} here=${here} title="Artifacts used" artifacts=${inputs} withRun />
    </div>
  `;
}

/** All artifacts of a project. */
export function ArtifactsTab({ here }) {
  const artifacts = useMemo(() => new Artifacts(here), []);
  useFollowed(artifacts);
  const all = artifacts.all.value;
  if (!artifacts.isKept.value) return html`<${NotKept} />`;
  if (all === null) return html`<div class="files-tab" aria-busy="true"></div>`;
  if (!all.length) {
    return html`<${Empty} title="No artifacts"><p>A run logs one like this:</p><${Code} text=${LOG} /><//>`;
  }
  return html`<div class="files-tab"><${List} here=${here} title="Artifacts" artifacts=${all} withRun /></div>`;
}

function List({ here, title, artifacts, withRun }) {
  if (!artifacts?.length) return null;
  return html`
    <section aria-label=${title}>
      <h2>${title}</h2>
      <${ArtifactList} here=${here} artifacts=${artifacts} withRun=${withRun} />
    </section>
  `;
}

function NotKept() {
  return html`
    <${Empty} title="No files">
      <p>This server keeps no files: they stay on the machines of the runs. A folder keeps them
        here: <code>steplog serve --blobs FOLDER</code></p>
    <//>
  `;
}

function useFollowed(...data) {
  useEffect(() => {
    const ends = data.map((each) => each.follow());
    return () => ends.forEach((end) => end());
  }, []);
}
