// What can be done to a call, and to who is in it.

import { html, memo, useEffect, useRef, useState } from "../preact.js";
import { act, del, path, post } from "../api.js";
import { Action } from "../parts/action.js";
import { Dialog } from "../parts/dialog.js";
import { Icon } from "../parts/icon.js";
import { joinCall, usePhone } from "../phone/telephone.js";
import { isOver, useStore } from "../store.js";
import { Invite, PlaceBot } from "../views/start.js";

const CONFIRM_MS = 4000;

/** The buttons of a call's head. */
export const CallActions = memo(({ call }) => {
  const [dialog, open] = useState(null);
  const hasService = useStore((state) => state.session?.sides?.includes("service") ?? false);
  const { phone } = usePhone();
  const { id } = call.row;
  const can = (action) => call.actions.includes(action);
  const close = () => open(null);
  if (isOver(call.row)) return null;
  const canJoin = hasService && (call.join !== null || can("invite"));
  const isRecording = can("stopRecording");
  return html`
    <div class="row call-actions">
      ${canJoin && html`
        <button type="button" class="primary" disabled=${phone?.isBusy === true} onClick=${() => joinCall(call)}>
          <${Icon} name="microphone" size="16" />Join
        </button>`}
      ${can("placeBot") && html`
        <button type="button" onClick=${() => open("bot")}><${Icon} name="bots" size="16" />Place a bot</button>`}
      ${can("invite") && html`
        <button type="button" onClick=${() => open("invite")}><${Icon} name="person" size="16" />Ring somebody</button>`}
      ${can("sendTones") && html`
        <button type="button" onClick=${() => open("tones")}><${Icon} name="keypad" size="16" />Send keys</button>`}
      ${isRecording ? html`
        <${Action} aria-pressed="true" run=${() => del(path("calls", id, "recording"))} done="The recording has ended">
          <${Icon} name="record" size="16" />Stop recording
        <//>` : can("startRecording") && html`
        <${Action} run=${() => post(path("calls", id, "recording"))} done="Recording">
          <${Icon} name="record" size="16" />Record
        <//>`}
      ${can("hangUp") && html`<${HangUp} id=${id} isMeeting=${call.row.kind === "meeting"} />`}
      ${dialog === "bot" && html`<${PlaceBot} callId=${id} onClose=${close} />`}
      ${dialog === "invite" && html`<${Invite} callId=${id} onClose=${close} />`}
      ${dialog === "tones" && html`<${Tones} id=${id} onClose=${close} />`}
    </div>`;
});

/** Ends it for all: pressed twice, so that nobody does it by mistake. */
function HangUp({ id, isMeeting }) {
  const [isAsked, setAsked] = useState(false);
  useEffect(() => {
    if (!isAsked) return undefined;
    const timer = setTimeout(() => setAsked(false), CONFIRM_MS);
    return () => clearTimeout(timer);
  }, [isAsked]);
  if (!isAsked) {
    return html`
      <button type="button" class="danger" onClick=${() => setAsked(true)}>
        <${Icon} name="hangUp" size="16" />${isMeeting ? "End the meeting" : "End the call"}
      </button>`;
  }
  return html`
    <${Confirmed}>
      <${Action} class="danger" run=${() => post(path("calls", id, "hangup"))} then=${() => setAsked(false)}>
        <${Icon} name="hangUp" size="16" />End it for all
      <//>
    <//>`;
}

/** Gives the focus to what took a button's place. */
function Confirmed({ children }) {
  const place = useRef();
  useEffect(() => {
    place.current.querySelector("button").focus();
  }, []);
  return html`<span ref=${place} class="contents">${children}</span>`;
}

/** Keys that our side presses. */
function Tones({ id, onClose }) {
  const [tones, setTones] = useState("");
  const send = (event) => {
    event.preventDefault();
    const keys = tones.trim().toUpperCase();
    act(post(path("calls", id, "tones"), { tones: keys }).then(onClose), { done: `Sent ${keys}` });
  };
  return html`
    <${Dialog} title="Send keys" onClose=${onClose}>
      <form class="stack" onSubmit=${send}>
        <div class="field">
          <label for="tones">Keys, pressed by the bot one after another</label>
          <input id="tones" class="mono" required pattern="[0-9A-Da-d*#]{1,32}" maxlength="32" autocomplete="off"
                 title="0 to 9, *, #, A to D; at most 32" placeholder="12#" value=${tones}
                 onInput=${(event) => setTones(event.target.value)} />
          <small>0–9, *, #, A–D</small>
        </div>
        <div class="row dialog-end">
          <button type="button" class="ghost" onClick=${onClose}>Cancel</button>
          <button class="primary">Send</button>
        </div>
      </form>
    <//>`;
}

/** The buttons of one entry of the roster. */
export const ParticipantActions = memo(({ call, person }) => {
  const can = (action) => call.actions.includes(action);
  const to = (action) => () => post(path("calls", call.row.id, "participants", person.participantId, action));
  const { name } = person;
  if (person.inLobby) {
    return html`
      <div class="row person-actions">
        ${can("admit") && html`
          <${Action} class="small primary" aria-label=${`Admit ${name}`} run=${to("admit")} done=${`${name} is let in`}>
            <${Icon} name="door" size="16" />Admit<//>`}
        ${can("remove") && html`
          <${Action} class="small danger" aria-label=${`Refuse ${name}`} run=${to("remove")} done=${`${name} is refused`}>
            Refuse<//>`}
      </div>`;
  }
  // Who muted themselves is unmuted by nobody else.
  const isOurMute = person.muted && !person.mutedBySelf;
  return html`
    <div class="row person-actions">
      ${isOurMute ? can("unmute") && html`
        <${Action} class="small" aria-label=${`Unmute ${name}`} run=${to("unmute")} done=${`${name} is unmuted`}>
          <${Icon} name="microphone" size="16" />Unmute<//>`
        : !person.muted && can("mute") && html`
        <${Action} class="small" aria-label=${`Mute ${name}`} run=${to("mute")} done=${`${name} is muted`}>
          <${Icon} name="muted" size="16" />Mute<//>`}
      ${can("remove") && html`
        <${Action} class="small ghost" aria-label=${`Remove ${name}`} run=${to("remove")} done=${`${name} is removed`}>
          Remove<//>`}
    </div>`;
});
