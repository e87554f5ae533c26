// Copying a text, with a word that it was done.

import { html } from "../../ui.js";
import { Button } from "./button.js";
import { tell } from "./toast.js";

/** A button that copies `text`, which may be a function that gives it. */
export function Copy({ text, label = "Copy", done, children, ...rest }) {
  const copy = async () => copied(typeof text === "function" ? await text() : text, done);
  return html`<${Button} kind="quiet" icon="copy" label=${label} onClick=${copy} ...${rest}>${children}<//>`;
}

/** Copy a text; says so, or that it was not. */
export async function copied(text, done = "Copied.") {
  tell((await written(text)) ? done : "This browser does not let the page copy.");
}

async function written(text) {
  if (await navigator.clipboard?.writeText(text).then(() => true, () => false)) return true;
  // Over plain HTTP from another machine there is no clipboard but this.
  const area = document.createElement("textarea");
  const focused = document.activeElement;
  area.value = text;
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  focused?.focus();
  return done;
}
