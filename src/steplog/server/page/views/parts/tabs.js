// Tabs: the row of them, and the panel of the chosen one.

import { html, useId, useRef } from "../../ui.js";

const MOVES = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };

/** `tabs`: `{id, text, count}`; `children` is what the chosen one shows. `aside` stands at the end of the row. */
export function Tabs({ label, tabs, value, onChange, aside, children }) {
  const name = useId();
  const row = useRef(null);
  const move = (event) => {
    if (!Object.hasOwn(MOVES, event.key)) return;
    event.preventDefault();
    const at = tabs.findIndex(({ id }) => id === value) + MOVES[event.key];
    const to = Number.isFinite(at) ? (at + tabs.length) % tabs.length : at < 0 ? 0 : tabs.length - 1;
    onChange(tabs[to].id);
    row.current.children[to].focus();
  };
  const tab = ({ id, text, count }) => html`
    <button key=${id} type="button" role="tab" id="${name}-${id}" aria-selected=${String(id === value)}
      aria-controls=${name}
      tabindex=${id === value ? 0 : -1} onClick=${() => onChange(id)}>
      ${text}${count !== undefined && html` <span class="count">${count}</span>`}
    </button>
  `;
  return html`
    <div class="tabs"><div role="tablist" aria-label=${label} ref=${row} onKeyDown=${move}>${tabs.map(tab)}</div>
      ${aside}</div>
    <div class="tabpanel" role="tabpanel" id=${name} aria-labelledby="${name}-${value}">${children}</div>
  `;
}
