// What is dragged to divide the room between two panels; the browser remembers where it was left.

import { html, useLayoutEffect, useRef, useSignal } from "../../ui.js";

const STEP = 24;

/** Sets the length of `property` of the element around it: between `least` and `most` pixels, `start` at first. */
export function Splitter({ label, property, name, start, least, most }) {
  const element = useRef(null);
  const width = useSignal(remembered(name) ?? start);
  const set = (wanted) => {
    width.value = Math.round(Math.max(least, Math.min(most(), wanted)));
    try {
      localStorage.setItem(name, width.value);
    } catch {
      // It is remembered nowhere, then.
    }
  };
  useLayoutEffect(() => element.current.parentElement.style.setProperty(property, `${width.value}px`), [width.value]);
  const drag = (event) => {
    const from = width.value - event.clientX;
    const { currentTarget: target } = event;
    target.setPointerCapture(event.pointerId);
    target.onpointermove = ({ clientX }) => set(from + clientX);
    target.onpointerup = target.onpointercancel = () => (target.onpointermove = null);
    event.preventDefault();
  };
  const move = (event) => {
    const to = { ArrowLeft: width.value - STEP, ArrowRight: width.value + STEP, Home: least, End: most() }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    set(to);
  };
  return html`
    <div class="splitter" role="separator" tabindex="0" ref=${element} aria-label=${label} aria-orientation="vertical"
      aria-valuenow=${width.value} aria-valuemin=${least} aria-valuemax=${most()} onPointerDown=${drag}
      onKeyDown=${move} onDblClick=${() => set(start)}></div>
  `;
}

function remembered(name) {
  try {
    return Number(localStorage.getItem(name)) || null;
  } catch {
    return null;
  }
}
