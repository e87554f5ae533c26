// What is known of a run: when, by whom, under which group and tags, its description and notes.

import { query, web } from "../data/address.js";
import { lengthOf, resumed, startOf } from "../data/life.js";
import { cut, many, visible } from "../data/values.js";
import { html } from "../ui.js";
import { eachSecond, Moment } from "./parts/moment.js";

export function RunFacts({ open }) {
  const run = open.run.value;
  const { here } = open;
  const running = run.status === "RUNNING";
  const older = open.older.value;
  const facts = {
    Started: html`<${Moment} iso=${startOf(run)} />`,
    Ended: !running && run.ended && html`<${Moment} iso=${run.ended} />`,
    Duration: html`<${Duration} run=${run} />`,
    "Last point": running && run.last_point && html`<${Moment} iso=${run.last_point} fine />`,
    By: text(run.user.username),
    Id: text(run.id),
    Group: run.group && html`<${Among} here=${here} field="group" value=${run.group} />`,
    "Job type": run.job_type && html`<${Among} here=${here} field="job_type" value=${run.job_type} />`,
    Resumed: resumed(run),
    Files: run.files_pending > 0 && `${many(run.files_pending, "file")} on their way`,
    Address: older > 0 && `the newest of ${many(older + 1, "run")} there`,
  };
  return html`
    <section class="panel" aria-label="Facts">
      <dl class="facts">
        ${Object.entries(facts).map(fact)}
      </dl>
      <${Tags} here=${here} tags=${run.tags ?? []} />
      ${run.description && html`<p class="description">${lines(run.description)}</p>`}
      ${run.notes && html`<section class="notes"><h2>Notes</h2><p tabindex="0">${lines(run.notes)}</p></section>`}
    </section>
  `;
}

function fact([label, value]) {
  return value && html`<div key=${label}><dt>${label}</dt><dd>${value}</dd></div>`;
}

function Duration({ run }) {
  eachSecond();
  return lengthOf(run) ?? "unknown";
}

function Tags({ here, tags }) {
  if (!tags.length) return null;
  return html`
    <ul class="tags" aria-label="Tags">
      ${tags.map((tag) => html`<li key=${tag}><${Among} here=${here} field="tag" value=${tag} kind="tag" /></li>`)}
    </ul>
  `;
}

/** A value that leads to the project's runs that have it. */
function Among({ here, field, value, kind = null }) {
  const address = web.project(here) + query({ where: `${field}=${JSON.stringify(value)}` });
  return html`<a class=${kind} href=${address}><bdi>${cut(visible(value))}</bdi></a>`;
}

const text = (value) => value && html`<bdi>${cut(visible(value))}</bdi>`;
const lines = (value) => html`<bdi>${cut(visible(value, { lines: true }))}</bdi>`;
