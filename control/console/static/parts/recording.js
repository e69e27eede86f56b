// One recording: what it is of, its tracks, each with its picture and player.

import { html, memo } from "../preact.js";
import { path } from "../api.js";
import { bytes, dayAndTime, duration, words } from "../format.js";
import { href } from "../router.js";
import { Icon } from "./icon.js";
import { Chip, sideName } from "./state.js";
import { Elapsed } from "./time.js";
import { peaksQuery, Player } from "./waveform.js";

const KINDS = { mixed: "Everybody, mixed", own: "The bot", response: "A recorded response" };
const ORDER = ["mixed", "speaker", "own", "response", "other"];

const fileTitle = (file) => (file.kind === "speaker"
  ? file.speaker ?? "A speaker" : KINDS[file.kind] ?? file.name);

/**
 * `recording` as the API has it. `isOpen`: its tracks are shown. `showsCall`: with a link to its call.
 * `isListed`: what is in it is known.
 */
export const Recording = memo(({ recording, isOpen, onToggle, showsCall = true, isListed = true }) => {
  const { id, title, startedAt, durationMs, isLive, reason, callId } = recording;
  const files = [...recording.files].sort((one, other) => ORDER.indexOf(one.kind) - ORDER.indexOf(other.kind));
  const audible = files.filter((file) => file.playable);
  const others = files.filter((file) => !file.playable);
  return html`
    <li class="recording" data-open=${isOpen}>
      <div class="recording-head">
        <button type="button" class="ghost recording-title" aria-expanded=${isOpen} onClick=${() => onToggle(id)}>
          <span class=${isOpen ? "" : "turned-left"}><${Icon} name="down" /></span>
          <span class="truncate">${title}</span>
        </button>
        <span class="recording-facts">
          ${isLive ? html`<${Chip} is="info">Recording <${Elapsed} since=${startedAt} /><//>`
            : html`<span class="figure">${duration(durationMs === null ? null : durationMs / 1000)}</span>`}
          <span class="quiet nowrap">${dayAndTime(startedAt)}</span>
        </span>
      </div>
      ${isOpen && html`
        <div class="recording-body">
          <p class="row quiet small-text">
            <span>${sideName(recording.side)}</span>
            ${reason !== null && html`<span>Ended: ${words(reason).toLowerCase()}</span>`}
            ${showsCall && callId !== null && html`<a href=${href("calls", callId)}>The call</a>`}
          </p>
          ${audible.length === 0 && html`<p class="quiet">${isLive
            ? "It can be heard once it has ended." : isListed ? "There is nothing to hear in it." : "One moment…"}</p>`}
          ${audible.map((file) => html`<${Track} key=${file.name} recordingId=${id} file=${file} isLive=${isLive} />`)}
          ${others.length > 0 && html`
            <p class="quiet small-text wrap">Beside them: ${others.map((file) => `${file.name} (${bytes(file.sizeBytes)})`).join(", ")}</p>`}
        </div>`}
    </li>`;
});

function Track({ recordingId, file, isLive }) {
  const title = fileTitle(file);
  return html`
    <section class="track" aria-label=${title}>
      <div class="spread">
        <h3 class="wrap">${title}</h3>
        <span class="quiet small-text figure">${file.format} · ${bytes(file.sizeBytes)}</span>
      </div>
      ${isLive || file.audioUrl === null ? html`<p class="quiet small-text">It is still being written.</p>` : html`
        <${Player} url=${file.audioUrl} title=${title} durationMs=${file.durationMs}
                   peaksPath=${path("recordings", recordingId, file.name) + "/" + peaksQuery} />`}
    </section>`;
}
