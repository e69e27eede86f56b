// The captured calls: what each is, what was told in it, and how it is said again to a bot.

import { html, memo, useState } from "../preact.js";
import { path, useResource } from "../api.js";
import { bytes, count, dayAndTime, duration, plural } from "../format.js";
import { href } from "../router.js";
import { Empty, Loaded, Notice } from "./empty.js";
import { EventLine } from "./event_line.js";
import { Icon } from "./icon.js";
import { Copy, Json } from "./json.js";
import { Card } from "./page.js";
import { Chip } from "./state.js";

const MOST = 500; // As many events as one answer holds.
const STATES = {
  open: ["info", "Being written"],
  left: ["warn", "Not completed yet"],
  recovered: ["warn", "Recovered"],
  broken: ["bad", "Cannot be read"],
};
const TRACKS = { mixed: "what the bot heard", own: "the bot" };

const seconds = (ms) => duration(ms === null ? null : ms / 1000);

/** All captures that have the `words`; the one whose id is `open` shows what is in it. */
export function Captures({ words, open, toggle }) {
  const resource = useResource("captures");
  const again = html`<button type="button" class="small" onClick=${resource.reload}>Look again</button>`;
  return html`
    <${Card} title="Captures" more=${again} class="flush">
      <${Loaded} resource=${resource} lines=${2}>
        ${(data) => html`<${List} captures=${data.captures} words=${words} open=${open} toggle=${toggle} />`}
      <//>
    <//>`;
}

function List({ captures, words, open, toggle }) {
  if (captures.length === 0) {
    return html`
      <${Empty} icon="events" title="No call has been captured">
        <span>Start the host with <code>MIXMINUS_CAPTURE=true</code>, or${" "}
          <code>capture = true</code> under <code>[host]</code> in mixminus.toml: it keeps what
          its bot heard, said and was told, from the moment a call may be recorded. Say a capture again to a bot with <code>mixminus replay</code>.</span>
      <//>`;
  }
  const wanted = words.trim().toLocaleLowerCase();
  const found = captures.filter(({ title, name }) => `${title} ${name}`.toLocaleLowerCase().includes(wanted));
  if (found.length === 0) return html`<p class="card-note quiet" role="status">No capture has these words.</p>`;
  return html`
    <ul class="captures">
      ${found.map((capture) => html`
        <${Capture} key=${capture.id} capture=${capture} isOpen=${capture.id === open} onToggle=${toggle} />`)}
    </ul>`;
}

const Capture = memo(({ capture, isOpen, onToggle }) => {
  const state = STATES[capture.state] ?? null;
  return html`
    <li class="recording" data-open=${isOpen}>
      <div class="recording-head">
        <button type="button" class="ghost recording-title" aria-expanded=${isOpen}
                onClick=${() => onToggle(capture.id)}>
          <span class=${isOpen ? "" : "turned-left"}><${Icon} name="down" /></span>
          <span class="truncate">${capture.title}</span>
        </button>
        <span class="recording-facts">
          ${state !== null && html`<${Chip} is=${state[0]}>${state[1]}<//>`}
          <span class="figure">${seconds(capture.durationMs)}</span>
          <span class="figure quiet nowrap">${bytes(capture.sizeBytes)}</span>
          <span class="quiet nowrap">${dayAndTime(capture.startedAt)}</span>
        </span>
      </div>
      ${isOpen && html`<div class="recording-body"><${Contents} capture=${capture} /></div>`}
    </li>`;
});

function Contents({ capture }) {
  const [after, setAfter] = useState(null); // Null: the newest.
  const where = path("captures", capture.id) + (after === null ? "" : `?after=${after}`);
  const resource = useResource(where);
  return html`
    <p class="row quiet small-text">
      <span class="mono wrap">${capture.name}</span>
      ${capture.callId !== null && html`<a href=${href("calls", capture.callId)}>The call</a>`}
    </p>
    <p class="row capture-replay"><code class="wrap">${capture.replay}</code>
      <${Copy} text=${capture.replay} label="Copy the command that replays it">Copy<//></p>
    <${Loaded} resource=${resource}>
      ${(data) => html`
        ${data.error !== null && html`<${Notice} is="warn">Its end is not shown: ${data.error}<//>`}
        <p class="quiet small-text">Audio: ${data.tracks.length === 0 ? "none" : data.tracks.map(trackOf).join(", ")}.
          It is heard with <code>mixminus replay --out</code>.</p>
        <details><summary>Header</summary><${Json} value=${data.header} label="Header" /></details>
        <${Events} data=${data} setAfter=${setAfter} />`}
    <//>`;
}

const trackOf = ({ kind, speaker, durationMs }) => `${TRACKS[kind] ?? speaker} ${seconds(durationMs)}`;

function Events({ data: { events, total }, setAfter }) {
  if (events.length === 0) return html`<p class="quiet">Nothing was told in it.</p>`;
  const first = events[0].seq;
  const last = events.at(-1).seq;
  return html`
    <ol class="event-list capture-events" aria-label="Events of this capture">
      ${[...events].reverse().map((entry) => html`<${EventLine} key=${entry.seq} entry=${entry} withCall=${false} />`)}
    </ol>
    ${events.length < total && html`
      <p class="row">
        <button type="button" class="small" disabled=${last >= total}
                onClick=${() => setAfter(last + MOST >= total ? null : last)}>Newer</button>
        <span class="quiet small-text figure">${count(first)} to ${count(last)} of ${plural(total, "event")}</span>
        <button type="button" class="small" disabled=${first <= 1}
                onClick=${() => setAfter(Math.max(0, first - 1 - MOST))}>Older</button>
      </p>`}`;
}
