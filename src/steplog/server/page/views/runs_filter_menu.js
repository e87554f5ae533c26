// What runs are most often filtered by: their status, tags, group and user, to choose from.

import { valuesOf } from "../data/runs_fields.js";
import { conditionsOf, hasCondition, withSwitched } from "../data/runs_filter.js";
import { visible } from "../data/values.js";
import { html, useEffect, useSignal } from "../ui.js";
import { Chip } from "./parts/chip.js";
import { Popover } from "./parts/popover.js";

const STATUSES = ["RUNNING", "COMPLETED", "CRASHED", "FAILED"];

export function FilterMenu({ here, view }) {
  const count = conditionsOf(view.where.value).length;
  return html`
    <${Popover} label="Filter by" icon="filter" kind="quiet" class="runs-choices"
      text=${count ? `Filter · ${count}` : "Filter"}>
      ${() => html`<${Choices} here=${here} view=${view} />`}
    <//>
  `;
}

function Choices({ here, view }) {
  const known = useSignal(null);
  useEffect(() => void valuesOf(here).then((values) => (known.value = values), () => {}), []);
  const { tag = [], group = [], user = [] } = known.value ?? {};
  const section = (title, field, values, isOnly) => {
    if (!values.length) return null;
    const chip = (value) => {
      const text = value === null ? "none" : field === "status" ? value.toLowerCase() : visible(value);
      const change = () => (view.where.value = withSwitched(view.where.value, field, value, isOnly));
      const isChosen = hasCondition(view.where.value, field, value);
      const label = `${title}: ${text}`;
      return html`<${Chip} key=${value} label=${label} pressed=${isChosen} onClick=${change}>${text}<//>`;
    };
    return html`
      <div role="group" aria-label=${title}><h2>${title}</h2><div class="chips">${values.map(chip)}</div></div>
    `;
  };
  return html`
    ${section("Status", "status", STATUSES, true)}
    ${section("Tags", "tag", tag, false)}
    ${section("Group", "group", group.length ? [...group, null] : [], true)}
    ${section("User", "user", user.length > 1 ? user : [], true)}
  `;
}
