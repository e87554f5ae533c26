// Markup of somebody else made harmless and quiet: nothing in it runs, loads, or leads anywhere.
//
// What shows it is a frame without scripts, under the page's own policy. This takes away what these would refuse, each
// time with a message in the console, and makes style sheets of its styles, which the policy refuses as markup.

const GONE =
  "script, iframe, frame, frameset, object, embed, applet, base, meta, link, template, portal, fencedframe, style";
const LOADS = new Set([
  "src", "srcset", "href", "xlink:href", "data", "poster", "background", "action", "formaction", "ping", "manifest",
  "srcdoc", "archive", "classid", "codebase", "longdesc", "imagesrcset", "attributionsrc", "autofocus",
]);
const INLINE_IMAGE = /^\s*data:image\/[\w.+-]+[;,]/i;
const LOADED_BY_STYLE = /@import[^;]*;?|url\(\s*(?!["']?(?:data:image\/|#))[^)]*\)/gi;
const STYLES_MAX = 1_000_000; // characters
const STYLED = "data-styled";
const PAPER = ":root { color-scheme: light; background: #fff; color: #16181d; font: 14px/1.5 system-ui, sans-serif }";

/**
 * The page at an address, harmless: `{root, styles, inline}`. `root` is its `html` element, in a document that is not
 * shown; `styles` the text of its style sheets; `inline` the style of each element whose attribute `data-styled` has
 * its place in that list.
 */
export async function markupAt(address, signal) {
  const { documentElement: root } = await parsed(address, signal);
  const styles = [...root.querySelectorAll("style")].map(({ textContent: text }) => text).join("\n");
  root.querySelectorAll(GONE).forEach((element) => element.remove());
  const inline = [];
  for (const element of [root, ...root.querySelectorAll("*")]) quieten(element, inline);
  return { root, styles: unloading(styles.slice(0, STYLES_MAX)), inline };
}

/** Put a page into the document of a frame in which no script runs; returns its root there. */
export function fill(frame, { root, styles, inline }) {
  const { contentDocument: inside, contentWindow: window } = frame;
  const shown = inside.importNode(root, true);
  for (const element of [shown, ...shown.querySelectorAll(`[${STYLED}]`)]) {
    const text = inline[element.getAttribute(STYLED)];
    if (text) element.style.cssText = text; // as a property, which the page's policy allows
  }
  inside.documentElement.replaceWith(shown);
  const sheet = new window.CSSStyleSheet();
  sheet.replaceSync(`${PAPER}\n${styles}`);
  inside.adoptedStyleSheets = [sheet];
  return shown;
}

/** Parsed by the browser as it loads: making markup out of a text is what the page's policy forbids. */
function parsed(address, signal) {
  const request = new XMLHttpRequest();
  return new Promise((done, stop) => {
    const fail = () => stop(new Error("The page was not loaded."));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.open("GET", address);
    request.responseType = "document";
    request.overrideMimeType("text/html; charset=utf-8");
    request.onload = () => {
      if (request.status === 200 && request.response?.documentElement) done(request.response);
      else fail();
    };
    request.onerror = request.onabort = fail;
    request.send();
  });
}

function quieten(element, inline) {
  element.removeAttribute(STYLED);
  for (const { name, value } of [...element.attributes]) {
    const called = name.toLowerCase();
    const isImage = called === "src" && element.localName === "img" && INLINE_IMAGE.test(value);
    const isPlace = called === "href" && value.startsWith("#");
    if (called === "style") element.setAttribute(STYLED, String(inline.push(unloading(value)) - 1));
    const loads = LOADS.has(called) && !isImage && !isPlace;
    if (loads || called === "style" || called.startsWith("on")) element.removeAttribute(name);
  }
}

const unloading = (styles) => styles.replace(LOADED_BY_STYLE, "");
