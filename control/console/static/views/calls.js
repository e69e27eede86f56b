// All calls, meetings and telephony streams: those that live, and the last that ended.

import { html, useMemo, useState } from "../preact.js";
import { useMeters } from "../live.js";
import { CallList } from "../parts/call_list.js";
import { Empty, Loading } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { Page } from "../parts/page.js";
import { setQuery, useRoute } from "../router.js";
import { isOver, useStore } from "../store.js";
import { StartButtons } from "./start_buttons.js";

const SHOWS = [
  ["live", "Live", (row) => !isOver(row)],
  ["attention", "Attention", (row) => !isOver(row) && row.flags.some((flag) => flag !== "recording")],
  ["ended", "Ended", isOver],
  ["all", "All", () => true],
];

export function CallsView() {
  const rows = useStore((state) => state.callList);
  const hasCalls = useStore((state) => state.hasCalls);
  const { query } = useRoute();
  const [sought, setSought] = useState("");
  const show = SHOWS.find(([id]) => id === query.get("show")) ?? SHOWS[0];
  useMeters("all");

  const matching = useMemo(() => {
    const wanted = sought.trim().toLowerCase();
    return wanted === "" ? rows : rows.filter((row) => wordsOf(row).includes(wanted));
  }, [rows, sought]);
  const shown = useMemo(() => matching.filter(show[2]), [matching, show]);

  return html`
    <${Page} title="Calls" actions=${html`<${StartButtons} />`}>
      <section class="card flush" aria-label="Calls">
        <div class="toolbar">
          <div class="segments" role="group" aria-label="Which calls">
            ${SHOWS.map(([id, title, isIn]) => html`
              <button key=${id} type="button" class="small" aria-pressed=${id === show[0]}
                      onClick=${() => setQuery({ show: id === SHOWS[0][0] ? null : id })}>
                ${title} <span class="figure quiet">${matching.filter(isIn).length}</span></button>`)}
          </div>
          <div class="search">
            <${Icon} name="search" size="16" />
            <input type="search" aria-label="Find a call" placeholder="Name, bot or id" value=${sought}
                   onInput=${(event) => setSought(event.currentTarget.value)} />
          </div>
        </div>
        ${!hasCalls ? html`<${Loading} lines="6" />` : shown.length > 0
          ? html`<${CallList} rows=${shown} label=${`${show[1]} calls`} />`
          : html`<${Nothing} show=${show[0]} isSought=${sought.trim() !== ""} />`}
      </section>
    <//>`;
}

const wordsOf = (row) => [row.title, row.bot ?? "", row.id, ...row.callIds].join(" ").toLowerCase();

const NOTHING = {
  sought: ["No call matches.", "Names, bots and ids are looked through."],
  live: ["Nobody is on the line.", "Start a call or a meeting, and it appears here at once."],
  attention: ["All is well.",
    "Calls with loss, without media, with a failed plugin or somebody in the lobby would stand here."],
  ended: ["No call has ended yet.", "The last ones are kept here until the server stops."],
  all: ["No calls yet.", "Start a call or a meeting, and it appears here at once."],
};

function Nothing({ show, isSought }) {
  const [title, more] = NOTHING[isSought ? "sought" : show];
  return html`<${Empty} icon=${isSought ? "search" : "calls"} title=${title}><p>${more}</p><//>`;
}
