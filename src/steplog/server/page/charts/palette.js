// Colours of runs: each has a contrast of at least 3 with the panels of both colour schemes.

// The first eight are far apart for colour-blind eyes too; the first twelve have each another hue.
const COLOURS = [
  ["#3764cd", "#af5113", "#0b7a54", "#eb6488", "#a35cfe", "#339cc4", "#989401", "#b2309b"],
  ["#e46c1d", "#04a322", "#de0054", "#676673"],
  ["#a689a3", "#ee55d2", "#8787e7", "#8053ab", "#a85772", "#748e73"],
  ["#75672d", "#b88861", "#6853f4", "#6b7bad", "#be67ab", "#b33dd3"],
];
const LIGHTNESS = [0.57, 0.6, 0.63]; // of further colours, in OKLCH
const TURN_DEGREES = 137.508; // the golden angle: colours that follow each other are far apart
const CHROMA_MAX = 0.17;

/**
 * A colour for each of these runs or groups: another for each, the same for the same set, in any order.
 * One that has a colour in `kept`, an earlier answer, keeps it.
 */
export function coloursOf(ids, kept = new Map()) {
  const found = new Map();
  const taken = new Set();
  const give = (id, colour) => {
    found.set(id, colour);
    taken.add(colour);
  };
  for (const id of ids) if (kept.has(id) && !taken.has(kept.get(id))) give(id, kept.get(id));
  const rest = ids.filter((id) => !found.has(id)).map((id) => ({ id, hash: hashOf(id) }));
  rest.sort((a, b) => a.hash - b.hash || (a.id < b.id ? -1 : 1));
  for (const { id, hash } of rest) if (!found.has(id)) give(id, freeColour(hash, taken));
  return new Map(ids.map((id) => [id, found.get(id)]));
}

/** Of the first colours that are not all taken: the one at the run's own place, or the next. */
function freeColour(hash, taken) {
  for (const among of COLOURS) {
    for (let by = 0; by < among.length; by += 1) {
      const colour = among[(hash + by) % among.length];
      if (!taken.has(colour)) return colour;
    }
  }
  for (let number = hash % 360; ; number += 1) {
    const colour = furtherColour(number);
    if (!taken.has(colour)) return colour;
  }
}

function furtherColour(number) {
  const lightness = LIGHTNESS[number % LIGHTNESS.length] + (Math.floor(number / 360) % 5) * 0.006;
  for (let chroma = CHROMA_MAX; ; chroma -= 0.01) {
    const channels = linearOf(lightness, chroma, (number * TURN_DEGREES * Math.PI) / 180);
    if (chroma <= 0 || channels.every((part) => part >= 0 && part <= 1)) return hexOf(channels);
  }
}

/** OKLCH as linear sRGB; https://bottosson.github.io/posts/oklab/ */
function linearOf(lightness, chroma, hue) {
  const [a, b] = [chroma * Math.cos(hue), chroma * Math.sin(hue)];
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
}

function hexOf(channels) {
  const bytes = channels.map((part) => {
    const known = Math.min(1, Math.max(0, part));
    return Math.round(255 * (known <= 0.0031308 ? 12.92 * known : 1.055 * known ** (1 / 2.4) - 0.055));
  });
  return `#${bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** FNV-1a of a text, 32 bits. */
function hashOf(text) {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}
