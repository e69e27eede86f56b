// An entry of the journal: a line, which opens to its JSON.

import { html, memo, useState } from "../preact.js";
import { clock, clockMs, withShortIds, words } from "../format.js";
import { href } from "../router.js";
import { useStore } from "../store.js";
import { Icon } from "./icon.js";
import { Json } from "./json.js";
import { sideName } from "./state.js";
import { Clock } from "./time.js";

/** What the kinds are called, in the order in which they can be chosen. */
export const EVENT_KINDS = {
  notification: "Notifications", operation: "Operations", request: "Requests", state: "States",
  roster: "Roster", media: "Media", plugin: "Plugins",
};

const DIRECTIONS = { in: "received", out: "sent" };

/** `withCall`: whether to link to the call it belongs to; `isShort`: without its kind and the milliseconds. */
export const EventLine = memo(({ entry, withCall = true, isShort = false }) => {
  const [isOpen, setOpen] = useState(false);
  const hasBody = entry.body !== null;
  const head = html`
    <${Clock} at=${entry.at} as=${isShort ? clock : clockMs} />
    <span class="event-kind" data-kind=${entry.kind}>${words(entry.kind)}</span>
    <span class="event-title wrap">
      ${entry.direction !== null && html`<span class="event-way" title=${DIRECTIONS[entry.direction]}>
        <${Icon} name=${entry.direction} size="14" />
        <span class="visually-hidden">${DIRECTIONS[entry.direction]}: </span></span>`}
      ${isShort ? withShortIds(entry.title) : entry.title}
    </span>`;
  return html`
    <li class="event">
      <div class="event-head">
        ${hasBody
          ? html`
            <button type="button" class="event-open" aria-expanded=${isOpen} onClick=${() => setOpen(!isOpen)}>
              <${Icon} name=${isOpen ? "down" : "next"} size="14" />${head}</button>`
          : html`<div class="event-open"><span></span>${head}</div>`}
        ${withCall && entry.callId !== null && html`<${CallLink} id=${entry.callId} />`}
      </div>
      ${isOpen && html`
        <div class="event-body">
          <p class="quiet small-text">${sideName(entry.side)}, number ${entry.seq}</p>
          <${Json} value=${entry.body} label=${entry.title} />
        </div>`}
    </li>`;
});

/** The call an entry belongs to, by its name while it is known. */
const CallLink = memo(({ id }) => {
  const title = useStore((state) => state.rowsByAnyId.get(id)?.title ?? null);
  return html`<a class="event-call small-text truncate" href=${href("calls", id)}>
    <span class="visually-hidden">Call: </span>${title ?? "call"}</a>`;
});
