// The colours of a chart beside those of its lines, from the style sheet.

const FORCED = {
  ground: "Canvas",
  text: "CanvasText",
  label: "CanvasText",
  grid: "GrayText",
  axis: "CanvasText",
  alarm: "CanvasText",
};
let known = null;
const dark = matchMedia("(prefers-color-scheme: dark)");
const contrast = matchMedia("(forced-colors: active)");

/** `{ground, text, label, grid, axis, alarm}` of the colour scheme of now. */
export function inks() {
  if (!known && contrast.matches) known = FORCED;
  if (!known) {
    const style = getComputedStyle(document.documentElement);
    const read = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
    known = {
      ground: read("--panel", "#ffffff"),
      text: read("--text", "#1d1f23"),
      label: read("--muted", "#62676f"),
      grid: read("--line", "#e3e4e3"),
      axis: read("--axis", read("--line", "#c8cac9")),
      alarm: read("--alarm", "#c2362b"),
    };
  }
  return known;
}

/** Calls `changed` when the colour scheme has changed; returns what ends that. */
export function onScheme(changed) {
  const forget = () => {
    known = null;
    changed();
  };
  for (const list of [dark, contrast]) list.addEventListener("change", forget);
  return () => {
    for (const list of [dark, contrast]) list.removeEventListener("change", forget);
  };
}
