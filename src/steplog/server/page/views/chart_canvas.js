// The canvas of a chart, and what is under the cursor there.

import { Plot } from "../charts/plot.js";
import { sceneOf } from "../charts/scene.js";
import { effect, html, signal, untracked, useEffect, useMemo, useRef } from "../ui.js";
import { Tip } from "./chart_tip.js";

/** `drawn` is a signal that gets the scene. */
export function Canvas({ board, chart, drawn }) {
  const element = useRef(null);
  const pointer = useMemo(() => signal(null), []); // where the pointer is; null: the keyboard reads
  useEffect(() => {
    const drawing = new Drawing(element.current, board, chart, drawn);
    return () => drawing.end();
  }, [chart.key]);
  const moved = ({ clientX: left, clientY: top, pointerType }) => {
    pointer.value = { left, top, isFinger: pointerType === "touch" };
  };
  return html`
    <div class="chart-canvas" aria-busy=${String(!drawn.value)} onPointerMove=${moved} onPointerDown=${moved}
      onKeyDown=${() => (pointer.value = null)}>
      <div ref=${element}></div>
      <${NoValues} view=${board.view} drawn=${drawn} />
      <${Tip} board=${board} chart=${chart} drawn=${drawn} pointer=${pointer} />
    </div>
  `;
}

/** What is said in the place of lines where there are none. */
function NoValues({ view, drawn }) {
  if (!drawn.value || drawn.value.lines.some(({ x }) => x.length)) return null;
  const where = view.range.value ? "in what is zoomed into" : "in these runs";
  return html`<p class="no-values">No values ${where}</p>`;
}

class Drawing {
  constructor(element, board, chart, drawn) {
    const { view, cursor, curves, emphasis } = board;
    Object.assign(this, { board, chart, drawn });
    this.plot = new Plot(element, {
      onZoom: (range) => (view.range.value = range),
      onHover: (x, id = null) => (cursor.value = x === null ? null : { x, id, key: chart.key }),
      onPick: (id) => board.pick(id),
    });
    const measured = element.closest(".card") ?? element;
    board.measure(measured);
    this.sizes = new ResizeObserver(() => board.measure(measured));
    this.sizes.observe(measured);
    const coarse = chart.names.map((name) => board.coarser?.found(name));
    const wanted = chart.names.map((name) => curves.want(name));
    this.ends = [
      effect(() => this.#follow(wanted.map((each, at) => each.value ?? coarse[at]?.value ?? null))),
      effect(() => this.#point(cursor.value)),
      effect(() => this.plot.emphasise(emphasis.value ? [emphasis.value] : [])),
    ];
  }

  #follow(curves) {
    const { board, chart } = this;
    const runs = board.runs.value;
    const view = choices(board.view, chart);
    if (curves.every((each) => each === null)) return;
    board.inFrame(this, () => {
      const scene = sceneOf({ curves, runs, view, label: chart.title });
      this.plot.draw(scene);
      this.plot.paint(); // now: the board counts how long it takes
      this.#point(untracked(() => board.cursor.value));
      this.drawn.value = scene;
    });
  }

  #point(at) {
    if (at?.key !== this.chart.key) this.plot.setCursor(at ? at.x : null);
  }

  end() {
    const { board, chart } = this;
    board.inFrame(this, null);
    this.ends.forEach((end) => end());
    this.sizes.disconnect();
    this.plot.destroy();
    for (const name of chart.names) board.curves.release(name);
    if (board.cursor.peek()?.key === chart.key) board.cursor.value = null;
  }
}

/** What of the view a chart's scene depends on. */
export function choices(view, chart) {
  return {
    x: view.x.value,
    range: view.range.value,
    smoothing: view.smoothing.value,
    logX: view.logX.value,
    logY: isLog(view, chart),
    group: view.group.value,
  };
}

/** Whether a chart's values are on a logarithmic scale. */
export const isLog = (view, { key }) => view.logY.value !== view.logOf.value.includes(key);
