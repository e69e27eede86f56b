// One call: who is in it and how they sound, what happened, and what can be done about it.

import { html, memo } from "../preact.js";
import { CallActions } from "../call/actions.js";
import { Details } from "../call/details.js";
import { CallEvents } from "../call/events.js";
import { Legs } from "../call/legs.js";
import { PluginsPanel } from "../call/plugins.js";
import { RecordingsPanel } from "../call/recordings.js";
import { Roster } from "../call/roster.js";
import { RoutingPanel } from "../call/routing.js";
import { Timeline } from "../call/timeline.js";
import { shortId } from "../format.js";
import { useCall, useMeters } from "../live.js";
import { Empty, Loading } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { Copy } from "../parts/json.js";
import { Page } from "../parts/page.js";
import { CallState, Flag, sideName } from "../parts/state.js";
import { TabPanel, Tabs } from "../parts/tabs.js";
import { Clock, Elapsed } from "../parts/time.js";
import { href } from "../router.js";

const KINDS = { call: "Call", meeting: "Meeting", stream: "Telephony stream" };

const TABS = [
  { id: "live", title: "Live", count: () => null, panel: LivePanel },
  { id: "events", title: "Events", count: () => null, panel: CallEvents },
  { id: "routing", title: "Who hears whom", count: () => null, panel: RoutingPanel },
  { id: "plugins", title: "Plugins", count: (call) => call.plugins.length, panel: PluginsPanel },
  { id: "recordings", title: "Recordings", count: (call) => call.recordings.length, panel: RecordingsPanel },
  { id: "details", title: "Details", count: () => null, panel: Details },
];

/** `id`: of the row or of one of its calls; `tab`: which part of it. */
export function CallView({ id, tab }) {
  const { call, row, isLoading, isGone } = useCall(id);
  useMeters([row?.id ?? id]);
  if (isGone) return html`<${Gone} id=${id} />`;
  const title = row?.title || KINDS[row?.kind] || "Call";
  const current = TABS.find((each) => each.id === tab) ?? TABS[0];
  return html`
    <${Back} />
    <${Page} title=${title} lead=${row && html`<${Lead} row=${row} />`}
             actions=${call && html`<${CallActions} call=${call} />`}>
      ${isLoading ? html`<section class="card"><${Loading} lines="6" /></section>` : html`
        <${Tabs} label="Parts of the call" current=${current.id} base=${["calls", id]}
                 tabs=${TABS.map((each) => ({ ...each, badge: each.count(call) }))} />
        <${TabPanel} current=${current.id}><${current.panel} key=${current.id} call=${call} /><//>`}
    <//>`;
}

const Back = () => html`
  <nav class="crumbs" aria-label="Back">
    <a href=${href("calls")}><${Icon} name="back" size="16" />Calls</a></nav>`;

const Lead = memo(({ row }) => html`
  <div class="call-lead">
    <${CallState} name=${row.state} />
    ${row.flags.map((flag) => html`<${Flag} key=${flag} name=${flag} />`)}
    <span>${KINDS[row.kind]}${row.direction === null ? "" : `, ${row.direction}`}</span>
    ${row.bot !== null && html`<span><${Icon} name="bots" size="15" /> ${row.bot}</span>`}
    <span><${Clock} at=${row.startedAt} />, <${Elapsed} since=${row.startedAt} until=${row.endedAt} /></span>
    <span class="row id-line"><code title=${row.id}>${shortId(row.id)}</code>
      <${Copy} text=${row.id} label="Copy the id" /></span>
    <span>${row.sides.map(sideName).join(" and ")}</span>
  </div>`);

function LivePanel({ call }) {
  return html`
    <div class="call-live">
      <${Roster} call=${call} />
      <${Timeline} steps=${call.timeline} />
      <${Legs} legs=${call.legs} />
    </div>`;
}

const Gone = ({ id }) => html`
  <${Back} />
  <${Page} title="Not here any more">
    <section class="card"><${Empty} icon="calls" title="The server does not know this call.">
      <p class="wrap">The last calls that ended are kept; <code>${id}</code> is not among them,
        or never was here.</p>
      <a class="button" href=${href("calls")}>To the calls</a><//></section>
  <//>`;
