// Who is in the call: each with a level, and what is so about them.

import { html, memo } from "../preact.js";
import { phrase } from "../format.js";
import { Empty } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { Meter } from "../parts/meter.js";
import { Card } from "../parts/page.js";
import { Chip } from "../parts/state.js";
import { ParticipantActions } from "./actions.js";

const KIND_ICONS = { application: "bots", phone: "calls" };
const KINDS = {
  user: "User", guest: "Guest", application: "Application", phone: "Telephone", other: "Participant",
};

export function Roster({ call }) {
  const { roster } = call;
  const waiting = roster.filter(({ inLobby }) => inLobby);
  const inside = roster.filter(({ inLobby }) => !inLobby);
  return html`
    <${Card} title="People" class="flush"
      more=${html`<span class="quiet small-text figure">${inside.length}</span>`}>
      ${roster.length === 0 && html`<${Empty} icon="person" title=${call.row.state === "terminated"
        ? "Everybody has left." : "Nobody is in yet."} />`}
      ${waiting.length > 0 && html`
        <h3 class="list-head" data-is="warn"><${Icon} name="door" size="16" />Waiting in the lobby</h3>
        <${People} people=${waiting} call=${call} />`}
      ${inside.length > 0 && html`<${People} people=${inside} call=${call} />`}
    <//>`;
}

const People = ({ people, call }) => html`
  <ul class="people">${people.map((person) => html`
    <${Person} key=${person.participantId} person=${person} call=${call} />`)}</ul>`;

// Drawn again with each push for its buttons' sake, which depend on the call; there are few in a call.
function Person({ person, call }) {
  return html`
    <li class="person">
      <${Face} person=${person} />
      <div>
        ${person.legKey === null
          ? html`<span class="quiet small-text">
              ${person.inLobby ? "No media until let in" : "No media of their own"}</span>`
          : html`<${Meter} legKey=${person.legKey} label=${`${person.name} speaks`} />`}
      </div>
      <div class="person-actions row"><${ParticipantActions} call=${call} person=${person} /></div>
    </li>`;
}

const Face = memo(({ person }) => html`
  <div class="person-who">
    <span class="face" data-muted=${person.muted || person.mutedBySelf}>
      <${Icon} name=${KIND_ICONS[person.kind] ?? "person"} size="18" /></span>
    <div class="person-words">
      <span class="strong wrap">${person.name || KINDS[person.kind]}</span>
      <span class="chips small-text">
        <span class="quiet">${about(person)}</span>
        ${(person.muted || person.mutedBySelf) && html`<span class="chip" data-is="off">
          <${Icon} name="muted" size="13" />${person.mutedBySelf ? "Self-muted" : "Muted"}</span>`}
        ${person.onHold && html`<${Chip} is="warn">On hold<//>`}
      </span>
    </div>
  </div>`);

/** What somebody is, on one line: "User · organizer · source 3". */
function about({ kind, role, sourceIds }) {
  const parts = [KINDS[kind]];
  if (role !== null) parts.push(phrase(role));
  if (sourceIds.length > 0) parts.push(`source ${sourceIds.join(", ")}`);
  return parts.join(" · ");
}
