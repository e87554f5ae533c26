// Media by their kind: an image, sound, a film, a page, a histogram, or a file to download.

import { isHistogram, isPicture, sizeOf } from "../data/media.js";
import { visible } from "../data/values.js";
import { html, useContext } from "../ui.js";
import { HtmlPage } from "./media_html.js";
import { Histogram } from "./media_histogram.js";
import { Picture } from "./media_image.js";
import { Download, Figure, MediaPlace } from "./media_parts.js";
import { Player } from "./media_player.js";

/** One of the media. `small`: beside others, or in a cell of a table. */
export function Media({ value, small = false }) {
  const place = useContext(MediaPlace);
  if (isHistogram(value)) return html`<${Histogram} value=${value} />`;
  const path = place.address(value.file);
  // Without a key: the next image takes the place of this one.
  if (isPicture(value)) return html`<${Picture} value=${value} path=${path} small=${small} />`;
  const View = { audio: Player, video: Player, html: HtmlPage }[value._type] ?? Other;
  return html`<${View} key=${path} value=${value} path=${path} small=${small} />`;
}

function Other({ value, path, small }) {
  const type = typeof value.type === "string" ? value.type : value._type;
  return html`
    <${Figure} value=${value} small=${small}>
      <p class="media-file">
        <bdi class="muted">${visible(type)} ${sizeOf(value.size)}</bdi><${Download} path=${path} />
      </p>
    <//>
  `;
}
