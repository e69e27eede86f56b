// What happened in this call.

import { html, useEffect, useMemo } from "../preact.js";
import { act, get, path } from "../api.js";
import { EventLog } from "../parts/event_log.js";
import { store, takeEvents, useStore } from "../store.js";

export function CallEvents({ call }) {
  const { row } = call;
  const events = useStore((state) => state.events);
  const epoch = useStore((state) => state.epoch);
  const ids = [row.id, ...row.callIds].join("\n");
  useEffect(() => {
    // What came before this page looked; what comes from now on is brought by the live line.
    if (epoch === null) return;
    act(get(`${path("calls", row.id, "events")}?limit=1000`).then((found) => {
      if (store.state.epoch === epoch) takeEvents(found.events);
    }));
  }, [row.id, epoch]);
  const mine = useMemo(() => {
    const known = new Set(ids.split("\n"));
    return events.filter(({ callId }) => known.has(callId));
  }, [events, ids]);
  return html`<section class="card flush" aria-label="Events">
    <${EventLog} events=${mine} withCall=${false} label="Events of this call" /></section>`;
}
