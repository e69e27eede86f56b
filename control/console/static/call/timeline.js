// The states a call came into, one below the other.

import { html, memo } from "../preact.js";
import { clockMs, secondsSince, words } from "../format.js";
import { Empty } from "../parts/empty.js";
import { Card } from "../parts/page.js";
import { sideName } from "../parts/state.js";
import { Clock } from "../parts/time.js";

export const Timeline = memo(({ steps }) => html`
  <${Card} title="Timeline" class="timeline-card">
    ${steps.length === 0 ? html`<${Empty} icon="events" title="No state has been told yet." />` : html`
      <ol class="timeline">${steps.map((step, i) => html`
        <li key=${`${step.at} ${step.side} ${step.state}`} data-side=${step.side}>
          <span class="timeline-state">${words(step.state)}</span>
          <span class="quiet small-text figure">
            ${sideName(step.side)}${i > 0 && `, ${after(steps[i - 1], step)}`}</span>
          ${step.reason !== null && html`<span class="small-text wrap">${step.reason}</span>`}
          <span class="timeline-at quiet small-text"><${Clock} at=${step.at} as=${clockMs} /></span>
        </li>`)}</ol>`}
  <//>`);

/** How long it took from the step before: "+0.3 s". */
function after(before, step) {
  const seconds = secondsSince(before.at, Date.parse(step.at));
  return seconds === null ? "" : `+${seconds.toFixed(seconds < 10 ? 2 : 0)}\u202fs`;
}
