// What all media have: where they are from, a caption, a download, and what is said of a file that is not here yet.

import { linked } from "../data/api.js";
import { captionOf } from "../data/media.js";
import { visible } from "../data/values.js";
import { createContext, html, useEffect, useSignal } from "../ui.js";
import { Icon } from "./parts/icon.js";

/**
 * Where a sample is from: `name`, of its metric; `address(id)`, the path of a file of its run; `move(by)`, to the
 * sample before or after it, `show(step)`, to those of a step; `latest(count)`, the last ones. A file alone has the
 * first two.
 */
export const MediaPlace = createContext(null);

/** One of the media and its caption. */
export function Figure({ value, small, children }) {
  const caption = captionOf(value);
  return html`
    <figure class="media ${small ? "small" : ""}">
      ${children}
      ${caption && html`<figcaption><bdi>${visible(caption, { lines: true })}</bdi></figcaption>`}
    </figure>
  `;
}

/** What is shown in place of a file: `state` is "absent" or "broken". */
export function Instead({ state, kind, path, ratio }) {
  const words = state === "absent" ? `This ${kind} is not here yet.` : `This ${kind} cannot be shown.`;
  return html`
    <div class="media-instead" role="status" style=${{ aspectRatio: ratio }}>
      <p class="muted">${words}</p>
      ${state === "broken" && html`<${Download} path=${path} />`}
    </div>
  `;
}

/** A link that downloads a file. */
export function Download({ path, label = undefined, children = "Download" }) {
  return html`
    <a class="button quiet" href=${linked(path)} download aria-label=${label}><${Icon} name="download" />${children}</a>
  `;
}

/** What `load(signal, absent)` gives: `{state, found}`, `state` "" or as `Instead` has it, `found` null at first. */
export function useLoaded(load) {
  const state = useSignal("");
  const found = useSignal(null);
  useEffect(() => {
    const ends = new AbortController();
    load(ends.signal, () => (state.value = "absent")).then(
      (text) => {
        if (ends.signal.aborted) return;
        found.value = text;
        state.value = "";
      },
      () => ends.signal.aborted || (state.value = "broken"),
    );
    return () => ends.abort();
  }, []);
  return { state: state.value, found: found.value };
}
