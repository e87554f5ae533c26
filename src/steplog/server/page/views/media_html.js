// A page that was logged, in a frame in which no script runs, and its source.

import { linked } from "../data/api.js";
import { arrived, textAt } from "../data/arrival.js";
import { fill, markupAt } from "./media_markup.js";
import { html, useEffect, useMemo, useRef, useSignal } from "../ui.js";
import { Download, Figure, Instead, useLoaded } from "./media_parts.js";
import { Button } from "./parts/button.js";
import { SampleText } from "./samples_text.js";

const HEIGHT_LEAST = 60;

export function HtmlPage({ value, path, small }) {
  const isSource = useSignal(false);
  const { state, found } = useLoaded(async (signal, absent) => {
    await arrived(path, signal, absent);
    return markupAt(linked(path), signal);
  });
  const content = () => {
    if (state) return html`<${Instead} state=${state} kind="page" path=${path} />`;
    if (isSource.value) return html`<${Source} path=${path} />`;
    return found ? html`<${Frame} page=${found} />` : html`<div class="media-instead" aria-busy="true"></div>`;
  };
  return html`
    <${Figure} value=${value} small=${small}>
      ${content()}
      <div class="media-tools">
        <${Button} kind="quiet" aria-pressed=${String(isSource.value)}
          onClick=${() => (isSource.value = !isSource.value)}>Source<//>
        <${Download} path=${path} />
      </div>
    <//>
  `;
}

/** The page may be reached from here, so that it can be filled in; it runs nothing, and opens and sends nothing. */
function Frame({ page }) {
  const frame = useRef(null);
  const filled = useRef(null);
  const height = useSignal(HEIGHT_LEAST);
  const resized = useMemo(() => {
    return new ResizeObserver(([{ target }]) => (height.value = Math.max(HEIGHT_LEAST, target.scrollHeight)));
  }, []);
  const show = () => {
    const known = frame.current?.contentDocument.documentElement ?? filled.current; // not there as it is put in
    if (known === filled.current) return;
    filled.current = fill(frame.current, page);
    resized.disconnect();
    resized.observe(filled.current);
  };
  useEffect(() => {
    show();
    return () => resized.disconnect();
  }, []);
  return html`
    <iframe class="media-page" title="Page" sandbox="allow-same-origin" ref=${frame} onLoad=${show}
      style=${{ height: `${height.value}px` }}></iframe>
  `; // some browsers load the empty document only after a while
}

function Source({ path }) {
  const { state, found } = useLoaded((signal, absent) => textAt(path, signal, absent));
  if (state) return html`<${Instead} state=${state} kind="page" path=${path} />`;
  return found === null ? html`<p class="muted">…</p>` : html`<${SampleText} text=${found} find="" />`;
}
