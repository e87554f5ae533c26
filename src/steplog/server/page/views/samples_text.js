// A text as it is: wrapped, in lines, with what was looked for, or what another one has not, marked.

import { visible } from "../data/values.js";
import { wordsApart } from "../data/word_diff.js";
import { html, useMemo } from "../ui.js";

const BLOCK = 20_000; // characters that are laid out together
const MARKS_MAX = 1000;

export function SampleText({ text, find, beside = null }) {
  const apart = useMemo(() => (typeof beside === "string" ? wordsApart(text, beside) : null), [text, beside]);
  const blocks = useMemo(() => blocksOf(text), [text]);
  if (apart) {
    const part = ({ text: words, apart: isApart }, at) => {
      const told = visible(words, { lines: true });
      return isApart ? html`<mark key=${at} class="differs">${told}</mark>` : told;
    };
    return html`<pre class="sample-text" tabindex="0" aria-label="Text"><bdi>${apart.map(part)}</bdi></pre>`;
  }
  return html`
    <pre class="sample-text" tabindex="0" aria-label="Text">
      ${blocks.map((block, at) => html`<bdi key=${at} class="block">${marked(block, find)}</bdi>`)}
    </pre>
  `;
}

/** A long text in parts, which end with a line where there is one. */
function blocksOf(text) {
  const blocks = [];
  for (let start = 0; start < text.length || !start; ) {
    let end = Math.min(text.length, start + BLOCK);
    if (end < text.length) {
      const line = text.lastIndexOf("\n", end);
      if (line > start) end = line + 1;
      else if (/[\ud800-\udbff]/.test(text[end - 1])) end -= 1;
    }
    blocks.push(text.slice(start, end));
    if (end >= text.length) break;
    start = end;
  }
  return blocks;
}

/** A text whose parts that are looked for are marked. */
function marked(text, find) {
  if (!find) return visible(text, { lines: true });
  const [where, what] = [text.toLowerCase(), find.toLowerCase()];
  if (where.length !== text.length) return visible(text, { lines: true }); // places would not agree
  const parts = [];
  let from = 0;
  for (let at = where.indexOf(what); at >= 0 && parts.length < MARKS_MAX; at = where.indexOf(what, from)) {
    parts.push(visible(text.slice(from, at), { lines: true }));
    parts.push(html`<mark key=${at}>${visible(text.slice(at, at + what.length), { lines: true })}</mark>`);
    from = at + what.length;
  }
  return [...parts, visible(text.slice(from), { lines: true })];
}
