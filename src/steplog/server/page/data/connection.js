// Whether the server answers, and what there is to say about that. Views show it once, in one place.

import { computed, signal } from "../ui.js";
import { clock } from "./time.js";

const SAID_S = 2; // one request may fail by chance: the first wait is shorter

const heard = signal(null); // when it last answered
const isAway = signal(false);

/** What is to be noticed: `{text, kind}`; kind is "info", "away" or "gone". */
export const said = signal(null);

/** When the server last answered, as text. */
export const pulse = computed(() => heard.value && `as of ${clock(heard.value)}`);

export const notice = computed(() => {
  if (!isAway.value) return said.value;
  const shown = heard.value ? ` What is shown is from ${clock(heard.value)}.` : "";
  return { kind: "away", text: `The server does not answer. This page goes on when it does.${shown}` };
});

/** Note an answer, by 0, or that there was none: the seconds until the next try. `outage.js` does. */
export function standing(seconds) {
  if (!seconds) heard.value = new Date();
  isAway.value = seconds > 0 && (isAway.value || seconds >= SAID_S);
}
