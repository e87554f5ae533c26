// Colours of runs.

const COLOURS = ["#3454c8", "#c2362b", "#1c7a43", "#8f5a00", "#7b3fb5", "#00798c", "#b0307a", "#5c6b00"];

/** A colour for each of these runs. */
export const coloursOf = (uuids) => new Map(uuids.map((uuid, at) => [uuid, COLOURS[at % COLOURS.length]]));
