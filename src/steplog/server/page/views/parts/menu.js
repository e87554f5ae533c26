// A menu: a button, and what can be chosen there.

import { html } from "../../ui.js";
import { Icon } from "./icon.js";
import { Popover } from "./popover.js";

const MOVES = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity };

/**
 * `items`, or a function that gives them once the menu opens: `{label, onSelect | href, icon, note, checked, disabled,
 * danger}`, `{heading}`, or "-", a line. An item with `checked` is one that can be switched, and keeps the menu open.
 */
export function Menu({ items, label, ...rest }) {
  return html`
    <${Popover} role="menu" label=${label} class="menu" onOpen=${begin} ...${rest}>
      ${(close) => html`<div role="presentation" onKeyDown=${(event) => move(event, close)}>
        ${(typeof items === "function" ? items() : items).filter(Boolean).map((item, at) => entry(item, at, close))}
      </div>`}
    <//>
  `;
}

function entry(item, at, close) {
  if (item === "-") return html`<hr key=${at} />`;
  if (item.heading) return html`<div key=${at} class="heading" role="presentation">${item.heading}</div>`;
  const { label, icon, note, checked, disabled, danger, href, onSelect } = item;
  const switched = checked !== undefined;
  const role = switched ? "menuitemcheckbox" : "menuitem";
  const select = () => {
    if (disabled) return;
    if (!switched) close();
    onSelect?.();
  };
  const mark = switched ? checked && html`<${Icon} name="check" />` : icon && html`<${Icon} name=${icon} />`;
  const content = html`<span class="mark">${mark}</span><span class="words">${label}</span>
    ${note && html`<kbd>${note}</kbd>`}`;
  const given = { role, tabindex: -1, class: danger ? "item danger" : "item", onClick: select, onPointerMove: follow };
  if (href) return html`<a key=${at} href=${href} ...${given}>${content}</a>`;
  return html`
    <button key=${at} type="button" aria-checked=${switched ? String(checked) : undefined}
      aria-disabled=${disabled ? "true" : undefined}
      ...${given}>${content}</button>
  `;
}

const itemsOf = (menu) => [...menu.querySelectorAll("[role^=menuitem]")];
const begin = (menu) => itemsOf(menu)[0]?.focus();
const follow = ({ currentTarget: item, pointerType }) => pointerType === "mouse" && item.focus({ preventScroll: true });

function move(event, close) {
  const all = itemsOf(event.currentTarget);
  const at = all.indexOf(document.activeElement);
  if (event.key === "Tab") {
    close();
  } else if (Object.hasOwn(MOVES, event.key)) {
    const to = at + MOVES[event.key];
    all[Number.isFinite(to) ? (to + all.length) % all.length : to < 0 ? 0 : all.length - 1]?.focus();
  } else if (event.key.length === 1 && event.key !== " " && !event.ctrlKey && !event.metaKey) {
    const starts = (item) => item.querySelector(".words").textContent.toLowerCase().startsWith(event.key.toLowerCase());
    [...all.slice(at + 1), ...all.slice(0, at + 1)].find(starts)?.focus();
  } else {
    return;
  }
  event.preventDefault();
}
