// The bots that can be placed: what each can do, and where it is now.

import { html, memo, useEffect, useMemo, useRef, useState } from "../preact.js";
import { useResource } from "../api.js";
import { percent } from "../format.js";
import { Empty, Loaded } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { Copy } from "../parts/json.js";
import { Page } from "../parts/page.js";
import { CallState, Chip } from "../parts/state.js";
import { href } from "../router.js";
import { isOver, useStore } from "../store.js";
import { PlaceBot } from "./start.js";

const SKILLS = [
  ["canBeCalled", "Can be called"], ["canCall", "Can call people"], ["canJoin", "Can join meetings"],
];

/** As often as a host says that it lives. */
const FLEET_LOOK_MS = 3000;

/** Ask again and again once there is a fleet: hosts come, go and fall silent without a word to this page. */
function useFleetNews({ data, reload }) {
  const isFleet = useRef(false);
  isFleet.current ||= data?.bots.some((bot) => bot.instances.length > 0) ?? false;
  useEffect(() => {
    if (!isFleet.current) return undefined;
    const timer = setInterval(() => document.hidden || reload(), FLEET_LOOK_MS);
    return () => clearInterval(timer);
  }, [isFleet.current, reload]);
}

export function BotsView() {
  const resource = useResource("bots");
  useFleetNews(resource);
  const calls = useStore((state) => state.callList);
  const live = useMemo(() => calls.filter((row) => !isOver(row) && row.bot !== null), [calls]);
  return html`
    <${Page} title="Bots" lead="Applications of this server that can take part in calls.">
      <${Loaded} resource=${resource}>${({ bots }) => (bots.length === 0
        ? html`<section class="card"><${Empty} icon="bots" title="No bot is running.">
            <p>Start one with <code>mixminus serve bot.py</code>, or try <code>mixminus dev</code>, which
              brings an echo bot.</p><//></section>`
        : html`<ul class="bot-list">${bots.map((bot) => html`
            <${Bot} key=${bot.appId ?? bot.name} bot=${bot}
              live=${live.filter((row) => row.bot === bot.name)} />`)}</ul>`)}<//>
    <//>`;
}

const STATES = { alive: ["good", "Alive"], draining: ["warn", "Draining"], silent: ["bad", "Silent"] };

function Fleet({ bot }) {
  const own = bot.instances.find((host) => host.isAsked)?.name;
  return html`
    <table class="small-text bot-fleet">
      <caption class="visually-hidden">Hosts of ${bot.name}</caption>
      <thead><tr><th scope="col">Host</th><th scope="col">State</th><th scope="col" class="num">Calls</th>
        <th scope="col" class="num">Load</th></tr></thead>
      <tbody>${bot.instances.map((host) => html`
        <tr key=${host.name}>
          <th scope="row" class="truncate">${host.name}${host.isAsked && html` <span class="quiet">(this one)</span>`}</th>
          <td><${Chip} is=${STATES[host.state][0]}>${STATES[host.state][1]}<//></td>
          <td class="num">${host.calls}<span class="quiet"> of ${host.capacity}</span></td>
          <td class="num">${host.state === "silent" ? "–" : percent(host.loadRatio)}</td></tr>`)}</tbody>
    </table>
    ${bot.ownedCalls.length > 0 && html`<details class="small-text"><summary>Who has which call (${bot.ownedCalls.length})</summary>
      <ul class="bot-owners">${bot.ownedCalls.map((call) => html`
        <${Owned} key=${call.lineage} call=${call} own=${own} />`)}</ul></details>`}`;
}

// Only this host's own calls have a page here.
const Owned = ({ call, own }) => html`
  <li>
    <span class="truncate">${call.owner === own && call.callId !== null
      ? html`<a href=${href("calls", call.callId)}>${call.title || "a call"}</a>` : call.title || "a call"}${" "}
      ${call.callId !== null && html`<code class="quiet">${call.callId.slice(0, 8)}</code>`}</span>
    <span class="quiet">${call.owner ?? "offered to all"}${call.epoch > 1 && `, epoch ${call.epoch}`}</span>
    <${CallState} name=${call.state} />
  </li>`;

const Bot = memo(({ bot, live }) => {
  const [isPlacing, setPlacing] = useState(false);
  return html`
    <li class="card bot">
      <div class="spread">
        <div class="row bot-name">
          <span class="kind-sign"><${Icon} name="bots" size="22" /></span><h2>${bot.name}</h2></div>
        <${Chip} is=${live.length > 0 ? "good" : "off"}>${live.length === 0 ? "Idle"
          : `In ${live.length} ${live.length === 1 ? "call" : "calls"}`}<//>
      </div>
      ${bot.description !== null && html`<p class="quiet">${bot.description}</p>`}
      <ul class="skills small-text">${SKILLS.map(([key, title]) => html`
        <li key=${key} class=${bot[key] ? "" : "is-missing"}>
          <${Icon} name=${bot[key] ? "check" : "close"} size="15" />
          <span class="visually-hidden">${bot[key] ? "" : "Not: "}</span>${title}</li>`)}</ul>
      ${bot.appId !== null && html`<p class="small-text row bot-id"><span class="quiet">Application</span>
        <code class="truncate">${bot.appId}</code>
        <${Copy} text=${bot.appId} label=${`Copy the application id of ${bot.name}`} /></p>`}
      ${live.length > 0 && html`<ul class="small-text bot-calls">${live.slice(0, 5).map((row) => html`
        <li key=${row.id}><a href=${href("calls", row.id)}>${row.title}</a></li>`)}
        ${live.length > 5 && html`<li class="quiet">and ${live.length - 5} more</li>`}</ul>`}
      ${bot.instances.length > 0 && html`<${Fleet} bot=${bot} />`}
      <div class="row bot-actions"><button type="button" onClick=${() => setPlacing(true)}
        aria-label=${`Place ${bot.name} in a call`}><${Icon} name="plus" />Place in a call</button></div>
      ${isPlacing && html`<${PlaceBot} botId=${bot.name} onClose=${() => setPlacing(false)} />`}
    </li>`;
});
