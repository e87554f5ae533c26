// The samples of one metric and run at a step: one of them, which of how many, and whether it is of another step.

import { briefMedia } from "../data/media.js";
import { json, number, visible } from "../data/values.js";
import { html, useEffect, useMemo, useRef, useSignal } from "../ui.js";
import { MediaPlace } from "./media_parts.js";
import { Button } from "./parts/button.js";
import { Copy } from "./parts/copy.js";
import { SampleValue } from "./samples_value.js";

const KIB = 1024;

/** `other`: the run whose sample this one is compared with, or null. `alone`: there is no other run. */
export function SampleCell({ samples, view, run, name, step, alone, other }) {
  const nth = view.nth.value;
  const before = useRef(null); // what is shown until the samples of another step have come
  const here = samples.at(run.uuid, name, step, nth).value;
  const busy = here === null;
  const found = here ?? before.current;
  before.current = found;
  const beside = other ? samples.at(other.uuid, name, step, nth).value : null;
  const listed = samples.listed.value?.uuid === run.uuid && samples.chosen.value[0] === name;
  const at = placeIn(found, nth, listed && !busy ? samples.time.value : null);
  useEffect(() => {
    if (!busy && listed && at !== null && found.exact && found.first + at !== nth) view.nth.value = found.first + at;
  }, [listed, at, found, busy]);
  const row = at === null ? null : found.rows[at];
  const swatch = html`<span class="sample-swatch" style=${{ background: run.colour }}></span>`;
  const text = () => textOf(samples, run.uuid, name, found, at);
  const head = html`
    <header>
      <h3 class="cut">${alone ? null : swatch}<bdi>${visible(alone ? name : run.name)}</bdi></h3>
      ${!busy && html`<${Which} samples=${samples} view=${view} found=${found} at=${at} />`}
      ${row && !busy && html`<${Copy} text=${text} label="Copy this sample" />`}
    </header>
  `;
  const compared = beside?.rows[placeIn(beside, nth, null) ?? -1]?.value ?? null;
  const place = useMemo(() => {
    return {
      name,
      address: (id) => samples.address(run.uuid, id),
      move: (by) => samples.move(by),
      show: (step) => samples.show(step),
      latest: (count) => samples.latest(run.uuid, name, count),
    };
  }, [run.uuid, name]);
  return html`
    <article class="sample" aria-label="Sample of ${visible(run.name)}" aria-busy=${String(busy)}>
      ${head}
      <${MediaPlace.Provider} value=${place}>
        ${content({ samples, run, name, found, at, find: view.find.value, beside: compared })}
      <//>
    </article>
  `;
}

function content({ samples, run, name, found, at, find, beside }) {
  if (!found) return html`<p class="muted">…</p>`;
  if (at === null) return html`<p class="muted">This run has no such sample.</p>`;
  const row = found.rows[at];
  const isMedia = row.bytes === undefined && typeof row.value !== "string" && briefMedia(row.value) !== null;
  const key = isMedia ? "media" : `${row.step} ${row.time}`; // an image stays until the next one has come
  if (row.bytes === undefined) {
    return html`<${SampleValue} key=${key} value=${row.value} find=${find} beside=${beside} />`;
  }
  const whole = () => samples.whole(run.uuid, name, found, row);
  return html`<${CutValue} key=${key} whole=${whole} row=${row} find=${find} />`;
}

/** The place among what was found, by the time of the sample that was chosen, else by its number. */
function placeIn(found, nth, time) {
  if (!found?.rows.length) return null;
  const timed = time === null ? -1 : found.rows.findIndex((row) => row.time === time);
  return timed >= 0 ? timed : Math.max(0, Math.min(found.rows.length - 1, nth - found.first));
}

/** In words: another step, one of several. */
function Which({ samples, view, found, at }) {
  if (!found || at === null) return null;
  if (!found.exact && String(found.rows[at].step) !== view.step.value) {
    return html`<span class="muted figures">nearest: step ${number(found.rows[at].step)}</span>`;
  }
  const count = found.rows.length;
  if (count < 2 && !found.first) return null;
  const go = (by) => () => {
    samples.time.value = null;
    view.nth.value = found.first + at + by;
  };
  const place = found.first + at;
  return html`
    <span class="which figures">
      <${Button} kind="quiet" icon="back" label="Sample before, of this step" disabled=${!place} onClick=${go(-1)} />
      <span class="muted">${number(place + 1)} of ${number(found.first + count)}</span>
      <${Button} kind="quiet" icon="chevron" label="Next sample of this step" disabled=${at + 1 >= count}
        onClick=${go(1)} />
    </span>
  `;
}

/** The beginning of a value that is long, and a button that shows all. */
function CutValue({ whole, row, find }) {
  const all = useSignal(undefined);
  const asking = useSignal(false);
  if (all.value !== undefined) return html`<${SampleValue} value=${all.value} find=${find} />`;
  const show = async () => {
    asking.value = true;
    all.value = await whole().catch(() => undefined);
    asking.value = false;
  };
  return html`
    <${SampleValue} value=${row.value} find=${find} />
    <${Button} onClick=${show} disabled=${asking.value}>Show all (${size(row.bytes)})<//>
  `;
}

async function textOf(samples, uuid, name, found, at) {
  const row = found.rows[at];
  const value = row.bytes === undefined ? row.value : await samples.whole(uuid, name, found, row);
  return typeof value === "string" ? value : json(value, 2);
}

const size = (bytes) => (bytes < KIB * KIB ? `${Math.ceil(bytes / KIB)} KiB` : `${(bytes / KIB / KIB).toFixed(1)} MiB`);
