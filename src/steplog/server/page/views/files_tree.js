// Files by their folders: sizes, downloads, and a look at those that a browser can show.

import { textAt } from "../data/arrival.js";
import { sizeOf } from "../data/media.js";
import { treeOf } from "../data/run_files.js";
import { many, number, visible } from "../data/values.js";
import { html, useMemo, useSignal } from "../ui.js";
import { Media } from "./media.js";
import { Download, Instead, MediaPlace, useLoaded } from "./media_parts.js";
import { Button } from "./parts/button.js";
import { Icon } from "./parts/icon.js";
import { SearchField } from "./parts/search_field.js";
import { SampleText } from "./samples_text.js";

const OPEN_MAX = 30; // files of a folder that is open at first
const PAGE = 100;
const SEARCHED = 12; // fewer files are not searched
const TEXT_BYTES_MAX = 512 * 1024;
const SHOWN_AS = {
  image: ["png", "apng", "jpg", "jpeg", "gif", "webp", "avif", "bmp"],
  audio: ["wav", "mp3", "ogg", "flac", "m4a"],
  video: ["mp4", "webm"],
  html: ["html", "htm"],
  text: [
    "txt", "log", "md", "rst", "json", "jsonl", "yaml", "yml", "toml", "ini", "cfg", "csv", "tsv", "py", "sh", "xml",
  ],
};

/** `address(file)`: the path of a file's content. */
export function FilesTree({ files, address, label }) {
  const words = useSignal("");
  const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = files.filter(({ path }) => wanted.every((word) => path.toLowerCase().includes(word)));
  const tree = useMemo(() => treeOf(found), [files, words.value]);
  const some = wanted.length ? `${number(found.length)} of ` : "";
  return html`
    ${files.length >= SEARCHED && html`<${SearchField} label="Search these files" value=${words.value}
      onInput=${(text) => (words.value = text)} />`}
    <ul class="files" aria-label=${label}><${Inside} folder=${tree} address=${address} /></ul>
    <p class="muted figures" role="status">${some}${many(files.length, "file")}, ${sizeOf(tree.size)}</p>
  `;
}

function Inside({ folder: { folders, files }, address }) {
  const shown = useSignal(PAGE);
  const left = folders.length + files.length - shown.value;
  const entries = [
    ...folders.slice(0, shown.value).map((each) => html`
      <${Folder} key="${each.name}/" folder=${each} address=${address} />`),
    ...files.slice(0, Math.max(0, shown.value - folders.length)).map((each) => html`
      <${File} key=${each.name} file=${each} address=${address} />`),
  ];
  return html`
    ${entries}
    ${left > 0 && html`<li><${Button} onClick=${() => (shown.value += PAGE)}>Show more (${number(left)})<//></li>`}
  `;
}

function Folder({ folder, address }) {
  const open = useSignal(folder.count <= OPEN_MAX);
  return html`
    <li>
      <div class="file">
        <button type="button" class="fold-name" aria-expanded=${String(open.value)}
          onClick=${() => (open.value = !open.value)}>
          <${Icon} name="chevron" turned=${open.value} /><bdi>${visible(folder.name)}</bdi>
        </button>
        <span class="muted figures">${many(folder.count, "file")}, ${sizeOf(folder.size)}</span>
      </div>
      ${open.value && html`<ul><${Inside} folder=${folder} address=${address} /></ul>`}
    </li>
  `;
}

function File({ file, address }) {
  const open = useSignal(false);
  const kind = kindOf(file);
  const name = visible(file.name);
  const path = address(file);
  const title = kind && file.present
    ? html`
      <button type="button" class="fold-name" aria-expanded=${String(open.value)} aria-label="Show ${name}"
        onClick=${() => (open.value = !open.value)}><${Icon} name="chevron" turned=${open.value} /><bdi>${name}</bdi>
      </button>`
    : html`<span class="fold-name plain"><bdi>${name}</bdi></span>`;
  return html`
    <li>
      <div class="file">
        ${title}
        <span class="muted figures">${file.present ? sizeOf(file.size) : `${sizeOf(file.size)}, not here yet`}</span>
        ${file.present && html`<${Download} path=${path} label="Download ${name}" children="" />`}
      </div>
      ${open.value && html`<div class="file-shown"><${Shown} file=${file} kind=${kind} path=${path} /></div>`}
    </li>
  `;
}

function Shown({ file, kind, path }) {
  if (kind === "text") return html`<${Text} path=${path} />`;
  const place = { name: file.path, address: () => path, move: null };
  return html`<${MediaPlace.Provider} value=${place}><${Media} value=${{ _type: kind, file: file.path }} /><//>`;
}

function Text({ path }) {
  const { state, found } = useLoaded((signal, absent) => textAt(path, signal, absent));
  if (state) return html`<${Instead} state=${state} kind="file" path=${path} />`;
  return found === null ? html`<p class="muted">…</p>` : html`<${SampleText} text=${found} find="" />`;
}

/** As what a file is shown, a key of `SHOWN_AS`, or null. */
function kindOf({ name, size }) {
  const suffix = name.includes(".") ? name.slice(name.lastIndexOf(".") + 1).toLowerCase() : "";
  const kind = Object.keys(SHOWN_AS).find((each) => SHOWN_AS[each].includes(suffix)) ?? null;
  return kind === "text" && size > TEXT_BYTES_MAX ? null : kind;
}
