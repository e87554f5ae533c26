// A modal dialog. The focus goes into it, and back to where it was.

import { html, useId, useLayoutEffect, useRef } from "../../ui.js";
import { Button } from "./button.js";

/**
 * `label` is the title as a text, where it is not one. `kind`: "" or "large", which fills the window. `actions` are
 * buttons at its end, `tools` those beside the title.
 */
export function Dialog({ title, label, kind = "", onClose, actions, tools, children, ...rest }) {
  const dialog = useRef(null);
  const id = useId();
  useLayoutEffect(() => {
    const { current } = dialog;
    current.showModal();
    return () => current.close();
  }, []);
  const cancel = (event) => {
    if (event.target !== dialog.current) return;
    event.preventDefault();
    onClose();
  };
  const besides = (event) => event.target === dialog.current && onClose();
  return html`
    <dialog class="dialog ${kind}" ref=${dialog} aria-labelledby=${id} onCancel=${cancel} onPointerDown=${besides}
      ...${rest}>
      <div class="inside">
        <header><h2 id=${id} aria-label=${label}>${title}</h2>${tools}<${Button} kind="quiet" icon="close" label="Close"
          onClick=${onClose} /></header>
        <div class="body">${children}</div>
        ${actions && html`<footer>${actions}</footer>`}
      </div>
    </dialog>
  `;
}
