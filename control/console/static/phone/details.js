// What else there is to say of the telephone: devices, the connection's quality, its log.

import { html, memo, useEffect, useId, useRef } from "../preact.js";
import { ms, NOTHING, percent } from "../format.js";
import { Clock } from "../parts/time.js";
import { listDevices, setMicrophone, setOutput } from "./telephone.js";

// Where people begin to complain: ITU-T G.114 for the delay (150 ms one way), G.113 appendix I for the loss.
const POOR = { roundTripMs: 400, lostRatio: 0.05, concealedRatio: 0.08 };
const FAIR = { roundTripMs: 250, lostRatio: 0.015, concealedRatio: 0.03 };

/** How good the connection is, in a word: {is, words}; null when nothing is known yet. */
export function qualityOf(figures) {
  if (figures === null || figures.roundTripMs === null) return null;
  const exceeds = (limits) => Object.entries(limits).some(([name, limit]) => (figures[name] ?? 0) > limit);
  if (exceeds(POOR)) return { is: "bad", words: "poor" };
  if (exceeds(FAIR)) return { is: "warn", words: "fair" };
  return { is: "good", words: "good" };
}

/** `figures` as of webphone/stats.js, or null. */
export const Quality = memo(({ figures }) => html`
  <dl class="facts dock-figures" aria-label="Quality of the connection">
    <div><dt>Round trip</dt><dd class="figure" id="round-trip">${ms(figures?.roundTripMs)}</dd></div>
    <div><dt>Jitter</dt><dd class="figure" id="jitter">${ms(figures?.jitterMs)}</dd></div>
    <div><dt>Lost</dt><dd class="figure" id="loss">${percent(figures?.lostRatio)}</dd></div>
    <div><dt>Concealed</dt><dd class="figure">${percent(figures?.concealedRatio)}</dd></div>
    <div><dt>Buffer</dt><dd class="figure">${ms(figures?.bufferMs)}</dd></div>
    <div><dt>Codec</dt><dd id="codec">${figures?.codec ?? NOTHING}</dd></div>
  </dl>`);

/** Which microphone and loudspeaker, and whether the browser cleans the microphone's sound. */
export function Devices({ state }) {
  const { phone, devices, output } = state;
  const { deviceId, processed } = phone?.microphone ?? { deviceId: "", processed: true };
  useEffect(() => {
    listDevices();
  }, []);
  return html`
    <div class="stack dock-devices">
      <${Choice} label="Microphone" devices=${devices.inputs} chosen=${deviceId}
                 choose=${(id) => setMicrophone({ deviceId: id })} />
      ${phone?.hasOutputs !== false && devices.outputs.length > 0 && html`
        <${Choice} label="Loudspeaker" devices=${devices.outputs} chosen=${output} choose=${setOutput} />`}
      <label class="check">
        <input type="checkbox" checked=${processed}
               onChange=${(event) => setMicrophone({ processed: event.target.checked })} />
        <span>Process the microphone’s sound <span class="quiet">(echo, noise, gain; off for measurements)</span></span>
      </label>
    </div>`;
}

function Choice({ label, devices, chosen, choose }) {
  const id = useId();
  const named = devices.filter((device) => device.id !== "default" && device.id !== "communications");
  return html`
    <div class="field">
      <label for=${id}>${label}</label>
      <select id=${id} value=${chosen} onChange=${(event) => choose(event.target.value)}>
        <option value="">The system’s default</option>
        ${named.map((device) => html`<option key=${device.id} value=${device.id}>${device.name}</option>`)}
      </select>
    </div>`;
}

/** What happened, newest last. */
export const PhoneLog = memo(({ log }) => {
  const list = useRef();
  useEffect(() => {
    list.current.scrollTop = list.current.scrollHeight;
  }, [log]);
  return html`
    <ol class="dock-log" id="log" role="log" aria-label="Telephone’s log" tabindex="0" ref=${list}>
      ${log.length === 0 && html`<li class="quiet">Nothing has happened yet.</li>`}
      ${log.map((line, index) => html`
        <li key=${`${line.at} ${index}`}><${Clock} at=${line.at} /><span class="wrap">${line.words}</span></li>`)}
    </ol>`;
});
