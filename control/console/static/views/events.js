// The log of all calls: notifications, requests, operations, states, and what media and plugins say.

import { html, useEffect } from "../preact.js";
import { act } from "../api.js";
import { fetchEvents } from "../live.js";
import { EventLog } from "../parts/event_log.js";
import { Page } from "../parts/page.js";
import { useStore } from "../store.js";

export function EventsView() {
  const events = useStore((state) => state.events);
  const epoch = useStore((state) => state.epoch);
  useEffect(() => {
    if (epoch !== null) act(fetchEvents());
  }, [epoch]);
  return html`
    <${Page} title="Event log" lead="What was said between the parts, newest first. Secrets are left out.">
      <section class="card flush" aria-label="Events">
        <${EventLog} events=${events} label="Events of all calls" /></section>
    <//>`;
}
