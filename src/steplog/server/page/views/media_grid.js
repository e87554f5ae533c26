// Media beside each other: those of a list, or of an object under their keys.

import { number, visible } from "../data/values.js";
import { html, useSignal } from "../ui.js";
import { Media } from "./media.js";
import { Button } from "./parts/button.js";

const PAGE = 48;

export function MediaGrid({ value }) {
  const shown = useSignal(PAGE);
  const isList = Array.isArray(value);
  const entries = Object.entries(value);
  const left = entries.length - shown.value;
  const one = ([key, each]) => html`
    <li key=${key}>
      ${!isList && html`<h4 class="cut"><bdi>${visible(key)}</bdi></h4>`}
      <${Media} value=${each} small />
    </li>
  `;
  return html`
    <ul class="media-grid">${entries.slice(0, shown.value).map(one)}</ul>
    ${left > 0 && html`<${Button} onClick=${() => (shown.value += PAGE)}>Show more (${number(left)})<//>`}
  `;
}
