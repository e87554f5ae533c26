// What is drawn over an image: boxes and masks, each of a class with a name, as wandb's images have them.

import { isFile } from "./media.js";

const BOXES_MAX = 300;
const MASKS_MAX = 8;
const CLASSES_MAX = 30;

/** Whether there is anything to draw over an image. */
export const hasOverlays = (value) => boxesOf(value, 1, 1).length > 0 || masksOf(value).length > 0;

/** Boxes over an image of a size: `{left, top, width, height, label, kind}`, shares of its sides. */
export function boxesOf({ boxes }, width, height) {
  const found = [];
  for (const { box_data: data, class_labels: labels } of groups(boxes)) {
    for (const box of Array.isArray(data) ? data : []) {
      const place = placeOf(box, width, height);
      if (found.length === BOXES_MAX) return found;
      if (place) found.push({ ...place, kind: classOf(box), label: labelOf(box, labels) });
    }
  }
  return found;
}

/** Masks over an image: `{file, labels}`, whose file has the number of a class for each pixel. */
export function masksOf({ masks }) {
  const found = groups(masks).filter(({ mask }) => isFile(mask)).slice(0, MASKS_MAX);
  return found.map(({ mask: { file }, class_labels: labels }) => ({ file, labels }));
}

/** The classes of masks by their numbers: `{kind, name}`. */
export function classesOf(masks) {
  const named = new Map(masks.flatMap(({ labels }) => Object.entries(isObject(labels) ? labels : {})));
  const all = [...named].filter(([kind, name]) => Number(kind) > 0 && typeof name === "string");
  return all.slice(0, CLASSES_MAX).map(([kind, name]) => ({ kind: Number(kind), name }));
}

/** The hue of a class, in degrees: neighbours differ. */
export const hueOf = (kind) => (kind * 137.508 + 20) % 360;

function placeOf(box, width, height) {
  if (!isObject(box) || !isObject(box.position)) return null;
  const { minX, maxX, minY, maxY, middle } = box.position;
  const size = [box.position.width, box.position.height];
  const corners = Array.isArray(middle)
    ? [middle[0] - size[0] / 2, middle[1] - size[1] / 2, middle[0] + size[0] / 2, middle[1] + size[1] / 2]
    : [minX, minY, maxX, maxY];
  if (!corners.every(Number.isFinite)) return null;
  const sides = box.domain === "pixel" ? [width, height] : [1, 1];
  const [left, top, right, bottom] = corners.map((each, at) => Math.max(0, Math.min(1, each / sides[at % 2])));
  return left <= right && top <= bottom ? { left, top, width: right - left, height: bottom - top } : null;
}

function labelOf(box, labels) {
  if (typeof box.box_caption === "string" && box.box_caption) return box.box_caption;
  const name = isObject(labels) && Object.hasOwn(labels, String(box.class_id)) ? labels[box.class_id] : "";
  return typeof name === "string" ? name : "";
}

const classOf = ({ class_id: kind }) => (Number.isSafeInteger(kind) ? Math.abs(kind) : 0);
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const groups = (held) => (isObject(held) ? Object.values(held).filter(isObject) : []);
