// "Copy as Python": a program that reads what a chart shows.

import { visible } from "../data/values.js";

/**
 * A program that reads the metrics `names` of these runs, each point of them. `here` is the project, `view` has `x` and
 * `range`, `origin` is the server's address.
 */
export function pythonOf({ here, runs, names, view, origin = location.origin }) {
  const labels = labelsOf(runs);
  const addresses = runs.map(({ uuid }, at) => {
    return `    ${literal(labels[at])}: ${literal(addressOf(here, uuid, origin))},`;
  });
  const [steps, note] = rangeOf(view);
  return `import steplog

NAMES = [${names.map(literal).join(", ")}]
RUNS = {
${addresses.join("\n")}
}
${note}
tables = {}
for label, address in RUNS.items():
    run = steplog.open(address)
    known = [name for name in NAMES if name in run.summary]
    if known:
        tables[label] = run.history(known${steps})

for label, table in tables.items():
    print(ascii(label), len(table), "rows of", ", ".join(map(ascii, table.columns)))
`;
}

/** The names of runs; of several with one name, with the beginning of their uuids. */
function labelsOf(runs) {
  const often = new Map();
  for (const { name } of runs) often.set(name, (often.get(name) ?? 0) + 1);
  return runs.map(({ name, uuid }) => (often.get(name) > 1 ? `${name} (${uuid})` : name));
}

function addressOf({ namespace, project }, uuid, origin) {
  const path = [namespace, "projects", project, "runs", uuid].map(encodeURIComponent).join("/");
  return `${origin}/${path}/`;
}

/** The range of a view as arguments of `history`, and as a comment where they cannot have it. */
function rangeOf({ x, range }) {
  if (!range) return ["", ""];
  const [from, to] = range;
  if (x === "step" || !x) return [`, start=${BigInt(Math.ceil(from))}, end=${BigInt(Math.floor(to))}`, ""];
  const date = (seconds) => new Date(seconds * 1000).toISOString();
  const ends = x === "time" ? [date(from), date(to)] : [`${from} s`, `${to} s after its start`];
  return ["", `# The chart shows of each run what is from ${ends.join(" to ")}; this reads all.\n`];
}

/** A text as Python writes it, in which nothing is invisible. */
const literal = (text) => visible(JSON.stringify(text));
