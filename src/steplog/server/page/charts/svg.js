// A drawing context that writes SVG: what a chart needs of CanvasRenderingContext2D, and `text()`.

const STYLES = {
  font: "11px sans-serif",
  fillStyle: "#000000",
  strokeStyle: "#000000",
  lineWidth: 1,
  globalAlpha: 1,
  lineJoin: "miter",
  lineCap: "butt",
  textAlign: "left",
  textBaseline: "alphabetic",
};
const ANCHORS = { left: "start", right: "end", center: "middle" };
const BASELINES = { middle: 0.35, top: 0.85 }; // of the size: how far below the given place text stands

export class SvgContext {
  constructor(width, height) {
    Object.assign(this, STYLES);
    this.size = { width, height };
    this.parts = [];
    this.path = "";
    this.rects = null; // of one style, that come one after the other
    this.dashes = [];
    this.place = { left: 0, top: 0, by: 1 };
    this.states = [];
    this.opened = 0; // groups, each with a clip path
    this.clips = 0;
    this.ruler = new OffscreenCanvas(1, 1).getContext("2d");
  }

  text() {
    this.#endRects();
    const { width, height } = this.size;
    const open = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"`;
    return `${open} viewBox="0 0 ${width} ${height}" font-family="sans-serif">\n${this.parts.join("\n")}\n</svg>\n`;
  }

  save() {
    const styles = Object.fromEntries(Object.keys(STYLES).map((name) => [name, this[name]]));
    this.states.push({ styles, dashes: this.dashes, place: this.place, opened: this.opened });
  }

  restore() {
    this.#endRects();
    const { styles, dashes, place, opened } = this.states.pop();
    for (; this.opened > opened; this.opened -= 1) this.parts.push("</g>");
    Object.assign(this, styles, { dashes, place });
  }

  translate(left, top) {
    const { place } = this;
    this.place = { ...place, left: place.left + left * place.by, top: place.top + top * place.by };
  }

  scale(by) {
    this.place = { ...this.place, by: this.place.by * by };
  }

  beginPath() {
    this.path = "";
  }

  moveTo(left, top) {
    this.path += `M${this.#at(left, top)}`;
  }

  lineTo(left, top) {
    this.path += `${this.path ? "L" : "M"}${this.#at(left, top)}`;
  }

  /** A whole circle. */
  arc(left, top, radius) {
    const size = round(radius * this.place.by);
    const half = `a${size} ${size} 0 1 1 `;
    this.path += `M${this.#at(left - radius, top)}${half}${2 * size} 0${half}${-2 * size} 0z`;
  }

  rect(left, top, width, height) {
    const { by } = this.place;
    this.path += `M${this.#at(left, top)}h${round(width * by)}v${round(height * by)}h${round(-width * by)}z`;
  }

  stroke() {
    this.#endRects();
    if (!this.path) return;
    const width = `stroke="${this.strokeStyle}" stroke-width="${round(this.lineWidth * this.place.by)}"`;
    const dashes = this.dashes.length ? ` stroke-dasharray="${this.dashes.join(" ")}"` : "";
    const ends = ` stroke-linejoin="${this.lineJoin}" stroke-linecap="${this.lineCap}"`;
    this.parts.push(`<path d="${this.path}" fill="none" ${width}${ends}${dashes}${this.#alpha()}/>`);
  }

  fill() {
    this.#endRects();
    if (this.path) this.parts.push(`<path d="${this.path}" fill="${this.fillStyle}"${this.#alpha()}/>`);
  }

  fillRect(left, top, width, height) {
    const { path } = this;
    const look = `fill="${this.fillStyle}"${this.#alpha()}`;
    if (this.rects?.look !== look) this.#endRects();
    this.path = this.rects?.path ?? "";
    this.rect(left, top, width, height);
    this.rects = { look, path: this.path };
    this.path = path;
  }

  clip() {
    this.#endRects();
    this.clips += 1;
    this.opened += 1;
    this.parts.push(`<clipPath id="clip${this.clips}"><path d="${this.path}"/></clipPath>`);
    this.parts.push(`<g clip-path="url(#clip${this.clips})">`);
  }

  setLineDash(lengths) {
    this.dashes = lengths;
  }

  measureText(text) {
    this.ruler.font = this.font;
    return this.ruler.measureText(text);
  }

  fillText(text, left, top) {
    this.#endRects();
    const size = parseFloat(this.font.match(/[\d.]+(?=px)/)?.[0] ?? "11");
    const [x, y] = this.#at(left, top + size * (BASELINES[this.textBaseline] ?? 0)).split(" ");
    const weight = /\b(?:bold|[6-9]00)\b/.test(this.font) ? ` font-weight="600"` : "";
    const look = `font-size="${size}"${weight} text-anchor="${ANCHORS[this.textAlign]}" fill="${this.fillStyle}"`;
    this.parts.push(`<text x="${x}" y="${y}" ${look}>${escaped(text)}</text>`);
  }

  #at(left, top) {
    const { place } = this;
    return `${round(place.left + left * place.by)} ${round(place.top + top * place.by)}`;
  }

  #alpha() {
    return this.globalAlpha < 1 ? ` opacity="${this.globalAlpha}"` : "";
  }

  #endRects() {
    if (this.rects) this.parts.push(`<path d="${this.rects.path}" ${this.rects.look}/>`);
    this.rects = null;
  }
}

const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const escaped = (text) => text.replace(/[&<>"]/g, (found) => ENTITIES[found]);
const round = (value) => Math.round(value * 100) / 100;
