// Marks of what a chart cannot draw: a cross at the bottom for NaN, a triangle at the edge for infinities.

const SIZE = 4;

/** Draw the marks of traces, one a column of pixels and kind. */
export function strokeMarks(context, traces, view, ratio, alarm) {
  const size = SIZE * ratio;
  context.save();
  context.lineWidth = 1.6 * ratio;
  context.lineCap = "round";
  for (const { line, marks } of traces) {
    if (!marks.x.length) continue;
    context.fillStyle = context.strokeStyle = traces.length === 1 ? alarm : line.colour;
    const seen = new Set();
    for (let at = 0; at < marks.x.length; at += 1) {
      const x = view.x(marks.x[at]);
      const key = Math.round(x / ratio) * 3 + marks.sign[at];
      if (!(x >= view.left - size && x <= view.left + view.width + size) || seen.has(key)) continue;
      seen.add(key);
      mark(context, x, marks.sign[at], view, size);
    }
  }
  context.restore();
}

function mark(context, x, sign, { top, height }, size) {
  const y = sign > 0 ? top + size : top + height - size;
  context.beginPath();
  if (sign) {
    context.moveTo(x - size, y + sign * size);
    context.lineTo(x + size, y + sign * size);
    context.lineTo(x, y - sign * size);
    context.fill();
    return;
  }
  context.moveTo(x - size, y - size);
  context.lineTo(x + size, y + size);
  context.moveTo(x + size, y - size);
  context.lineTo(x - size, y + size);
  context.stroke();
}
