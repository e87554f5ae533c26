// The list of samples by step: as many rows as there are samples, of which those in view exist.

import { briefMedia } from "../data/media.js";
import { shown, number, visible } from "../data/values.js";
import { html, useEffect, useId, useLayoutEffect, useRef, useSignal } from "../ui.js";

const BESIDE = 6; // rows above and below those in view
const MOVES = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };
const PREVIEW = 120;

export function StepList({ samples, list, view }) {
  const element = useRef(null);
  const id = useId();
  const height = useRowHeight(element);
  const top = useSignal(0);
  const room = useSignal(0);
  const at = usePlace(samples, list, view, element, height);
  const count = list.count.value ?? 0;
  void list.version.value;
  const first = Math.max(0, Math.floor(top.value / height) - BESIDE);
  const end = Math.min(count, Math.ceil((top.value + room.value) / height) + BESIDE);
  useEffect(() => list.want(first, end), [first, end, count]);
  useLayoutEffect(() => {
    const resized = new ResizeObserver(([{ contentRect }]) => (room.value = contentRect.height));
    resized.observe(element.current);
    return () => resized.disconnect();
  }, []);
  useEffect(() => {
    if (list.gone.value) reveal(element.current, list.gone.value.at, height);
  }, [list.gone.value]);
  const move = (event) => {
    if (!Object.hasOwn(MOVES, event.key) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const by = MOVES[event.key];
    samples.go(Number.isFinite(by) ? (at.value ?? 0) + by : by < 0 ? 0 : count - 1);
  };
  const rows = [];
  for (let place = first; place < end; place++) {
    const row = list.row(place);
    const chosen = place === at.value && (view.step.value === null || String(row?.step) === view.step.value);
    rows.push(html`
      <${Row} key=${place} id="${id}-${place}" place=${place} row=${row} height=${height} count=${count}
        chosen=${chosen} onChoose=${(to) => samples.go(to)} />
    `);
  }
  const active = at.value !== null && at.value >= first && at.value < end ? `${id}-${at.value}` : undefined;
  return html`
    <div class="samples-list" role="listbox" tabindex="0" aria-label="Samples by step" ref=${element}
      aria-activedescendant=${active} onKeyDown=${move}
      onScroll=${({ currentTarget }) => (top.value = currentTarget.scrollTop)}>
      <div role="presentation" style=${{ height: `${count * height}px` }}>${rows}</div>
    </div>
  `;
}

function Row({ id, place, row, height, count, chosen, onChoose }) {
  const step = html`<span class="step figures">${row ? number(row.step) : "…"}</span>`;
  const text = row && html`<span class="preview cut"><bdi>${preview(row)}</bdi></span>`;
  return html`
    <div id=${id} role="option" class="samples-item" aria-selected=${String(chosen)} aria-setsize=${count}
      aria-posinset=${place + 1} style=${{ top: `${place * height}px` }} onClick=${() => onChoose(place)}>
      ${step}${text}
    </div>
  `;
}

/** The beginning of a sample in a line. */
function preview({ value, bytes }) {
  const media = typeof value === "string" && bytes === undefined ? null : briefMedia(value);
  if (media !== null) return media.slice(0, PREVIEW);
  if (typeof value === "string") return visible(value.slice(0, PREVIEW).replace(/\s+/g, " ").trim());
  const text = shown(value);
  return bytes === undefined && text.length <= PREVIEW ? text : `${text.slice(0, PREVIEW)}…`;
}

/** Keeps the place of the sample that is looked at, found by its step where that came from the address. */
function usePlace(samples, list, view, element, height) {
  const { place: at } = list;
  const step = view.step.value;
  const nth = view.nth.value;
  const count = list.count.value;
  useEffect(() => {
    if (!count) return undefined;
    const known = at.value === null ? null : list.row(at.value);
    if (step !== null && known && String(known.step) === step && known.time === samples.time.peek()) return undefined;
    let current = true;
    const place = step === null ? Promise.resolve(list.find ? 0 : count - 1) : list.placeOf(step);
    place.then((found) => {
      if (!current) return;
      const scrolled = step === null && at.value !== null && !isInView(element.current, at.value, height);
      at.value = Math.min(count - 1, found + (step === null ? 0 : nth));
      if (!scrolled) reveal(element.current, at.value, height); // who has scrolled away is not brought back
    });
    return () => (current = false);
  }, [step, nth, count, height]);
  return at;
}

function isInView(element, place, height) {
  const { scrollTop: top, clientHeight: room } = element ?? { scrollTop: 0, clientHeight: 0 };
  return top < (place + 1) * height && place * height < top + room;
}

/** Scroll as little as shows a row. */
function reveal(element, place, height) {
  if (!element) return;
  const [top, bottom] = [place * height, (place + 1) * height];
  if (top < element.scrollTop) element.scrollTop = top;
  else if (bottom > element.scrollTop + element.clientHeight) element.scrollTop = bottom - element.clientHeight;
}

/** Rows are as high as the style says: higher for fingers. */
function useRowHeight(element) {
  const height = useSignal(28);
  useLayoutEffect(() => {
    height.value = Number.parseFloat(getComputedStyle(element.current).getPropertyValue("--row")) || 28;
  }, []);
  return height.value;
}
