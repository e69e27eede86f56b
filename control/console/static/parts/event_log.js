// A log with its filters: kinds that are switched, and words to look for. The newest stands on top.

import { html, useMemo, useState } from "../preact.js";
import { plural } from "../format.js";
import { Empty } from "./empty.js";
import { EVENT_KINDS, EventLine } from "./event_line.js";
import { Icon } from "./icon.js";

const PAGE = 100;

/** `events`: newest last. `withCall`: whether each says which call it belongs to. */
export function EventLog({ events, withCall = true, label }) {
  const [chosen, setChosen] = useState(() => new Set());
  const [sought, setSought] = useState("");
  const [shown, setShown] = useState(PAGE);
  const [heldAt, setHeldAt] = useState(null); // The number of the newest when it was held, or null.

  const counts = useMemo(() => countKinds(events), [events]);
  const found = useMemo(() => {
    const wanted = sought.trim().toLowerCase();
    return events.filter((entry) => (chosen.size === 0 || chosen.has(entry.kind))
      && (heldAt === null || entry.seq <= heldAt)
      && (wanted === "" || textOf(entry).includes(wanted))).reverse();
  }, [events, chosen, sought, heldAt]);
  const waiting = heldAt === null ? 0 : events.filter((entry) => entry.seq > heldAt).length;

  const toggle = (kind) => {
    const next = new Set(chosen);
    if (!next.delete(kind)) next.add(kind);
    setChosen(next);
    setShown(PAGE);
  };
  return html`
    <div class="toolbar">
      <div class="search">
        <${Icon} name="search" size="16" />
        <input type="search" aria-label="Find in the log" placeholder="Find in titles and JSON" value=${sought}
               onInput=${(event) => setSought(event.currentTarget.value)} />
      </div>
      <button type="button" class="small hold" aria-pressed=${heldAt !== null}
              onClick=${() => setHeldAt(heldAt === null ? events.at(-1)?.seq ?? 0 : null)}>
        <${Icon} name=${heldAt === null ? "pause" : "play"} size="14" />
        ${heldAt === null ? "Hold" : `Go on${waiting > 0 ? ` (${waiting} new)` : ""}`}</button>
      <div class="segments all" role="group" aria-label="Kinds">
        ${Object.entries(EVENT_KINDS).map(([kind, title]) => html`
          <button key=${kind} type="button" class="small" aria-pressed=${chosen.has(kind)}
                  onClick=${() => toggle(kind)}>
            ${title} <span class="figure quiet">${counts.get(kind) ?? 0}</span></button>`)}
      </div>
    </div>
    ${found.length === 0
      ? html`
        <${Empty} icon="events" title=${events.length === 0 ? "Nothing has happened yet." : "Nothing matches."}>
          ${events.length > 0 && html`<button type="button" class="small" onClick=${() => {
            setChosen(new Set());
            setSought("");
          }}>Show all</button>`}<//>`
      : html`
        <ol class="event-list" aria-label=${label}>
          ${found.slice(0, shown).map((entry) => html`
            <${EventLine} key=${entry.seq} entry=${entry} withCall=${withCall} />`)}
        </ol>
        ${found.length > shown && html`<p class="card-note">
          <button type="button" class="small" onClick=${() => setShown(shown + PAGE)}>Show more</button>
          <span class="quiet small-text"> ${plural(found.length - shown, "older entry", "older entries")}</span>
        </p>`}`}`;
}

function countKinds(events) {
  const counts = new Map();
  for (const { kind } of events) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return counts;
}

const texts = new WeakMap(); // An entry never changes, and each letter typed looks through all of them.

function textOf(entry) {
  let text = texts.get(entry);
  if (text === undefined) {
    text = `${entry.title} ${JSON.stringify(entry.body ?? "")}`.toLowerCase();
    texts.set(entry, text);
  }
  return text;
}
