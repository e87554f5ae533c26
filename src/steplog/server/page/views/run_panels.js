// A run's config, where it ran, and the exception that ended it.

import { cut, json, many, visible } from "../data/values.js";
import { html, useMemo, useSignal } from "../ui.js";
import { Copy } from "./parts/copy.js";
import { Icon } from "./parts/icon.js";
import { SearchField } from "./parts/search_field.js";

const SEARCHED = 8; // a config of so many values is not searched
const ROWS_MAX = 1000;
const LINE_MAX = 60; // characters; what is longer has lines of its own, JSON indented
const COMMIT = 12; // characters of a hash
const PLACE = {
  host: "Host", user: "User", pid: "Process", python: "Python", command: "Command", git: "Git", job: "Job",
};
const ROOM = "(min-width: 600px)";

/** The config: a row an entry, nested ones by their path. */
export function ConfigPanel({ large }) {
  const { config, config_omitted: omitted } = large.value;
  const words = useSignal("");
  const rows = useMemo(() => [...flat(config, [])].map((row) => [...row, searched(row)]), [config]);
  if (!Object.keys(config).length) return null;
  const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = wanted.length ? rows.filter(([, , text]) => wanted.every((word) => text.includes(word))) : rows;
  const beyond = omitted ? `, without ${many(omitted, "key")} beyond the limit` : "";
  const of = found.length === rows.length ? "" : `${found.length} of `;
  const short = of + many(rows.length, "value") + beyond;
  return html`
    <${Panel} kind="config" title="Config" short=${short} open=${matchMedia(ROOM).matches}>
      <${Copy} class="head-copy" text=${() => json(config, 2)} label="Copy the config as JSON" />
      ${rows.length >= SEARCHED && html`
        <${SearchField} label="Search the config" placeholder="Search" value=${words.value}
          onInput=${(text) => (words.value = text)} />
      `}
      <${Rows} rows=${found} />
    <//>
  `;
}

/** Where and from what it was started. */
export function ProvenancePanel({ large }) {
  const { provenance } = large.value;
  if (!provenance || !Object.keys(provenance).length) return null;
  const known = Object.keys(PLACE).filter((key) => Object.hasOwn(provenance, key) && provenance[key] !== null);
  const rows = known.map((key) => [[PLACE[key]], key === "git" ? commit(provenance.git) : provenance[key]]);
  const others = Object.entries(provenance).filter(([key]) => !Object.hasOwn(PLACE, key));
  for (const [key, value] of others) rows.push(...flat(value, [key]));
  const { host, user } = provenance;
  const short = [user, host].filter((part) => typeof part === "string" && part).join("@");
  return html`<${Panel} kind="provenance" title="Started from" short=${short}><${Rows} rows=${rows} /><//>`;
}

/** The exception: text, or an object's type, message and traceback. */
export function ExceptionPanel({ value }) {
  const parts = typeof value === "object" && value !== null ? value : {};
  const line = ["type", "message"].map((name) => parts[name]).filter((part) => typeof part === "string");
  const text = typeof value === "string" ? value : typeof parts.traceback === "string" ? parts.traceback : "";
  const body = text || (line.length ? "" : json(value, 2));
  const last = line.length ? line.join(": ") : (body.trimEnd().split("\n").at(-1) ?? "");
  const short = visible(last.trim().replace(/\s*\n\s*/g, " ")).slice(0, 300);
  return html`
    <details class="panel exception" open>
      <summary><${Icon} name="chevron" /><h2>Exception</h2><bdi>${short}</bdi></summary>
      ${body && body.trim() !== last && html`
        <${Copy} class="head-copy" text=${body} label="Copy the traceback" />
        <pre tabindex="0" aria-label="Traceback">${cut(visible(body, { lines: true }))}</pre>
      `}
    </details>
  `;
}

function Panel({ kind, title, short, open = false, children }) {
  const start = useMemo(() => open, []);
  return html`
    <details class="panel ${kind}" open=${start}>
      <summary><${Icon} name="chevron" /><h2>${title}</h2><bdi class="muted cut">${visible(short)}</bdi></summary>
      ${children}
    </details>
  `;
}

function Rows({ rows }) {
  const more = rows.length - ROWS_MAX;
  const row = ([path, leaf]) => html`<${Row} key=${path.join("\0")} path=${path} leaf=${leaf} />`;
  return html`
    <dl>${rows.slice(0, ROWS_MAX).map(row)}</dl>
    ${more > 0 && html`<p class="muted">and ${many(more, "more value")}</p>`}
  `;
}

/** A path, its parents paler than its last part, and what is there. */
function Row({ path, leaf }) {
  const parents = path.slice(0, -1).map((name) => `${visible(name)}.`).join("");
  const text = typeof leaf === "string" ? leaf : json(leaf);
  const block = text.length > LINE_MAX || text.includes("\n");
  const lines = () => cut(visible(typeof leaf === "string" ? leaf : json(leaf, 2), { lines: true }));
  const shown = block
    ? html`<dd class="block"><pre tabindex="0">${lines()}</pre></dd>`
    : html`<dd><bdi>${visible(text)}</bdi></dd>`;
  const term = html`<bdi>${parents && html`<span class="muted">${parents}</span>`}${visible(path.at(-1))}</bdi>`;
  return html`<div><dt>${term}</dt>${shown}</div>`;
}

/** What a search of the config goes through: path and value. */
function searched([path, leaf]) {
  return `${path.join(".")}\n${typeof leaf === "string" ? leaf : json(leaf)}`.toLowerCase();
}

/** A commit in words, or what is there instead. */
function commit(git) {
  if (typeof git !== "object" || git === null || typeof git.commit !== "string") return git;
  const { commit: hash, branch, dirty, ...others } = git;
  const on = typeof branch === "string" ? ` on ${branch}` : "";
  const state = dirty === true ? ", with uncommitted changes" : dirty === false ? "" : ", changes unknown";
  const more = Object.keys(others).length ? ` ${json(others)}` : "";
  return hash.slice(0, COMMIT) + on + state + more;
}

function* flat(value, path) {
  const entries = typeof value === "object" && value !== null && !Array.isArray(value) ? Object.entries(value) : [];
  if (!entries.length) yield [path.length ? path : ["value"], value];
  for (const [name, held] of entries) yield* flat(held, [...path, name]);
}
