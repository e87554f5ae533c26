// A slider with its number.

import { html } from "../../ui.js";

/** `curve` above 1 gives more of the way to the values near the end. */
export function Slider({ label, text = label, value, least = 0, most, step, curve = 1, onInput }) {
  const place = ((value - least) / (most - least)) ** curve;
  const dragged = ({ currentTarget }) => {
    const wanted = least + Number(currentTarget.value) ** (1 / curve) * (most - least);
    onInput(Number(Math.min(most, wanted).toFixed(3)));
  };
  const typed = ({ currentTarget }) => {
    const number = currentTarget.valueAsNumber;
    if (number >= least && number <= most) onInput(number);
    else currentTarget.value = value;
  };
  return html`
    <div class="slider" role="group" aria-label=${label}>
      <span aria-hidden="true">${text}</span>
      <input type="range" min="0" max="1" step="0.005" value=${place} aria-label=${label}
        aria-valuetext=${String(value)}
        onInput=${dragged} />
      <input type="number" min=${least} max=${most} step=${step} value=${value} aria-label="${label}, as a number"
        onChange=${typed} />
    </div>
  `;
}
