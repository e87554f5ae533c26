// Sound and films, with the browser's own controls.

import { linked } from "../data/api.js";
import { arrived } from "../data/arrival.js";
import { captionOf } from "../data/media.js";
import { visible } from "../data/values.js";
import { html, useContext, useEffect, useMemo, useSignal } from "../ui.js";
import { Figure, Instead, MediaPlace } from "./media_parts.js";

const TRIES = 2; // of what is there

export function Player({ value, path, small }) {
  const { name } = useContext(MediaPlace);
  const state = useSignal(""); // or "asking", "absent", "broken"
  const turn = useSignal(0);
  const ends = useMemo(() => new AbortController(), []);
  useEffect(() => () => ends.abort(), []);
  const kind = value._type;
  const failed = async () => {
    if (state.value) return;
    state.value = "asking";
    let wasAbsent = false;
    const absent = () => {
      wasAbsent = true;
      state.value = "absent";
    };
    const isThere = await arrived(path, ends.signal, absent).then(() => true, () => false);
    if (ends.signal.aborted) return;
    turn.value += 1;
    state.value = isThere && (wasAbsent || turn.value < TRIES) ? "" : "broken";
  };
  const label = captionOf(value) ? visible(captionOf(value)) : `${kind} of ${visible(name)}`;
  const given = { key: turn.value, controls: true, preload: "metadata", src: linked(path), "aria-label": label };
  const player = kind === "audio"
    ? html`<audio ...${given} onError=${failed}></audio>`
    : html`<video ...${given} loop playsinline onError=${failed}></video>`;
  const isShown = !state.value || state.value === "asking";
  return html`
    <${Figure} value=${value} small=${small}>
      ${isShown ? player : html`<${Instead} state=${state.value} kind=${kind} path=${path} />`}
    <//>
  `;
}
