// Searches the site with lunr, in a worker. It is told {query} and answers {query, found: [entry with a snippet]}.

importScripts("lunr.js");

const RESULTS_MAX = 30;
const SNIPPET = 180; // characters
const PARTS = /[\s\-,:;!=[\]()"'/.`|<>{}…]+/; // between words, in texts as in what is searched for
const BOOSTS = [["changelog/", 0.3], ["contributing/", 0.5], ["python/testing/", 0.6], ["formats/", 0.7]];

const words = (text) => text.toLowerCase().split(PARTS).filter(Boolean);
const stem = (word) => lunr.stemmer(new lunr.Token(word, {})).toString();
const partsOf = (title) => title.replace(/([a-z])([A-Z])/g, "$1 $2").replaceAll(/[_.]/g, " ");

let entries;
let index;
const ready = fetch("search_index.json").then((answer) => answer.json()).then(({ docs }) => {
  lunr.tokenizer.separator = PARTS;
  entries = new Map(docs.map((entry) => [entry.location, entry]));
  index = lunr(function build() {
    this.ref("location");
    this.field("title", { boost: 12 });
    this.field("parts", { boost: 4 });
    this.field("page", { boost: 2 });
    this.field("text");
    for (const entry of docs) {
      const boost = BOOSTS.find(([prefix]) => entry.location.startsWith(prefix))?.[1] ?? 1;
      this.add({ ...entry, parts: partsOf(entry.title) }, { boost });
    }
  });
});

function lookUp(stems, presence) {
  return index.query((query) => {
    for (const each of stems) {
      query.term(each, { presence, wildcard: lunr.Query.wildcard.TRAILING, usePipeline: false });
      query.term(each, { boost: 6, usePipeline: false });
    }
  });
}

function snippet(text, asked) {
  const lower = text.toLowerCase();
  const at = Math.min(...asked.map((word) => lower.indexOf(word)).filter((place) => place >= 0), Infinity);
  if (at < SNIPPET / 2 || at === Infinity) return text.slice(0, SNIPPET) + (text.length > SNIPPET ? " …" : "");
  const begin = text.indexOf(" ", at - SNIPPET / 3) + 1;
  return `… ${text.slice(begin, begin + SNIPPET)}${text.length > begin + SNIPPET ? " …" : ""}`;
}

function search(query) {
  const asked = words(query);
  const stems = asked.filter((word) => lunr.stopWordFilter(new lunr.Token(word, {}))).map(stem);
  if (!stems.length) return [];
  let results = lookUp(stems, lunr.Query.presence.REQUIRED);
  if (!results.length) results = lookUp(stems, lunr.Query.presence.OPTIONAL);
  const exact = query.trim().toLowerCase();
  const isExact = ({ title }) => Number(title.toLowerCase() === exact);
  return results
    .map((result) => ({ ...entries.get(result.ref), score: result.score }))
    .sort((one, other) => isExact(other) - isExact(one) || other.score - one.score)
    .slice(0, RESULTS_MAX)
    .map(({ location, title, page, text }) => ({ location, title, page, text: snippet(text, asked) }));
}

onmessage = async ({ data: { query } }) => {
  await ready;
  postMessage({ query, found: search(query) });
};
