// The entry point: the view for the current URL, or why there is none.

import { place } from "./address.js";
import { Refused } from "./api.js";
import { el, fill } from "./dom.js";
import { showHome } from "./home.js";
import { showProject } from "./project.js";
import { showRun } from "./run.js";
import { keepToken, takeToken } from "./token.js";
import { header, say } from "./top.js";

const VIEWS = { home: showHome, project: showProject, run: showRun };

async function begin() {
  const here = place(location.pathname);
  const main = document.getElementById("main");
  fill(document.getElementById("top"), ...header(here));
  await takeToken();
  try {
    await VIEWS[here.kind](here, main);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    say("");
    fill(main, tokenForm());
  }
}

/** The form shown without a valid token. */
function tokenForm() {
  const input = el("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false", required: "" });
  const form = el(
    "form",
    { class: "panel ask" },
    el("h1", {}, "This page needs its token"),
    el("p", {}, "Open the address that your program printed, or that “steplog key page” prints: it ends in #token=…"),
    el("label", { for: "token" }, "Or paste that address, or the token alone:"),
    el("div", { class: "row" }, input, el("button", {}, "Open")),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    keepToken(input.value.trim().replace(/^.*#token=/, ""));
    location.reload();
  });
  return form;
}

// Pasting a URL with a token into this page changes only the fragment.
addEventListener("hashchange", () => {
  if (location.hash.startsWith("#token=")) takeToken().then(() => location.reload());
});

begin();
