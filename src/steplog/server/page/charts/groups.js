// Groups of runs: the mean of their values, and the least and the greatest of them, on a grid that they share.

const CELLS_MAX = 4096;
const SHARED_MIN = 0.95; // of the runs that go on at a place of the grid have a value there

/**
 * The curve of a group. `members` are `{x, y, low, high}` with x ascending, `low` and `high` null where they are `y`;
 * `width` is that of the members' buckets, 0 for single points. A mean is over the runs that have a value at its place.
 */
export function groupCurve(members, width) {
  const grid = gridOf(members, width);
  const cells = grid.cells;
  const found = {
    x: filled(cells, NaN),
    y: new Float64Array(cells),
    low: filled(cells, Infinity),
    high: filled(cells, -Infinity),
    runs: new Uint32Array(cells),
  };
  for (const member of members) add(found, grid, member);
  const places = [];
  for (let at = 0; at < cells; at += 1) if (found.runs[at]) places.push(at);
  const column = (values) => Float64Array.from(places, (at) => values[at]);
  return {
    x: column(found.x),
    y: Float64Array.from(places, (at) => found.y[at] / found.runs[at]),
    low: column(found.low),
    high: column(found.high),
    runs: Uint32Array.from(places, (at) => found.runs[at]),
  };
}

const filled = (count, value) => new Float64Array(count).fill(value);

/** A member's last value in each cell counts, and its extremes. */
function add(found, { start, width, cells }, { x, y, low, high }) {
  let cell = -1;
  let value = NaN;
  const end = () => {
    if (!Number.isNaN(value)) {
      found.y[cell] += value;
      found.runs[cell] += 1;
    }
    value = NaN;
  };
  for (let at = 0; at < x.length; at += 1) {
    const there = Math.min(cells - 1, Math.floor(x[at] / width) - start);
    if (there !== cell) {
      end();
      cell = there;
    }
    if (!Number.isNaN(y[at])) value = y[at];
    const [least, most] = [low ? low[at] : y[at], high ? high[at] : y[at]];
    if (least < found.low[cell]) found.low[cell] = least;
    if (most > found.high[cell]) found.high[cell] = most;
    if (!(x[at] < found.x[cell])) found.x[cell] = x[at];
  }
  end();
}

/** The finest grid, of powers of two, at whose places most runs have a value. */
function gridOf(members, width) {
  let [low, high] = [Infinity, -Infinity];
  for (const { x } of members) {
    if (!x.length) continue;
    low = Math.min(low, x[0]);
    high = Math.max(high, x.at(-1));
  }
  if (!(low <= high)) return { start: 0, width: 1, cells: 0 };
  let size = width || 2 ** Math.ceil(Math.log2(Math.max((high - low) / CELLS_MAX, Number.MIN_VALUE)));
  while ((high - low) / size > CELLS_MAX || low + size === low) size *= 2;
  const cellsOf = (at) => members.map(({ x }) => cellNumbers(x, at));
  while (high - low > size && shared(cellsOf(size), Math.floor(low / size)) < SHARED_MIN) size *= 2;
  const start = Math.floor(low / size);
  return { start, width: size, cells: Math.floor(high / size) - start + 1 };
}

/** The cells of ascending places, each once. */
function cellNumbers(x, width) {
  const found = new Float64Array(x.length);
  let many = 0;
  for (let at = 0; at < x.length; at += 1) {
    const cell = Math.floor(x[at] / width);
    if (!many || found[many - 1] !== cell) found[many++] = cell;
  }
  return found.subarray(0, many);
}

/** Which part of the values is there that would be if each run had one wherever any has, from its first to its last. */
function shared(cells, start) {
  const last = Math.max(...cells.map((each) => each.at(-1) ?? start));
  const before = new Uint32Array(last - start + 2); // how many cells before this one have a value of any run
  for (const each of cells) for (let at = 0; at < each.length; at += 1) before[each[at] - start + 1] = 1;
  for (let at = 1; at < before.length; at += 1) before[at] += before[at - 1];
  let [there, all] = [0, 0];
  for (const each of cells) {
    if (!each.length) continue;
    there += each.length;
    all += before[each.at(-1) - start + 1] - before[each[0] - start];
  }
  return there / all;
}
