// The home page: the projects of each namespace.

import { api, web } from "./address.js";
import { Missing, read } from "./api.js";
import { el, fill } from "./dom.js";
import { poll } from "./poll.js";
import { ago, fullDate } from "./time.js";
import { standing } from "./top.js";
import { many, visible } from "./values.js";

export async function showHome(_here, main) {
  document.title = "steplog";
  let before = "";

  async function ask() {
    const namespaces = await read(api.namespaces());
    const lists = await Promise.all(namespaces.map(({ slug }) => read(api.projects(slug)).catch(gone)));
    const now = JSON.stringify([namespaces, lists]);
    const changed = now !== before;
    if (changed) fill(main, el("h1", {}, "Projects"), ...sections(namespaces, lists));
    before = now;
    return { changed, least: 5, most: 30 };
  }

  await poll(ask, standing);
}

function sections(namespaces, lists) {
  const filled = namespaces.map((namespace, at) => [namespace, lists[at]]).filter(([, list]) => list.length);
  if (!filled.length) return [el("p", { class: "panel muted" }, "No project yet. The first run that is logged makes one.")];
  return filled.map(([{ slug, display_name: name }, list]) =>
    el(
      "section",
      { class: "panel" },
      el("h2", {}, el("bdi", {}, visible(name)), el("span", { class: "muted" }, ` ${many(list.length, "project")}`)),
      el("ul", { class: "links" }, ...list.toReversed().map((project) => row(slug, project))),
    ),
  );
}

function row(namespace, { slug, display_name: name, last_run_date: last }) {
  const when = last ? el("time", { datetime: last, title: fullDate(last) }, `last run ${ago(last)}`) : "no run yet";
  const link = el("a", { href: web.project({ namespace, project: slug }) }, el("bdi", {}, visible(name)));
  return el("li", {}, link, el("span", { class: "muted" }, when));
}

function gone(error) {
  if (error instanceof Missing) return [];
  throw error;
}
