// Calls as a table, which on a narrow screen becomes a list of cards. Only rows that changed are drawn again.

import { html, memo } from "../preact.js";
import { count, plural } from "../format.js";
import { href } from "../router.js";
import { isOver } from "../store.js";
import { Icon } from "./icon.js";
import { Meter } from "./meter.js";
import { CallState, Flag } from "./state.js";
import { Clock, Elapsed } from "./time.js";

const KINDS = { call: "Call", meeting: "Meeting", stream: "Telephony stream" };
const KIND_ICONS = { call: "calls", meeting: "meetings", stream: "plug" };
const DIRECTIONS = { incoming: "in", outgoing: "out" };

/** `isShort`: without the columns that a small card has no room for. */
export const CallList = memo(({ rows, label, isShort = false }) => html`
  <table class=${isShort ? "table calls is-short" : "table calls"} aria-label=${label}>
    <thead><tr>
      <th scope="col">With</th><th scope="col">State</th><th scope="col">Level</th>
      ${!isShort && html`
        <th scope="col" class="num">People</th><th scope="col">Bot</th><th scope="col">Started</th>`}
      <th scope="col" class="num">Duration</th>
    </tr></thead>
    <tbody>${rows.map((row) => html`<${CallRow} key=${row.id} row=${row} isShort=${isShort} />`)}</tbody>
  </table>`);

const CallRow = memo(({ row, isShort }) => {
  const over = isOver(row);
  return html`
    <tr class=${over ? "is-over" : ""}>
      <td class="cell-title">
        <span class="kind-sign" title=${KINDS[row.kind]}>
          <${Icon} name=${KIND_ICONS[row.kind] ?? "calls"} size="18" /></span>
        <span class="title-words">
          <a class="row-link" href=${href("calls", row.id)}>${row.title || KINDS[row.kind]}</a>
          <span class="quiet small-text under-title">
            <span class="visually-hidden">${KINDS[row.kind]}, </span>
            ${row.direction !== null && html`
              <span class="nowrap"><${Icon} name=${DIRECTIONS[row.direction]} size="13" />
                <span class=${isShort ? "visually-hidden" : ""}>${row.direction}</span></span>`}
            ${isShort && row.bot !== null && html`<span class="truncate">${row.bot}</span>`}
            ${isShort && html`<span class="nowrap">${plural(row.people, "person", "people")}</span>`}
          </span>
        </span>
      </td>
      <td data-label="State"><span class="chips"><${CallState} name=${row.state} />
        ${row.flags.map((flag) => html`<${Flag} key=${flag} name=${flag} />`)}</span></td>
      <td data-label="Level" class="cell-meter">${!over && row.legs.length > 0
        ? html`<${Meter} legKeys=${row.legs} label=${`Level of ${row.title}`} />`
        : html`<span class="quiet" aria-label="none">–</span>`}</td>
      ${!isShort && html`
        <td data-label="People" class="num figure">${count(row.people)}</td>
        <td data-label="Bot">${row.bot ?? "–"}</td>
        <td data-label="Started"><${Clock} at=${row.startedAt} /></td>`}
      <td data-label="Duration" class="num"><${Elapsed} since=${row.startedAt} until=${row.endedAt} /></td>
    </tr>`;
});
