// A histogram: a bar a bin, with the bin under the pointer, or the one that keys go to, in words.

import { number } from "../data/values.js";
import { html, useContext, useMemo, useSignal } from "../ui.js";
import { HeatMap } from "./media_heat.js";
import { MediaPlace } from "./media_parts.js";

const [WIDTH, HEIGHT] = [640, 160]; // of the drawing, which is scaled to the room there is
const MOVES = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity };

export function Histogram({ value }) {
  const { values: counts, bins: edges } = value;
  const place = useContext(MediaPlace);
  const at = useSignal(null);
  const shape = useMemo(() => barsOf(counts, edges), [counts, edges]);
  const last = counts.length - 1;
  const told = at.value !== null && at.value <= last ? at.value : null;
  const point = ({ currentTarget, clientX }) => {
    const { left, width } = currentTarget.getBoundingClientRect();
    at.value = binAt(edges, (clientX - left) / width);
  };
  const move = (event) => {
    if (!Object.hasOwn(MOVES, event.key)) return;
    event.preventDefault();
    const from = told ?? (event.key.endsWith("Left") ? last + 1 : -1);
    at.value = Math.max(0, Math.min(last, from + MOVES[event.key]));
  };
  const leave = () => (at.value = null);
  return html`
    <figure class="media histogram">
      <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" tabindex="0"
        aria-label=${inWords(value)} onPointerMove=${point} onPointerLeave=${leave} onKeyDown=${move} onBlur=${leave}>
        <path class="bars" d=${shape} />
        ${told !== null && html`<path class="bar" d=${barsOf(counts, edges, told)} />`}
      </svg>
      <div class="ends figures muted"><span>${number(edges[0])}</span><span>${number(edges.at(-1))}</span></div>
      <p class="figures" role="status">${told === null ? summary(counts) : bin(value, told)}</p>
      ${place.latest && html`<${HeatMap} key=${place.name} place=${place} />`}
    </figure>
  `;
}

/** All bars as a path, or one of them. */
function barsOf(counts, edges, only = null) {
  const most = Math.max(1e-300, ...counts);
  const places = placesOf(edges);
  const bar = (count, at) => {
    const [left, right] = [places[at] * WIDTH, places[at + 1] * WIDTH];
    const gap = right - left > 4 ? 1 : 0;
    const height = Math.max(0, count / most) * HEIGHT;
    return `M${left.toFixed(2)} ${HEIGHT}V${(HEIGHT - height).toFixed(2)}H${(right - gap).toFixed(2)}V${HEIGHT}Z`;
  };
  return only === null ? counts.map(bar).join("") : bar(counts[only], only);
}

/** How far along the axis each edge is, from 0 to 1. */
function placesOf(edges) {
  const [first, last] = [edges[0], edges.at(-1)];
  const span = last - first;
  const isUsable = Number.isFinite(span) && span > 0;
  if (!isUsable) return edges.map((_edge, at) => at / (edges.length - 1));
  return edges.map((edge) => Math.max(0, Math.min(1, (edge - first) / span)));
}

function binAt(edges, share) {
  const places = placesOf(edges);
  const after = places.findIndex((place) => place > share);
  return after < 0 ? edges.length - 2 : Math.max(0, Math.min(edges.length - 2, after - 1));
}

const bin = ({ values, bins }, at) => `${number(bins[at])} to ${number(bins[at + 1])}: ${number(values[at])}`;
const summary = (counts) => `${number(counts.reduce((sum, count) => sum + count, 0))} in ${number(counts.length)} bins`;

function inWords({ values, bins }) {
  const most = values.indexOf(Math.max(...values));
  const range = `from ${number(bins[0])} to ${number(bins.at(-1))}`;
  return `Histogram ${range}, ${summary(values)}; most in ${bin({ values, bins }, most)}`;
}
