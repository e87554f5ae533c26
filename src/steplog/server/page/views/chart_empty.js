// What is said where there are no charts, and what to do about it.

import { web } from "../data/address.js";
import { visible } from "../data/values.js";
import { batch, html } from "../ui.js";
import { Button } from "./parts/button.js";
import { Code, Empty } from "./parts/empty.js";

/** A project that is not on the server. */
export function NoProject() {
  return html`
    <${Empty} title="No such project">
      <p>
        The server has no project of this name, or you may not see it.${" "}
        <a href=${web.home()}>See those that it has for you.</a>
      </p>
    <//>
  `;
}

/** A project without runs. */
export function NoRun({ here }) {
  const [namespace, project] = [here.namespace, here.project].map((text) => JSON.stringify(text));
  const lines = [
    "import steplog",
    `run = steplog.init(${namespace}, ${project})`,
    'run.log("loss", 0.31, step=0)',
  ];
  return html`
    <${Empty} title="No run yet">
      <p>A run is here as soon as it logs its first value:</p>
      <${Code} text=${lines.join("\n")} label="Copy these lines" />
    <//>
  `;
}

/** Runs, none of which is shown, or none of which the filter finds. `total`: how many it finds, null of a wrong one. */
export function NoRunShown({ view, total }) {
  if (!total && view.where.value) {
    return html`
      <${Empty} title="No run matches">
        <p>No run of this project matches <bdi>“${visible(view.where.value)}”</bdi>.</p>
        <${Button} onClick=${() => (view.where.value = "")}>Show all runs<//>
      <//>
    `;
  }
  const first = () => batch(() => {
    view.first.value = 10;
    view.added.value = [];
    view.removed.value = [];
  });
  return html`
    <${Empty} title="No run is shown">
      <p>Tick runs in the table to see their charts here.</p>
      <${Button} onClick=${first}>Show the first 10 runs<//>
    <//>
  `;
}

/** No metric that could be drawn, or none that the search finds. */
export function NoMetric({ view, names }) {
  const text = view.metrics.value.trim();
  if (text && names.some(({ numeric }) => numeric)) {
    return html`
      <${Empty} title="No metric matches">
        <p>No name matches <bdi>“${visible(text)}”</bdi>. All words must be in a name; <code>/loss$/</code> is a
          regular expression.</p>
        <${Button} onClick=${() => (view.metrics.value = "")}>Clear the search<//>
      <//>
    `;
  }
  return names.length
    ? html`<${Empty} title="No numbers"><p>What was logged are texts and the like.</p>
        <${Button} onClick=${() => (view.tab.value = "samples")}>Show the samples<//><//>`
    : html`<${Empty} title="No metric yet"><p>Charts are here as soon as a run logs a number:</p>
        <${Code} text=${'run.log("loss", 0.31, step=0)'} label="Copy this line" /><//>`;
}
