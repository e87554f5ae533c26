// How many of the shown runs go on, and when the last point of theirs was logged.

import { many } from "../data/values.js";
import { html } from "../ui.js";
import { Moment } from "./parts/moment.js";

/** `rows` is a signal of the table's rows, `shown` one of the runs that are shown. */
export function Live({ rows, shown }) {
  const live = new Set(shown.value.filter(({ status }) => status === "RUNNING").map(({ uuid }) => uuid));
  if (!live.size) return null;
  const points = rows.value.filter(({ uuid, last_point: point }) => point && live.has(uuid));
  const last = points.map(({ last_point: point }) => point).reduce((one, other) => (one > other ? one : other), "");
  return html`
    <p class="live">
      ${many(live.size, "run")} going on${last && html`<span>, last point <${Moment} iso=${last} fine /></span>`}
    </p>
  `;
}
