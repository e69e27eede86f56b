// The meetings of the service: who may come, and how.

import { html, memo, useEffect, useState } from "../preact.js";
import { useResource } from "../api.js";
import { Empty, Loaded } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { Copy } from "../parts/json.js";
import { Page } from "../parts/page.js";
import { Chip } from "../parts/state.js";
import { joinMeeting } from "../phone/telephone.js";
import { href } from "../router.js";
import { useStore } from "../store.js";
import { PlaceBot } from "./start.js";
import { StartButtons } from "./start_buttons.js";

export function MeetingsView() {
  const resource = useResource("meetings");
  const { reload } = resource;
  // Which of them live is told by the calls; what meetings there are, only by asking.
  const live = useStore((state) => state.callList)
    .filter(({ kind }) => kind === "meeting").map(({ id, state }) => `${id} ${state}`).join();
  useEffect(() => {
    if (live !== "") reload();
  }, [live, reload]);
  return html`
    <${Page} title="Meetings" lead="Anybody with the address can join; so can a bot."
             actions=${html`<${StartButtons} what=${["meeting"]} />`}>
      <section class="card flush" aria-label="Meetings">
        <${Loaded} resource=${resource}>${({ meetings }) => (meetings.length === 0
          ? html`<${Empty} icon="meetings" title="No meetings yet.">
              <p>Make one, then join it with the microphone or place a bot in it.</p><//>`
          : html`
            <table class="table" aria-label="Meetings">
              <thead><tr><th scope="col">Subject</th><th scope="col">State</th><th scope="col">Organizer</th>
                <th scope="col">Address</th>
                <th scope="col"><span class="visually-hidden">What can be done</span></th></tr></thead>
              <tbody>${meetings.map((meeting) => html`<${Row} key=${meeting.id} meeting=${meeting} />`)}</tbody>
            </table>`)}<//>
      </section>
    <//>`;
}

const Row = memo(({ meeting }) => {
  const [isPlacing, setPlacing] = useState(false);
  const { subject, joinUrl, callId } = meeting;
  return html`
    <tr>
      <td class="cell-title"><span class="kind-sign"><${Icon} name="meetings" /></span>
        <span class="title-words">${callId === null
          ? html`<span class="strong wrap">${subject}</span>`
          : html`<a href=${href("calls", callId)}>${subject}</a>`}</span></td>
      <td data-label="State">
        <${Chip} is=${meeting.isLive ? "good" : "off"}>${meeting.isLive ? "Live" : "Empty"}<//></td>
      <td data-label="Organizer">${meeting.organizer ?? "–"}</td>
      <td data-label="Address"><${Copy} text=${joinUrl} label=${`Copy the address of ${subject}`}>Copy<//></td>
      <td class="cell-actions"><span class="row">
        <button type="button" class="small" onClick=${() => setPlacing(true)}
                aria-label=${`Place a bot in ${subject}`}><${Icon} name="bots" size="16" />Place a bot</button>
        <button type="button" class="small" onClick=${() => joinMeeting({ joinUrl }, subject)}
                aria-label=${`Join ${subject} with the microphone`}>
          <${Icon} name="microphone" size="16" />Join</button>
      </span>
      ${isPlacing && html`<${PlaceBot} meetingUrl=${callId === null ? joinUrl : null} callId=${callId}
        onClose=${() => setPlacing(false)} />`}</td>
    </tr>`;
});
