// What opens beside its button and closes by itself: by Escape, or a click elsewhere.

import { html, useId, useRef, useSignal } from "../../ui.js";
import { Button } from "./button.js";

const GAP = 4;
const EDGE = 8;

/**
 * A button and what it opens: `children(close)` gives its content, which exists while it is open.
 *
 * `role` and `label` are those of what opens; `name` is the button's, if it has no text. `onOpen(element)` is called
 * when it is in its place, and may set the focus.
 */
export function Popover({ label, role = "dialog", name, icon, kind, text, onOpen, children, class: more, ...rest }) {
  const id = useId();
  const button = useRef(null);
  const panel = useRef(null);
  const open = useSignal(false);
  const close = () => panel.current?.hidePopover();
  const before = ({ newState }) => newState === "open" && (open.value = true);
  const after = ({ newState }) => {
    open.value = newState === "open";
    if (!open.value || !button.current) return;
    placeBeside(button.current, panel.current);
    onOpen?.(panel.current);
  };
  const popup = role === "menu" ? "menu" : "dialog";
  return html`
    <${Button} element=${button} icon=${icon} kind=${kind} label=${text ? undefined : (name ?? label)}
      popovertarget=${id}
      aria-haspopup=${popup} aria-expanded=${String(open.value)} ...${rest}>${text}<//>
    <div class="popover ${more ?? ""}" id=${id} popover="auto" role=${role} aria-label=${label} ref=${panel}
      onBeforeToggle=${before} onToggle=${after}>${open.value && children(close)}</div>
  `;
}

/** Below its button where there is room, else above; within the window. */
function placeBeside(button, panel) {
  const from = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = panel;
  const below = innerHeight - from.bottom - GAP - EDGE;
  const above = from.top - GAP - EDGE;
  const under = height <= below || below >= above;
  const top = under ? from.bottom + GAP : Math.max(EDGE, from.top - GAP - height);
  const start = from.left + width + EDGE <= innerWidth ? from.left : from.right - width;
  panel.style.top = `${top}px`;
  panel.style.left = `${Math.max(EDGE, Math.min(start, innerWidth - width - EDGE))}px`;
  panel.style.maxHeight = `${Math.max(120, under ? below : above)}px`;
}
