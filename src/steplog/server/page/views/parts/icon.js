// Icons, drawn on a grid of 16: strokes in the colour of the text. They say nothing to a screen reader.

import { html } from "../../ui.js";

const PATHS = {
  back: "M9.5 3.5 5 8l4.5 4.5",
  check: "m3 8.5 3.2 3.2L13 4.8",
  chevron: "m6 3.5 4.5 4.5L6 12.5",
  close: "m4 4 8 8M12 4l-8 8",
  columns: "M2.5 3h11v10h-11zM6.2 3v10M9.8 3v10",
  combine: "m2 11.5 3.5-5 3 3L14 3.5M2 5.5l3 4.5 4-2 5 4.5",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  download: "M8 2.5v8m-3.2-3L8 10.7l3.2-3.2M3 13.5h10",
  down: "m3.5 6 4.5 4.5L12.5 6",
  edit: "m3 13 .6-2.9 7.2-7.2 2.3 2.3-7.2 7.2zM9.3 4.4l2.3 2.3",
  expand: "M9.5 2.5h4v4m0-4-4.6 4.6M6.5 13.5h-4v-4m0 4 4.6-4.6",
  eye: "M1.5 8S4 3.7 8 3.7 14.5 8 14.5 8 12 12.3 8 12.3 1.5 8 1.5 8ZM8 6.2a1.8 1.8 0 1 1 0 3.6 1.8 1.8 0 0 1 0-3.6Z",
  filter: "M2.5 4h11M4.8 8h6.4M6.8 12h2.4",
  group: "M2.5 3h4.5v4.5H2.5zM9 3h4.5v4.5H9zM2.5 9.5h4.5V13H2.5zM9 9.5h4.5V13H9z",
  hidden: "M2.5 2.5l11 11M6.3 4A6 6 0 0 1 8 3.7C12 3.7 14.5 8 14.5 8a11 11 0 0 1-1.9 2.3M3.7 5.4A11 11 0 0 0 1.5 8"
    + "S4 12.3 8 12.3a6 6 0 0 0 2.4-.5",
  link: "M6.7 9.3a2.6 2.6 0 0 0 3.7 0l2.3-2.3A2.6 2.6 0 0 0 9 3.3l-.9.9M9.3 6.7a2.6 2.6 0 0 0-3.7 0L3.3 9"
    + "A2.6 2.6 0 0 0 7 12.7l.9-.9",
  minus: "M3 8h10",
  more: "M3.2 8h.01M8 8h.01M12.8 8h.01",
  pin: "M5.2 2.5h5.6l-.7 5 2.1 2.2H3.8L5.9 7.5zM8 9.7v4.3",
  plus: "M8 3v10M3 8h10",
  reset: "M3.4 6.2A5 5 0 1 1 3 8.6M3 3v3.4h3.4",
  runs: "M2.5 4h.01M5.5 4h8M2.5 8h.01M5.5 8h8M2.5 12h.01M5.5 12h8",
  search: "M7 2.8a4.2 4.2 0 1 1 0 8.4 4.2 4.2 0 0 1 0-8.4Zm3.1 7.3 3.1 3.1",
  settings: "M2.5 5h6M12 5h1.5M2.5 11H4M7.5 11h6M10.2 3.3a1.7 1.7 0 1 1 0 3.4 1.7 1.7 0 0 1 0-3.4Z"
    + "M5.8 9.3a1.7 1.7 0 1 1 0 3.4 1.7 1.7 0 0 1 0-3.4Z",
  tag: "M2.5 2.5h5.3l5.7 5.7-5.3 5.3-5.7-5.7zM5.4 5.4h.01",
  trash: "M2.5 4.2h11M6 4V2.5h4V4M4 4.2l.6 9.3h6.8l.6-9.3M6.7 7v4M9.3 7v4",
  up: "m3.5 10 4.5-4.5L12.5 10",
  undo: "M6 3 2.8 6.2 6 9.4M3 6.2h6a4 4 0 0 1 0 7.3H6.5",
  user: "M8 2.5a2.7 2.7 0 1 1 0 5.4 2.7 2.7 0 0 1 0-5.4ZM2.8 13.5c.5-2.4 2.5-3.8 5.2-3.8s4.7 1.4 5.2 3.8",
  views: "M4.5 2.5h7v11L8 10.6l-3.5 2.9z",
  warning: "M8 2.3 14.3 13.5H1.7zM8 6.5v3.4M8 11.7h.01",
};

/** One of the icons above; `turned` by a quarter, such as the chevron of what is open. */
export function Icon({ name, turned = false }) {
  const kind = `icon icon-${name}${turned ? " turned" : ""}`;
  return html`<svg class=${kind} viewBox="0 0 16 16" aria-hidden="true" focusable="false"><path d=${PATHS[name]} />
    </svg>`;
}
