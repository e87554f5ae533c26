// The top of every page: breadcrumbs, connection state, notices.

import { web } from "./address.js";
import { el, fill, setText } from "./dom.js";
import { clock } from "./time.js";
import { visible } from "./values.js";

const pulse = el("span", { class: "pulse" });
let heard = null;

/** The children of the header. */
export function header(here) {
  const trail = [el("a", { href: web.home(), class: "brand" }, "steplog")];
  if (here.kind !== "home") {
    trail.push(el("span", { class: "muted", "aria-hidden": "true" }, "/"), el("bdi", {}, visible(here.namespace)));
    trail.push(el("span", { class: "muted", "aria-hidden": "true" }, "/"));
    trail.push(el("a", { href: web.project(here) }, el("bdi", {}, visible(here.project))));
  }
  return [el("nav", { class: "trail", "aria-label": "Where this is" }, ...trail), pulse];
}

/** Show a notice; an empty text removes it. */
export function say(text, kind = "info") {
  const notice = document.getElementById("notice");
  if (text === notice.textContent) return;
  notice.className = text ? kind : "";
  fill(notice, text);
}

/** Show the connection state: `away_s` is the seconds to the next try, 0 after a response. */
export function standing(away_s) {
  if (!away_s) {
    heard = new Date();
    say("");
    setText(pulse, `as of ${clock(heard)}`);
    return;
  }
  const shown = heard ? `What is shown is from ${clock(heard)}.` : "";
  say(`The server does not answer; trying again in ${away_s} s. ${shown}`.trim(), "away");
}
