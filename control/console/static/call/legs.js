// Each party's media: the way it comes, its levels, and how well. A row opens to the engine's own counters.

import { html, memo, useState } from "../preact.js";
import { count, ms, percent, phrase, plural, words } from "../format.js";
import { Empty } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { Meter } from "../parts/meter.js";
import { Card } from "../parts/page.js";
import { Chip, sideName } from "../parts/state.js";

const TRANSPORTS = {
  webrtc: "WebRTC", rtp: "RTP", link: "Media link", acs: "ACS stream", twilio: "Twilio stream",
  hosted: "Service hosted", loopback: "Loopback", application: "Application",
};

// From where on a listener would notice, and from where on it hurts.
const LIMITS = {
  lossRatio: [0.01, 0.05], jitterMs: [30, 60], concealedRatio: [0.01, 0.05], delayMs: [150, 300],
  roundTripMs: [200, 400],
};

export const Legs = memo(({ legs }) => html`
  <${Card} title="Media" class="flush legs-card"
    more=${html`<span class="quiet small-text figure">${plural(legs.length, "leg")}</span>`}>
    ${legs.length === 0 ? html`<${Empty} icon="plug" title="No media flows yet." />` : html`
      <div class="table-scroll"><table class="table legs" aria-label="Legs">
        <thead><tr>
          <th scope="col">Party</th><th scope="col">Way</th><th scope="col">Speaks</th>
          <th scope="col">Hears</th><th scope="col" class="num">Loss</th><th scope="col" class="num">Jitter</th>
          <th scope="col" class="num">Concealed</th>
          <th scope="col" class="num">Delay</th><th scope="col" class="num">Round trip</th>
        </tr></thead>
        ${legs.map((leg) => html`<${Leg} key=${leg.key} leg=${leg} />`)}
      </table></div>`}
  <//>`);

const Leg = memo(({ leg }) => {
  const [isOpen, setOpen] = useState(false);
  const names = Object.keys(leg.counters);
  const isMore = names.length > 0 || leg.address !== null;
  const isTargetShown = leg.targetMs !== null && leg.delayMs !== null;
  return html`
    <tbody>
      <tr>
        <td class="cell-title">${isMore && html`
          <button type="button" class="ghost small icon-only" aria-expanded=${isOpen} title="Counters"
                  aria-label=${`Counters of ${leg.name}`} onClick=${() => setOpen(!isOpen)}>
            <${Icon} name=${isOpen ? "down" : "next"} size="16" /></button>`}
          <span class="title-words"><span class="strong wrap">${leg.name}</span>
          <span class="quiet small-text">${sideName(leg.side)}</span></span></td>
        <td data-label="Way"><span class="leg-way">
          <span class="nowrap">${TRANSPORTS[leg.transport] ?? leg.transport}</span>
          <span class="quiet small-text nowrap">${leg.codec ?? "no codec"}</span>
          ${leg.isFlowing === false && html`<${Chip} is="bad">No media<//>`}</span></td>
        <td data-label="Speaks" class="cell-meter">
          <${Meter} legKey=${leg.key} side="in" label=${`${leg.name} speaks`} /></td>
        <td data-label="Hears" class="cell-meter">
          <${Meter} legKey=${leg.key} side="out" label=${`${leg.name} hears`} /></td>
        <td data-label="Loss" class="num" title=${`${percent(leg.lossTotalRatio)} of all`}>
          <${Figure} name="lossRatio" leg=${leg} as=${percent} /></td>
        <td data-label="Jitter" class="num"><${Figure} name="jitterMs" leg=${leg} as=${ms} /></td>
        <td data-label="Concealed" class="num"><${Figure} name="concealedRatio" leg=${leg} as=${percent} /></td>
        <td data-label="Delay" class="num"><${Figure} name="delayMs" leg=${leg} as=${ms} />
          ${isTargetShown && html`
            <span class="quiet small-text nowrap figure"> of ${ms(leg.targetMs)}</span>`}</td>
        <td data-label="Round trip" class="num"><${Figure} name="roundTripMs" leg=${leg} as=${ms} /></td>
      </tr>
      ${isOpen && html`
        <tr class="leg-more"><td colspan="9"><${Counters} leg=${leg} names=${names} /></td></tr>`}
    </tbody>`;
});

/** The engine's own names; those that counted nothing are named in one line, so that the others are found. */
function Counters({ leg, names }) {
  const counted = names.filter((name) => leg.counters[name] !== 0);
  const zero = names.filter((name) => leg.counters[name] === 0);
  return html`
    <dl class="facts dense">
      <div><dt>Far end</dt><dd class="mono wrap">${leg.address ?? "–"}</dd></div>
      <div><dt>Packets received, sent</dt>
        <dd class="figure">${count(leg.packetsReceived)}, ${count(leg.packetsSent)}</dd></div>
      <div><dt>Loss of all</dt><dd class="figure">${percent(leg.lossTotalRatio)}</dd></div>
      <div><dt>Key</dt><dd class="mono wrap">${leg.key}</dd></div>
      ${counted.map((name) => html`<div key=${name}><dt>${words(name)}</dt>
        <dd class="figure">${count(leg.counters[name])}</dd></div>`)}
    </dl>
    ${zero.length > 0 && html`<p class="quiet small-text zero-counters">
      Zero: ${zero.map(phrase).join(", ")}.</p>`}`;
}

/** A figure with a mark beside it, when it is such that somebody would hear it. */
function Figure({ name, leg, as }) {
  const value = leg[name];
  const [warn, bad] = LIMITS[name];
  const is = value === null || value < warn ? null : value < bad ? "warn" : "bad";
  return html`<span class="figure nowrap leg-figure" data-is=${is}>
    ${is !== null && html`<span class="mark" data-is=${is} aria-hidden="true"></span>
      <span class="visually-hidden">${is === "bad" ? "bad: " : "high: "}</span>`}${as(value)}</span>`;
}
