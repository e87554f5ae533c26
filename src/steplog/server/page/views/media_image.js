// An image: small ones enlarged by whole pixels, all of them opened by a click. Until the next one can be drawn, the
// one before stays.

import { imageAt } from "../data/arrival.js";
import { captionOf, mayMove } from "../data/media.js";
import { hasOverlays } from "../data/overlays.js";
import { visible } from "../data/values.js";
import { html, useContext, useEffect, useLayoutEffect, useMemo, useRef, useSignal } from "../ui.js";
import { Classes, Layered } from "./media_overlay.js";
import { Figure, Instead, MediaPlace } from "./media_parts.js";
import { Zoom } from "./media_zoom.js";
import { Check } from "./parts/choice.js";

const ENLARGED = 300; // pixels: what is smaller is shown so large, or almost
const ENLARGED_BESIDE = 200; // of several in a sample
const SIDE_MAX = 16_384;

export function Picture({ value, path, small }) {
  const place = useContext(MediaPlace);
  const shown = useSignal(null); // {src, path, width, height, value}
  const state = useSignal(""); // of the wanted one: "", "absent", "broken"
  const isOpen = useSignal(false);
  const marks = useSignal(true); // whether what is over the image is drawn
  useEffect(() => {
    const ends = new AbortController();
    state.value = "";
    imageAt(path, ends.signal, () => (state.value = "absent")).then(
      ({ src, naturalWidth: width, naturalHeight: height }) => {
        if (ends.signal.aborted) return;
        shown.value = { src, path, width, height, value };
        state.value = "";
      },
      () => ends.signal.aborted || (state.value = "broken"),
    );
    return () => ends.abort();
  }, [path]);
  const isStale = state.value !== ""; // what is shown is the one before
  const label = labelOf(shown.value?.value ?? value, place.name);
  const close = () => (isOpen.value = false);
  return html`
    <${Figure} value=${isStale || !shown.value ? value : shown.value.value} small=${small}>
      ${content()}
      ${isOpen.value && html`<${Zoom} shown=${shown.value} label=${label} place=${place} marks=${marks.value}
        isStale=${isStale} onClose=${close} />`}
    <//>
  `;

  function content() {
    const ratio = ratioOf(value);
    if (isStale) return html`<${Instead} state=${state.value} kind="image" path=${path} ratio=${ratio} />`;
    if (!shown.value) return html`<div class="media-instead" style=${{ aspectRatio: ratio }} aria-busy="true"></div>`;
    return html`
      <button type="button" class="media-open" onClick=${() => (isOpen.value = true)}
        title="Enlarge" aria-busy=${String(shown.value.path !== path)}>
        <${Drawn} shown=${shown.value} label=${label} room=${small ? ENLARGED_BESIDE : ENLARGED} place=${place}
          marks=${marks.value} />
      </button>
      ${hasOverlays(shown.value.value) && html`
        <${Check} checked=${marks.value} onChange=${(on) => (marks.value = on)}>Boxes and masks<//>
        ${marks.value && html`<${Classes} value=${shown.value.value} />`}
      `}
    `;
  }
}

/** The image itself. Where the user wants no motion, what moves stands still until it is opened. */
function Drawn({ shown, label, room, place, marks }) {
  const still = useMemo(() => matchMedia("(prefers-reduced-motion: reduce)").matches, []);
  const { src, width, height, value } = shown;
  const times = Math.max(1, Math.floor(room / Math.max(width, height)));
  const style = { width: `${width * times}px`, aspectRatio: `${width} / ${height}` };
  const kind = times > 1 ? "pixelated" : "";
  if (still && mayMove(value)) {
    return html`<${Still} src=${src} width=${width} height=${height} style=${style} label=${label} />`;
  }
  if (hasOverlays(value)) {
    return html`<${Layered} shown=${shown} kind=${kind} label=${label} style=${style} place=${place} marks=${marks} />`;
  }
  return html`<img class=${kind} src=${src} alt=${label} draggable=${false} style=${style} />`;
}

/** The first frame. */
function Still({ src, width, height, style, label }) {
  const canvas = useRef(null);
  useLayoutEffect(() => {
    const image = new Image();
    image.src = src;
    image.decode().then(() => canvas.current?.getContext("2d").drawImage(image, 0, 0), () => null);
  }, [src]);
  const side = (length) => Math.min(SIDE_MAX, length);
  return html`
    <canvas ref=${canvas} role="img" aria-label=${label} width=${side(width)} height=${side(height)} style=${style}>
    </canvas>
  `;
}

/** The shape of an image that has not come yet, within reason. */
function ratioOf({ width, height }) {
  const isSide = (length) => Number.isSafeInteger(length) && length > 0 && length <= SIDE_MAX;
  return isSide(width) && isSide(height) ? `${width} / ${height}` : "1";
}

function labelOf(value, name) {
  const caption = captionOf(value);
  return visible(caption || `image of ${name}`);
}
