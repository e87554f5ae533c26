// Pinning a chart, which moves its card to the section of pinned ones, or back.

import { toggled } from "../data/sections.js";
import { visible } from "../data/values.js";
import { tell } from "./parts/toast.js";

/** Pin a chart that is not, or the other way round. The focus stays where it was, on the card that is there then. */
export function pin({ view }, { key, title }) {
  const card = document.activeElement?.closest(".card");
  const around = [".section", ".charts"].map((selector) => card?.closest(selector));
  const places = card && [card.nextElementSibling, card.previousElementSibling, ...around];
  const before = view.pins.value;
  view.pins.value = toggled(before, key);
  const done = before.includes(key) ? "Unpinned" : "Pinned";
  tell(`${done} ${visible(title)}.`, { text: "Undo", onClick: () => (view.pins.value = before) });
  if (places) requestAnimationFrame(() => places.some(focusIn));
}

/** Focus the first button in an element that is still there; returns whether it could. */
function focusIn(element) {
  const button = element?.isConnected ? element.querySelector(".card-tools button, h2 button, input") : null;
  button?.focus({ preventScroll: true });
  return Boolean(button);
}
