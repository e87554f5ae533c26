// An image that fills the window: zoomed by wheel, keys and buttons, moved by dragging. Page keys go from step to step.

import { html, useEffect, useLayoutEffect, useRef, useSignal } from "../ui.js";
import { Layered } from "./media_overlay.js";
import { Download } from "./media_parts.js";
import { Button } from "./parts/button.js";
import { Dialog } from "./parts/dialog.js";

const FACTOR = 1.25;
const SIDE_MAX = 60_000; // pixels: browsers lay out no more
const TIMES_MAX = 64;
const WHOLE = 2; // from this scale on pixels have edges
const ZOOMS = { "+": FACTOR, "=": FACTOR, "-": 1 / FACTOR };
const MOVES = { PageUp: -1, PageDown: 1 };
const MOVES_OF_WHOLE = { ArrowLeft: -1, ArrowRight: 1 }; // of what is larger than the window arrows move the image

/**
 * `shown`: `{src, path, width, height, value}`, which may become another image while it is open. `isStale`: the one
 * that is wanted cannot be shown.
 */
export function Zoom({ shown, label, place, marks, isStale, onClose }) {
  const room = useRef(null);
  const size = useSignal(null); // of the room: {width, height}
  const chosen = useSignal(null); // the scale; null: as large as there is room
  const held = useRef(null); // what stays where it is while the scale changes
  const fit = size.value ? fitting(shown, size.value) : null;
  const scale = chosen.value ?? fit;
  const zoom = (factor, at = middle(room.current)) => {
    const most = Math.max(fit, Math.min(TIMES_MAX, SIDE_MAX / Math.max(shown.width, shown.height)));
    const next = Math.min(most, scale * factor);
    held.current = { at, share: shareAt(room.current.firstElementChild, at) };
    chosen.value = next <= fit ? null : next;
  };
  useSize(room, size);
  useWheel(room, zoom);
  useLayoutEffect(() => {
    if (held.current) holdStill(room.current, held.current);
    held.current = null;
  }, [scale]);
  const keyed = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const moves = chosen.value === null ? { ...MOVES, ...MOVES_OF_WHOLE } : MOVES;
    if (place.move && Object.hasOwn(moves, event.key)) place.move(moves[event.key]);
    else if (Object.hasOwn(ZOOMS, event.key)) zoom(ZOOMS[event.key]);
    else if (event.key === "0") chosen.value = null;
    else return;
    event.preventDefault();
  };
  const tools = html`
    <${Button} kind="quiet" icon="minus" label="Zoom out" disabled=${chosen.value === null}
      onClick=${() => zoom(1 / FACTOR)} />
    <${Button} kind="quiet" class="figures roomy" title="Show all of it" onClick=${() => (chosen.value = null)}>
      ${scale === null ? "" : `${Math.round(scale * 100)} %`}<//>
    <${Button} kind="quiet" icon="plus" label="Zoom in" onClick=${() => zoom(FACTOR)} />
    ${place.move && html`
      <${Button} kind="quiet" icon="back" label="Step before" onClick=${() => place.move(-1)} />
      <${Button} kind="quiet" icon="chevron" label="Next step" onClick=${() => place.move(1)} />
    `}
    <${Download} path=${shown.path} label="Download this image" children="" />
  `;
  const sides = scale && { width: `${shown.width * scale}px`, height: `${shown.height * scale}px` };
  const title = isStale ? "This image is not here" : label;
  return html`
    <${Dialog} kind="large" title=${html`<bdi class="cut">${title}</bdi>`} label=${title} tools=${tools}
      onKeyDown=${keyed} onClose=${onClose}>
      <div class="zoom ${isStale ? "stale" : ""}" tabindex="0" role="group" aria-label="Image" ref=${room}
        ...${dragging(room)}>
        <${Layered} shown=${shown} kind=${scale >= WHOLE ? "pixelated" : ""} label="${label}, enlarged" style=${sides}
          place=${place} marks=${marks} />
      </div>
    <//>
  `;
}

/** The scale at which all of it is seen: a whole number, where its pixels are seen as such. */
function fitting({ width, height }, room) {
  const scale = Math.min(room.width / width, room.height / height);
  return scale >= WHOLE ? Math.min(TIMES_MAX, Math.floor(scale)) : scale;
}

function useSize(room, size) {
  useLayoutEffect(() => {
    const resized = new ResizeObserver(() => {
      const { clientWidth: width, clientHeight: height } = room.current;
      if (width && height) size.value = { width, height };
    });
    resized.observe(room.current.parentElement);
    return () => resized.disconnect();
  }, []);
}

/** The wheel zooms at the pointer. */
function useWheel(room, zoom) {
  const latest = useRef(null);
  latest.current = zoom;
  useEffect(() => {
    const turned = (event) => {
      event.preventDefault();
      latest.current(FACTOR ** (-Math.sign(event.deltaY)), { x: event.clientX, y: event.clientY });
    };
    const element = room.current;
    element.addEventListener("wheel", turned, { passive: false });
    return () => element.removeEventListener("wheel", turned);
  }, []);
}

/** The mouse moves what it has pressed; fingers scroll by themselves. */
function dragging(room) {
  return {
    onPointerDown: (event) => {
      if (event.pointerType === "touch" || event.button) return;
      room.current.setPointerCapture(event.pointerId);
    },
    onPointerMove: (event) => {
      if (event.pointerType === "touch" || !room.current.hasPointerCapture(event.pointerId)) return;
      room.current.scrollLeft -= event.movementX;
      room.current.scrollTop -= event.movementY;
    },
  };
}

function middle(element) {
  const { left, top, width, height } = element.getBoundingClientRect();
  return { x: left + width / 2, y: top + height / 2 };
}

/** How far along the image's sides a place is. */
function shareAt(image, { x, y }) {
  const { left, top, width, height } = image.getBoundingClientRect();
  return { x: (x - left) / width, y: (y - top) / height };
}

function holdStill(room, { at, share }) {
  const { left, top, width, height } = room.firstElementChild.getBoundingClientRect();
  room.scrollLeft += left + share.x * width - at.x;
  room.scrollTop += top + share.y * height - at.y;
}
