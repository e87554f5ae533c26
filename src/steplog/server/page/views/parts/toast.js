// What has just been done, for some seconds, with one thing to do about it, such as to undo it.

import { html, signal, useEffect, useRef } from "../../ui.js";
import { Button } from "./button.js";

const SHOWN_MS = 6000;
const WITH_ACTION_MS = 12_000;

const told = signal(null); // {text, action, link, number}
let number = 0;

/** Say something; `action`: `{text, onClick}`, `link`: `{text, href}`. What was said before goes. */
export function tell(text, action = null, link = null) {
  told.value = { text, action, link, number: ++number };
}

/** Where it is said. It stays while it is pointed at or has the focus. */
export function Toast() {
  const element = useRef(null);
  const { text, action, link, number: which } = told.value ?? {};
  useEffect(() => {
    if (which === undefined) return undefined;
    const { current } = element;
    current.hidePopover?.();
    current.showPopover?.(); // above a dialog that is open
    const end = () => current.matches(":hover, :focus-within") ? (timer = setTimeout(end, 1000)) : (told.value = null);
    let timer = setTimeout(end, action ? WITH_ACTION_MS : SHOWN_MS);
    return () => clearTimeout(timer);
  }, [which]);
  const act = () => {
    told.value = null;
    action.onClick();
  };
  const button = action && html`<${Button} kind="quiet" onClick=${act}>${action.text}<//>`;
  return html`
    <div class="toast" ref=${element} popover="manual" hidden=${!text}>
      <span role="status">${text}</span>${link && html`<a class="button quiet" href=${link.href}>${link.text}</a>`}
      ${button}
    </div>
  `;
}
