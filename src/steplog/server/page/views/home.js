// The projects of all namespaces, the last active first.

import { web } from "../data/address.js";
import { Projects, activity } from "../data/projects.js";
import { ago, fullDate } from "../data/time.js";
import { many, number, visible } from "../data/values.js";
import { html, useEffect, useMemo, useSignal } from "../ui.js";
import { Button } from "./parts/button.js";
import { Code, Empty } from "./parts/empty.js";
import { SearchField } from "./parts/search_field.js";

const SHOWN = 200; // at first
const SEARCHED = 10; // with fewer there is nothing to search
const FIRST_RUN = `import steplog

run = steplog.init(project="mnist")
run.log("loss", 0.31, step=7)`;

export function Home() {
  const projects = useMemo(() => new Projects(), []);
  const words = useSignal("");
  const shown = useSignal(SHOWN);
  useEffect(() => projects.follow(), []);
  const all = projects.all.value;
  if (!all) return html`<h1>Projects</h1>`;
  if (!all.length) {
    return html`
      <h1 class="unseen">Projects</h1>
      <${Empty} title="No project yet">
        <p>A program makes one when it begins a run:</p><${Code} text=${FIRST_RUN} />
      <//>
    `;
  }
  const found = all.filter((project) => matches(project, words.value));
  const more = found.length - shown.value;
  return html`
    <section class="listing">
      <header>
        <h1>Projects</h1>
        ${all.length > SEARCHED && html`
          <${SearchField} label="Search projects" value=${words.value} onInput=${(text) => (words.value = text)} />
        `}
      </header>
      <table class="list">
        <thead>
          <tr>
            <th scope="col">Project</th><th scope="col" class="figures">Runs</th>
            <th scope="col" class="figures">Running</th><th scope="col">Last activity</th>
          </tr>
        </thead>
        <tbody>${found.slice(0, shown.value).map(row)}</tbody>
      </table>
      <p class="muted" role="status">${found.length ? "" : `None of ${many(all.length, "project")} is called so.`}</p>
      ${more > 0 && html`<${Button} onClick=${() => (shown.value += SHOWN)}>Show more of ${number(more)}<//>`}
    </section>
  `;
}

const row = (project) => html`<${Row} key=${project.uuid} project=${project} />`;

function Row({ project }) {
  const { namespace, slug, display_name: name, runs, running } = project;
  const date = new Date(activity(project)).toISOString();
  return html`
    <tr>
      <th scope="row">
        <a href=${web.project({ namespace, project: slug })}>
          <bdi class="muted">${visible(namespace)}</bdi><span class="muted"> / </span><bdi>${visible(name)}</bdi>
        </a>
      </th>
      <td class="figures">${number(runs)}</td>
      <td class="figures">${running ? html`<span class="status running">${number(running)}</span>` : ""}</td>
      <td><time datetime=${date} title=${fullDate(date)}>${ago(date)}</time></td>
    </tr>
  `;
}

/** Whether a project has all the words in its name or its namespace's. */
function matches({ namespace, slug, display_name: name }, words) {
  const text = `${namespace}/${name}/${slug}`.toLowerCase();
  return words.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}
