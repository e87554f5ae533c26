// What is seen of the horizontal axis: all of it, or a range, which is also typed here.

import { number } from "../data/values.js";
import { span } from "../data/time.js";
import { html } from "../ui.js";
import { Button } from "./parts/button.js";
import { Icon } from "./parts/icon.js";
import { Popover } from "./parts/popover.js";

const CLOCK = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "medium" });
const NOUN = { step: "Steps", time: "Times", relative: "Times" };
const UNIT = { step: "steps", time: "times", relative: "seconds" };

export function RangeChoice({ view }) {
  const range = view.range.value;
  const x = view.x.value;
  const words = range ? rangeText(x, range) : "all";
  const text = html`
    <span class="muted">${NOUN[x]}:</span> <span class="cut" title=${words}>${words}</span><${Icon} name="down" />
  `;
  return html`
    <${Popover} label="Range of ${UNIT[x]}" text=${text} class="range-popover">
      ${(close) => html`<${Ends} view=${view} x=${x} onDone=${close} />`}
    <//>
  `;
}

export function ResetZoom({ view }) {
  const isAll = view.range.value === null;
  const reset = () => isAll || (view.range.value = null);
  return html`
    <${Button} kind="quiet" icon="reset" label="Reset zoom" aria-disabled=${isAll ? "true" : undefined}
      onClick=${reset} />
  `;
}

/** What both ends have in common, such as the day, is said once. */
function rangeText(x, range) {
  if (x === "time") return CLOCK.formatRange(...range.map((end) => end * 1000));
  return range.map((end) => (x === "relative" ? span(end * 1000) : number(Math.round(end)))).join(" – ");
}

function Ends({ view, x, onDone }) {
  const range = view.range.value;
  const take = (event) => {
    event.preventDefault();
    const [from, to] = [...event.currentTarget.querySelectorAll("input")].map((input) => typedEnd(x, input));
    if (from < to) view.range.value = [from, to];
    if (from < to) onDone();
    else event.currentTarget.querySelector(".wrong").textContent = "“From” must be less than “to”.";
  };
  const end = (at, label) => html`
    <label class="field"><span>${label}</span>
      <input type=${x === "time" ? "datetime-local" : "number"} step=${x === "step" ? 1 : "any"} required
        defaultValue=${range ? typeable(x, range[at]) : ""} aria-label="${label}, in ${UNIT[x]}" />
    </label>
  `;
  return html`
    <form onSubmit=${take}>
      ${end(0, "From")}${end(1, "to")}<button class="button primary">Zoom</button>
      <p class="wrong" role="alert"></p>
    </form>
  `;
}

const typedEnd = (x, input) => (x === "time" ? new Date(input.value).getTime() / 1000 : input.valueAsNumber);

/** A number as its field takes it: a date in local time, with seconds. */
function typeable(x, end) {
  if (x === "step") return Math.round(end);
  if (x === "relative") return end;
  const date = new Date(end * 1000);
  return new Date(date - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
