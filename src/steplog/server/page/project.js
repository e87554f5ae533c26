// A project: its runs, newest first.

import { api } from "./address.js";
import { Missing, read } from "./api.js";
import { el, fill } from "./dom.js";
import { poll } from "./poll.js";
import { RunList } from "./runs.js";
import { say, standing } from "./top.js";
import { visible } from "./values.js";

export async function showProject(here, main) {
  document.title = `${visible(here.project)} · steplog`;
  const list = new RunList(here);
  let named = false;

  async function ask() {
    if (!named) {
      const project = await read(api.project(here));
      fill(main, el("h1", {}, el("bdi", {}, visible(project.display_name))), el("section", { class: "panel" }, list.element));
      named = true;
    }
    return { changed: await list.ask(), least: 3, most: 20 };
  }

  try {
    await poll(ask, standing);
  } catch (error) {
    if (!(error instanceof Missing)) throw error;
    say("This project is not on the server.", "gone");
  }
}
