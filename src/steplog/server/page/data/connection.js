// Whether the server answers, and what there is to say about that. Views show it once, in one place.

import { computed, signal } from "../ui.js";
import { clock } from "./time.js";

const heard = signal(null); // when it last answered
const away_s = signal(0); // until the next try; 0 while it answers

/** What is to be noticed: `{text, kind}`; kind is "info", "away" or "gone". */
export const said = signal(null);

/** When the server last answered, as text. */
export const pulse = computed(() => heard.value && `as of ${clock(heard.value)}`);

export const notice = computed(() => {
  if (!away_s.value) return said.value;
  const shown = heard.value ? ` What is shown is from ${clock(heard.value)}.` : "";
  return { kind: "away", text: `The server does not answer; trying again in ${away_s.value} s.${shown}` };
});

/** Note an answer, by 0, or that there was none: the seconds until the next try. */
export function standing(seconds) {
  away_s.value = seconds;
  if (!seconds) heard.value = new Date();
}
