// What the runs of a project have: fields that may be columns, and values to ask for.

import { api, query } from "./address.js";
import { read } from "./api.js";
import { rowsOf } from "./runs_apart.js";
import { same } from "./runs_cells.js";
import { metricField } from "./runs_columns.js";

const AGGREGATES = ["last", "min", "max", "count"];
const CONFIG = "config.";
const CONFIG_MAX = 10_000; // entries
const VALUES_OF = 2000; // runs whose values are looked at: the newest
const UNFINISHED = /\.(l|la|las|last|m|mi|min|ma|max|c|co|cou|coun|count)?$/;

/** `{fields, config, metrics, more}`: names that have a text in them, in any case. */
export const fieldsWith = (here, text, limit) => read(api.columns(here) + query({ q: text, limit }));

/** Fields of the filter language that have a text in them; a metric is one with what is told of it. */
export async function completions(here, text, limit) {
  const typed = text.toLowerCase();
  const isConfig = typed !== "" && (typed.startsWith(CONFIG) || CONFIG.startsWith(typed));
  const asked = typed.startsWith(CONFIG) ? null : fieldsWith(here, text.replace(UNFINISHED, ""), limit);
  const entries = isConfig ? fieldsWith(here, text.slice(CONFIG.length), limit) : asked;
  const { fields, metrics } = (await asked) ?? { fields: [], metrics: [] };
  const told = metrics.flatMap((name) => AGGREGATES.map((aggregate) => metricField(name, aggregate)));
  const some = UNFINISHED.test(text) ? told : told.filter((field) => field.endsWith(".last"));
  const all = [...fields, ...(await entries).config, ...some];
  const places = all.map((field) => [field.toLowerCase().indexOf(typed), field]);
  const found = places.filter(([place]) => place >= 0).sort(([a], [b]) => Number(a > 0) - Number(b > 0));
  return found.map(([, field]) => field).slice(0, limit);
}

/** The tags, groups and users of the newest runs: `{tag, group, user}`, each sorted. */
export async function valuesOf(here) {
  const { rows } = await read(api.table(here) + query({ columns: "tag,group,user", limit: VALUES_OF }));
  const sorted = (values) => [...new Set(values.filter((value) => value !== null && value !== undefined))].sort();
  return {
    tag: sorted(rows.flatMap(({ tag }) => tag ?? [])),
    group: sorted(rows.map(({ group }) => group)),
    user: sorted(rows.map(({ user }) => user)),
  };
}

/** The entries of the config that are not the same in all of some runs, as fields. */
export async function differing(here, uuids) {
  const { config } = await fieldsWith(here, "", CONFIG_MAX);
  const rows = [...(await rowsOf(here, uuids, config)).values()];
  return config.filter((field) => !rows.every((row) => same(row[field], rows[0][field])));
}
