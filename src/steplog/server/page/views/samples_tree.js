// JSON as a tree: objects and lists open and close, and each entry's path can be copied.

import { isMedia } from "../data/media.js";
import { same } from "../data/runs_cells.js";
import { cut, json, many, number, shown, visible } from "../data/values.js";
import { html, useSignal } from "../ui.js";
import { Media } from "./media.js";
import { Button } from "./parts/button.js";
import { Copy } from "./parts/copy.js";
import { Icon } from "./parts/icon.js";

const DEEP = 2; // so many levels are open at first
const FEW = 30; // entries of what is open at first
const PAGE = 100;
const LINE = 100; // characters
const SAME = Symbol("same");

/** `beside`: the value that this one is compared with, or null. */
export function SampleTree({ value, beside = null }) {
  return html`<ul class="sample-tree"><${Node} path="" value=${value} depth=${0} beside=${beside ?? SAME} /></ul>`;
}

/** `beside`: what is in the same place of the other value, `SAME` where nothing is compared. */
function Node({ name, path, value, depth, beside }) {
  const entries = typeof value === "object" && value !== null ? entriesOf(value) : null;
  const few = (entries?.length ?? 0) <= FEW;
  const open = useSignal(few && (depth < DEEP || Boolean(entries?.some(([, each]) => isMedia(each)))));
  const key = name === undefined ? null : html`<span class="key"><bdi>${visible(String(name))}</bdi></span>`;
  const told = visible(path);
  const copy = path && html`<${Copy} text=${path} label="Copy the path ${told}" done="Copied ${told}." />`;
  if (isMedia(value)) return html`<li><div class="entry">${key}<${Media} value=${value} small />${copy}</div></li>`;
  if (!entries?.length) {
    return html`<li><div class="entry">${key}<${Leaf} value=${value} beside=${beside} />${copy}</div></li>`;
  }
  const list = Array.isArray(value);
  const words = many(entries.length, list ? "item" : "key");
  const turn = () => (open.value = !open.value);
  return html`
    <li>
      <div class="entry">
        <button type="button" class="tree-fold" aria-expanded=${String(open.value)} onClick=${turn}>
          <${Icon} name="chevron" turned=${open.value} />${key}
          <span class="muted">${open.value ? words : `${words} ${brief(value)}`}</span>
        </button>
        ${copy}
      </div>
      ${open.value && html`<${Entries} entries=${entries} path=${path} list=${list} depth=${depth + 1}
        beside=${beside} />`}
    </li>
  `;
}

function Entries({ entries, path, list, depth, beside }) {
  const most = useSignal(PAGE);
  const left = entries.length - most.value;
  const entry = ([name, value]) => html`
    <${Node} key=${name} name=${name} path=${pathOf(path, name, list)} value=${value} depth=${depth}
      beside=${beside === SAME ? SAME : within(beside, name)} />
  `;
  return html`
    <ul>
      ${entries.slice(0, most.value).map(entry)}
      ${left > 0 && html`<li><${Button} onClick=${() => (most.value += PAGE)}>Show more (${number(left)})<//></li>`}
    </ul>
  `;
}

function Leaf({ value, beside }) {
  const text = typeof value === "string" ? JSON.stringify(value) : value === null ? "null" : null;
  const told = text === null ? (typeof value === "object" ? json(value) : shown(value)) : cut(visible(text));
  const kind = value === null ? "null" : typeof value === "bigint" ? "number" : typeof value;
  const shownAs = beside === SAME || same(value, beside) ? told : html`<mark class="differs">${told}</mark>`;
  return html`<span class="leaf ${kind}"><bdi>${shownAs}</bdi></span>`;
}

/** The entry of a value that may be anything. */
const within = (value, name) =>
  typeof value === "object" && value !== null && Object.hasOwn(value, name) ? value[name] : undefined;

const entriesOf = (value) => (Array.isArray(value) ? value.map((each, at) => [at, each]) : Object.entries(value));

/** The beginning of what is closed. */
function brief(value) {
  const text = json(Array.isArray(value) ? value.slice(0, 20) : Object.fromEntries(Object.entries(value).slice(0, 10)));
  return visible(text.length > LINE ? `${text.slice(0, LINE)}…` : text);
}

/** A path as JavaScript and jq write it: `a.b[0]["c d"]`. */
function pathOf(path, name, list) {
  if (list) return `${path}[${name}]`;
  if (/^[A-Za-z_$][\w$]*$/.test(name)) return path ? `${path}.${name}` : name;
  return `${path}[${JSON.stringify(name)}]`;
}
