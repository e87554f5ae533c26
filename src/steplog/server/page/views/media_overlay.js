// Boxes and masks over an image.

import { imageAt } from "../data/arrival.js";
import { boxesOf, classesOf, hueOf, masksOf } from "../data/overlays.js";
import { visible } from "../data/values.js";
import { html, useEffect, useRef } from "../ui.js";

const PIXELS_MAX = 2 ** 24;
const OPACITY = 130; // of 255

/** An image with what is over it, as large as `style` says; `shown`: `{src, width, height, value}`. */
export function Layered({ shown, kind, label, style, place, marks }) {
  const { src, width, height, value } = shown;
  const image = html`<img class=${kind} src=${src} alt=${label} draggable=${false} />`;
  const mask = ({ file }) => html`<${Mask} key=${file} path=${place.address(file)} kind=${kind} />`;
  const box = (each, at) => html`
    <span key=${at} class="box" style=${sidesOf(each)}>${each.label && html`<bdi>${visible(each.label)}</bdi>`}</span>
  `;
  return html`
    <span class="layered" style=${style}>
      ${image}${marks && masksOf(value).map(mask)}${marks && boxesOf(value, width, height).map(box)}
    </span>
  `;
}

/** The names of the classes of an image's masks, each in its colour. */
export function Classes({ value }) {
  const found = classesOf(masksOf(value));
  if (!found.length) return null;
  const one = ({ kind, name }) => html`
    <li key=${kind}>
      <span class="sample-swatch" style=${{ background: colourOf(kind) }}></span><bdi>${visible(name)}</bdi>
    </li>
  `;
  return html`<ul class="classes" aria-label="Classes">${found.map(one)}</ul>`;
}

/** Pixels of class 0 are left as they are. */
function Mask({ path, kind }) {
  const canvas = useRef(null);
  useEffect(() => {
    const ends = new AbortController();
    imageAt(path, ends.signal, () => null).then(
      (image) => ends.signal.aborted || paint(canvas.current, image),
      () => null,
    );
    return () => ends.abort();
  }, [path]);
  return html`<canvas ref=${canvas} class="mask ${kind}" aria-hidden="true" width="1" height="1"></canvas>`;
}

function paint(canvas, image) {
  const { naturalWidth: width, naturalHeight: height } = image;
  if (!width || width * height > PIXELS_MAX) return;
  Object.assign(canvas, { width, height });
  const drawing = canvas.getContext("2d", { willReadFrequently: true });
  drawing.drawImage(image, 0, 0);
  const pixels = drawing.getImageData(0, 0, width, height);
  const colours = Array.from({ length: 256 }, (_, kind) => rgbOf(hueOf(kind)));
  for (let at = 0; at < pixels.data.length; at += 4) {
    const kind = pixels.data[at];
    pixels.data.set([...colours[kind], kind ? OPACITY : 0], at);
  }
  drawing.putImageData(pixels, 0, 0);
}

function sidesOf({ left, top, width, height, kind }) {
  const share = (part) => `${part * 100}%`;
  return { left: share(left), top: share(top), width: share(width), height: share(height), "--box": colourOf(kind) };
}

const colourOf = (kind) => `rgb(${rgbOf(hueOf(kind)).join(" ")})`;

/** A hue as red, green and blue, at 90 % saturation and half lightness. */
function rgbOf(hue) {
  const part = (from) => {
    const at = (from + hue / 30) % 12;
    return Math.round(255 * (0.5 - 0.45 * Math.max(-1, Math.min(at - 3, 9 - at, 1))));
  };
  return [part(0), part(8), part(4)];
}
