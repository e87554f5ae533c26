// The search: a dialog, opened by its button, "/" or Ctrl-K, whose results come from worker.js.

const dialog = document.getElementById("site-search");
const input = document.getElementById("site-query");
const list = document.getElementById("site-results");
const status = document.getElementById("site-found");
const base = new URL(base_url.replace(/\/?$/, "/"), location.href);
let worker;

function openSearch(query) {
  if (!worker) {
    worker = new Worker(new URL("search/worker.js", base));
    worker.onmessage = ({ data }) => data.query === input.value && show(data.query, data.found);
  }
  if (!dialog.open) dialog.showModal();
  if (query !== undefined) input.value = query;
  input.select();
  ask();
}

function ask() {
  if (input.value.trim()) worker.postMessage({ query: input.value });
  else show("", []);
}

function show(query, found) {
  const asked = query.toLowerCase().split(/[^\p{L}\p{N}_]+/u).filter((word) => word.length > 1);
  list.replaceChildren(...found.map((entry) => row(entry, asked)));
  const number = found.length === 1 ? "1 result" : `${found.length} results`;
  status.textContent = !query.trim() ? "" : found.length ? number : `Nothing has “${query.trim()}”.`;
}

function row({ location: place, title, page, text }, asked) {
  const link = document.createElement("a");
  link.href = new URL(place, base);
  const where = document.createElement("span");
  where.className = "where";
  where.textContent = page === title ? "" : page;
  const what = document.createElement("strong");
  what.append(...marked(title, asked));
  const snippet = document.createElement("span");
  snippet.className = "snippet";
  snippet.append(...marked(text, asked));
  link.append(what, where, snippet);
  link.addEventListener("click", () => dialog.close());
  const item = document.createElement("li");
  item.append(link);
  return item;
}

function marked(text, asked) {
  if (!asked.length) return [text];
  const pattern = new RegExp(`(${asked.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|")})`, "giu");
  return text.split(pattern).map((part, number) => {
    if (number % 2 === 0) return part;
    const mark = document.createElement("mark");
    mark.textContent = part;
    return mark;
  });
}

function move(event) {
  const links = [...list.querySelectorAll("a")];
  const at = links.indexOf(document.activeElement);
  const next = event.key === "ArrowDown" ? at + 1 : event.key === "ArrowUp" ? at - 1 : null;
  if (next === null) return;
  event.preventDefault();
  (links[next] ?? (next < 0 ? input : links.at(-1)))?.focus();
}

const isTyping = ({ target }) => target.closest("input, textarea, select, [contenteditable]");

document.addEventListener("keydown", (event) => {
  const isSlash = event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey && !isTyping(event);
  if (isSlash || (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey))) {
    event.preventDefault();
    openSearch();
  }
});
dialog.addEventListener("keydown", move);
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
dialog.querySelector("form").addEventListener("submit", (event) => {
  const first = list.querySelector("a");
  if (event.submitter === null || document.activeElement === input) {
    event.preventDefault();
    if (first) first.click();
  }
});
input.addEventListener("input", ask);
const button = document.getElementById("site-find");
button.hidden = false;
button.addEventListener("click", () => openSearch());
const asked = new URLSearchParams(location.search).get("q");
if (asked) openSearch(asked);
