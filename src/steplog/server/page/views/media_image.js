// An image: small ones enlarged by whole pixels, all of them opened by a click. Until the next one can be drawn, the one
// before stays.

import { imageAt } from "../data/arrival.js";
import { captionOf, mayMove } from "../data/media.js";
import { visible } from "../data/values.js";
import { html, useContext, useEffect, useLayoutEffect, useMemo, useRef, useSignal } from "../ui.js";
import { Figure, Instead, MediaPlace } from "./media_parts.js";
import { Zoom } from "./media_zoom.js";

const ENLARGED = 300; // pixels: what is smaller is shown so large, or almost
const ENLARGED_BESIDE = 200; // of several in a sample
const SIDE_MAX = 16_384;

export function Picture({ value, path, small }) {
  const place = useContext(MediaPlace);
  const shown = useSignal(null); // {src, path, width, height, value}
  const state = useSignal(""); // of the wanted one: "", "absent", "broken"
  const isOpen = useSignal(false);
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
  if (state.value || !shown.value) {
    const instead = state.value
      ? html`<${Instead} state=${state.value} kind="image" path=${path} ratio=${ratioOf(value)} />`
      : html`<div class="media-instead" style=${{ aspectRatio: ratioOf(value) }} aria-busy="true"></div>`;
    return html`<${Figure} value=${value} small=${small}>${instead}<//>`;
  }
  const label = labelOf(shown.value.value, place.name);
  return html`
    <${Figure} value=${shown.value.value} small=${small}>
      <button type="button" class="media-open" onClick=${() => (isOpen.value = true)}
        title="Enlarge" aria-busy=${String(shown.value.path !== path)}>
        <${Drawn} shown=${shown.value} label=${label} room=${small ? ENLARGED_BESIDE : ENLARGED} />
      </button>
      ${isOpen.value && html`<${Zoom} shown=${shown.value} label=${label} place=${place}
        onClose=${() => (isOpen.value = false)} />`}
    <//>
  `;
}

/** The image itself. Where the user wants no motion, what moves stands still until it is opened. */
function Drawn({ shown, label, room }) {
  const still = useMemo(() => matchMedia("(prefers-reduced-motion: reduce)").matches, []);
  const { src, width, height, value } = shown;
  const times = Math.max(1, Math.floor(room / Math.max(width, height)));
  const style = { width: `${width * times}px`, aspectRatio: `${width} / ${height}` };
  const kind = times > 1 ? "pixelated" : "";
  if (still && mayMove(value)) {
    return html`<${Still} src=${src} width=${width} height=${height} style=${style} label=${label} />`;
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
