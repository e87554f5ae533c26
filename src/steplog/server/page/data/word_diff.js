// Which words of a text another one does not have in that place.

const WORDS_MAX = 3000;

/** Parts of `text` in order, `{text, apart}`: those that are `apart` are not in `other`. Null if they are too long. */
export function wordsApart(text, other) {
  const [ours, theirs] = [wordsOf(text), wordsOf(other)];
  let start = 0;
  while (start < ours.length && isSame(ours[start], theirs[start])) start += 1;
  let end = 0;
  while (end < Math.min(ours.length, theirs.length) - start && isSame(ours.at(-1 - end), theirs.at(-1 - end))) end += 1;
  const middle = [ours.slice(start, ours.length - end), theirs.slice(start, theirs.length - end)];
  if (middle.some(({ length }) => length > WORDS_MAX)) return null;
  const parts = [];
  const add = (words, apart) => {
    const last = parts.at(-1);
    if (last?.apart === apart) last.text += words;
    else if (words) parts.push({ text: words, apart });
  };
  add(ours.slice(0, start).join(""), false);
  const common = longestCommon(...middle);
  middle[0].forEach((word, at) => add(word, !common.has(at)));
  add(ours.slice(ours.length - end).join(""), false);
  return parts;
}

/** Words, each with the white space after it, which does not count. */
const wordsOf = (text) => text.match(/\S+\s*|\s+/g) ?? [];
const isSame = (a, b) => a?.trimEnd() === b?.trimEnd();

/** The places in `ours` of a longest common subsequence of both. */
function longestCommon(ours, theirs) {
  const words = [ours, theirs].map((each) => each.map((word) => word.trimEnd()));
  const wide = theirs.length + 1;
  const lengths = new Uint16Array((ours.length + 1) * wide);
  for (let a = ours.length - 1; a >= 0; a--) {
    for (let b = theirs.length - 1; b >= 0; b--) {
      lengths[a * wide + b] = words[0][a] === words[1][b]
        ? lengths[(a + 1) * wide + b + 1] + 1
        : Math.max(lengths[(a + 1) * wide + b], lengths[a * wide + b + 1]);
    }
  }
  const found = new Set();
  for (let a = 0, b = 0; a < ours.length && b < theirs.length; ) {
    if (words[0][a] === words[1][b]) {
      found.add(a);
      a += 1;
      b += 1;
    } else if (lengths[(a + 1) * wide + b] >= lengths[a * wide + b + 1]) a += 1;
    else b += 1;
  }
  return found;
}
