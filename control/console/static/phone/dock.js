// The telephone at the edge of the page: be somebody, call, be called, and what the call is like.

import { html, useEffect, useRef, useState } from "../preact.js";
import { useResource } from "../api.js";
import { duration } from "../format.js";
import { Icon } from "../parts/icon.js";
import { Meter } from "../parts/meter.js";
import { useStore } from "../store.js";
import { ByKeyboard, Keypad } from "./keypad.js";
import { Devices, PhoneLog, Quality, qualityOf } from "./details.js";
import {
  callBot, clearNotice, stopTakingPart, takePartAgain, takePartAs, usePhone,
} from "./telephone.js";

const MARKS = { good: "good", waiting: "info", bad: "bad" };

/** The whole of it; nothing where no call service is behind the page. */
export function PhoneDock() {
  const hasService = useStore((state) => state.session?.sides?.includes("service") ?? false);
  return hasService ? html`<${Dock} />` : null;
}

function Dock() {
  const state = usePhone();
  const [isOpen, setOpen] = useState(false);
  const bot = useBot();
  useEffect(() => {
    takePartAgain();
    return stopTakingPart; // Whoever signs out of the console leaves their call.
  }, []);
  const call = state.phone?.call ?? null;
  const rings = [...(state.phone?.rings ?? [])];
  const dock = useRef();
  useFocus(dock, call !== null);
  useTitle(rings.length > 0 ? `${rings[0][1]} is calling` : null);
  return html`
    <section class="dock" aria-label="Telephone" data-in-call=${call !== null} ref=${dock}>
      ${state.notice !== "" && html`
        <div class="dock-notice" role="alert">
          <span class="mark" data-is="warn" aria-hidden="true"></span>
          <span class="grow wrap">${state.notice}</span>
          <button type="button" class="ghost small icon-only" aria-label="Dismiss" onClick=${clearNotice}>
            <${Icon} name="close" size="16" />
          </button>
        </div>`}
      ${rings.map(([callId, from]) => html`
        <${Ring} key=${callId} callId=${callId} from=${from} phone=${state.phone} isInCall=${call !== null} />`)}
      ${isOpen && html`<${Panel} state=${state} call=${call} bot=${bot} />`}
      <div class="dock-bar">
        ${call === null ? html`<${Idle} state=${state} bot=${bot} />` : html`<${InCall} state=${state} call=${call} />`}
        <button type="button" class="ghost icon-only dock-more" aria-expanded=${isOpen} aria-controls="dock-panel"
                aria-label=${isOpen ? "Less of the telephone" : "More of the telephone"}
                onClick=${() => setOpen(!isOpen)}>
          <span class=${isOpen ? "" : "turned"}><${Icon} name="down" /></span>
        </button>
      </div>
      <${ByKeyboard} phone=${state.phone} />
    </section>`;
}

/** Give the focus to what took the place of a button that had it. */
function useFocus(dock, isInCall) {
  const was = useRef(isInCall);
  useEffect(() => {
    if (was.current === isInCall) return;
    was.current = isInCall;
    if (document.activeElement !== document.body) return;
    dock.current.querySelector(isInCall ? "#hang-up" : ".dock-call")?.focus({ preventScroll: true });
  }, [isInCall]);
}

/** Say it in the tab, too: whoever looks at another one sees it there. */
function useTitle(words) {
  useEffect(() => {
    if (words === null) return undefined;
    const before = document.title;
    document.title = words;
    return () => {
      if (document.title === words) document.title = before;
    };
  }, [words]);
}

// ---- nothing goes on ---------------------------------------------------------------------------------

function Idle({ state, bot }) {
  const { phone, userId } = state;
  const isReady = phone?.hasLine === true;
  const words = userId === null ? "off: choose a user to be called" : isReady ? "ready, can be called" : "connecting…";
  const { chosen } = bot;
  return html`
    <span class="dock-who">
      <span class="mark" data-is=${isReady ? "good" : userId === null ? "off" : "info"} aria-hidden="true"></span>
      <span class="dock-name">Telephone <span class="quiet truncate" role="status">${words}</span></span>
    </span>
    <span class="dock-choices"><${Users} state=${state} /><${Bots} bot=${bot} /></span>
    <button type="button" class="primary dock-call" disabled=${chosen === undefined || phone?.isBusy === true}
            title=${chosen === undefined ? "No bot can be called: none has a webhook" : `Call ${chosen.name}`}
            onClick=${() => callBot(chosen.appId, chosen.name)}>
      <${Icon} name="calls" size="16" /><span class="truncate">${
        chosen === undefined ? "No bot to call" : bot.all.length === 1 ? `Call ${chosen.name}` : "Call"}</span>
    </button>`;
}

/** As whom this page takes part. */
function Users({ state }) {
  const { phone, userId } = state;
  const isReady = phone?.hasLine === true;
  const { data, reload } = useResource("users");
  useEffect(() => {
    if (isReady) reload();
  }, [isReady]);
  const users = data?.users ?? [];
  const chosen = (event) => {
    const { value } = event.target;
    if (value === "") stopTakingPart();
    else takePartAs(value);
  };
  return html`
    <label class="dock-choice"><span>Take part as</span>
      <select value=${userId ?? ""} onChange=${chosen} onFocus=${reload}>
        <option value="">${userId === null ? "Take part as…" : "Nobody"}</option>
        ${users.map((user) => html`
          <option key=${user.id} value=${user.id}>${user.name}${
            user.isOnline && user.id !== userId ? " (has a device)" : ""}</option>`)}
      </select>
    </label>`;
}

/** The bots that can be called: {all, chosen, choose(appId), reload}. */
function useBot() {
  const { data, reload } = useResource("bots");
  const [appId, choose] = useState(null);
  const all = (data?.bots ?? []).filter((bot) => bot.canBeCalled && bot.appId !== null);
  return { all, chosen: all.find((bot) => bot.appId === appId) ?? all[0], choose, reload };
}

/** Which one is called, where there are several. */
const Bots = ({ bot }) => bot.all.length > 1 && html`
  <label class="dock-choice"><span>Bot to call</span>
    <select value=${bot.chosen.appId} onChange=${(event) => bot.choose(event.target.value)} onFocus=${bot.reload}>
      ${bot.all.map((each) => html`<option key=${each.appId} value=${each.appId}>${each.name}</option>`)}
    </select>
  </label>`;

// ---- somebody rings ----------------------------------------------------------------------------------

const Ring = ({ callId, from, phone, isInCall }) => html`
  <div class="dock-ring" role="alert">
    <span class="dock-ring-sign" aria-hidden="true"><${Icon} name="calls" /></span>
    <span class="grow wrap"><strong>${from}</strong> is calling</span>
    <span class="row">
      <button type="button" class="primary" onClick=${() => phone.answer(callId)}>${
        isInCall ? "End and accept" : "Accept"}</button>
      <button type="button" class="danger" onClick=${() => phone.decline(callId)}>Decline</button>
    </span>
  </div>`;

// ---- a call ------------------------------------------------------------------------------------------

function InCall({ state, call }) {
  const { phone, seconds, figures } = state;
  const [words, is] = phone.callWords;
  const quality = qualityOf(figures);
  return html`
    <span class="dock-who">
      <span class="mark" data-is=${MARKS[is]} aria-hidden="true"></span>
      <span class="dock-name">
        <span class="truncate" id="call-title">${call.title}</span>
        <span class="quiet row dock-state">
          <span id="call-state" role="status">${words}</span>
          ${seconds !== null && html`<span class="figure" role="timer" aria-label="Duration">${duration(seconds)}</span>`}
          ${quality !== null && html`
            <span class="dock-quality" data-is=${quality.is} title="How good the connection is; more of it in the panel"
              ><span class="visually-hidden">The connection is </span>${quality.words}</span>`}
        </span>
      </span>
    </span>
    <span class="dock-meters">
      <${LevelOf} id="said" title="You" label="How loud you are" read=${phone.readSaid} />
      <${LevelOf} id="heard" title="Heard" label="How loud it is what you hear" read=${phone.readHeard} />
    </span>
    <span class="dock-controls">
      <button type="button" id="mute" aria-pressed=${call.isMuted} disabled=${!phone.canPress}
              title=${mutedWords(call)} aria-label=${mutedWords(call)} onClick=${() => phone.mute()}>
        <${Icon} name=${call.isMuted ? "muted" : "microphone"} /><span>${call.isMuted ? "Unmute" : "Mute"}</span>
      </button>
      <button type="button" id="hold" aria-pressed=${call.isHeld} disabled=${!phone.canPress}
              title=${heldWords(call)} aria-label=${heldWords(call)} onClick=${() => phone.hold()}>
        <${Icon} name=${call.isHeld ? "play" : "pause"} /><span>${call.isHeld ? "Resume" : "Hold"}</span>
      </button>
      <button type="button" id="hang-up" class="dock-hang-up" onClick=${() => phone.hangUp()}>
        <${Icon} name="hangUp" /><span>Hang up</span>
      </button>
    </span>`;
}

const LevelOf = ({ id, title, label, read }) => html`
  <span class="dock-level" id=${id}>
    <span class="quiet">${title}</span><${Meter} read=${read} label=${label} />
  </span>`;

function mutedWords(call) {
  if (!call.isMuted) return "Mute";
  return call.mutedBy === "self" ? "Unmute" : "Unmute (muted by an application)";
}

function heldWords(call) {
  if (!call.isHeld) return "Hold";
  return call.heldBy === "self" ? "Resume" : "Resume (held by an application)";
}

// ---- more of it --------------------------------------------------------------------------------------

const Panel = ({ state, call, bot }) => html`
  <div class="dock-panel" id="dock-panel">
    ${call !== null && html`<${Keypad} phone=${state.phone} canPress=${state.phone.canPress} />`}
    <div class="stack">
      ${call === null && html`<div class="dock-panel-choices"><${Users} state=${state} /><${Bots} bot=${bot} /></div>`}
      ${call !== null && html`<${Quality} figures=${state.figures} />`}
      <${Devices} state=${state} />
    </div>
    <${PhoneLog} log=${state.log} />
  </div>`;
