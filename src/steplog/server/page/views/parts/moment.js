// A date as its age, in full on hover, which goes on by itself.

import { ago, everySecond, fullDate } from "../../data/time.js";
import { html, signal } from "../../ui.js";

const seconds = signal(0);
everySecond(() => (seconds.value += 1));

/** Whoever calls this while rendering is rendered again each second that the page is visible. */
export const eachSecond = () => seconds.value;

/** `fine`: to the second also in the first minute. */
export function Moment({ iso, fine = false }) {
  eachSecond();
  return html`<time datetime=${iso} title=${fullDate(iso)}>${ago(iso, { fine })}</time>`;
}
