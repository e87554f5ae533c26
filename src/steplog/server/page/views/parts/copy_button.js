// A button that copies a text.

import { html, useEffect, useSignal } from "../../ui.js";

const SAID_MS = 2000;

/** `text`: a function that gives it. */
export function CopyButton({ text, children }) {
  const said = useSignal("");
  useEffect(() => {
    if (!said.value) return undefined;
    const timer = setTimeout(() => (said.value = ""), SAID_MS);
    return () => clearTimeout(timer);
  }, [said.value]);
  const copy = async () => {
    said.value = "";
    said.value = (await copied(text())) ? "Copied" : "The browser refuses to copy";
  };
  return html`
    <button type="button" class="copy" onClick=${copy}>${said.value || children}</button>
    <span class="unseen" role="status">${said.value}</span>
  `;
}

/** Copy a text; returns whether that was possible. Pages of other machines without TLS have no clipboard of their own. */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "unseen";
    document.body.append(area);
    const focused = document.activeElement;
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    focused?.focus();
    return done;
  }
}
