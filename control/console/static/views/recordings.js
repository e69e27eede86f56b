// All recordings, each with its picture and player, and the captured calls. Route: #/recordings[/<id>]

import { html, useEffect, useMemo, useRef, useState } from "../preact.js";
import { useResource } from "../api.js";
import { Captures } from "../parts/captures.js";
import { Empty, Loaded } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { Page } from "../parts/page.js";
import { Recording } from "../parts/recording.js";
import { go, useRoute } from "../router.js";
import { useStore } from "../store.js";

const AGAIN_MS = 1000; // A recording that has ended is there a moment later.
const RENEWED_MS = 10 * 60_000; // The addresses of the audio are good for a quarter of an hour.

export function RecordingsView() {
  const { path } = useRoute();
  const open = path[1] ?? null;
  const resource = useResource("recordings");
  const [words, setWords] = useState("");
  useReloadAtEnds(resource.reload);
  useEffect(() => {
    const timer = setInterval(resource.reload, RENEWED_MS);
    return () => clearInterval(timer);
  }, [resource.reload]);
  const toggle = (id) => (id === open ? go("recordings") : go("recordings", id));
  const search = html`
    <label class="search"><${Icon} name="search" size="16" /><span class="visually-hidden">Search in recordings and captures</span>
      <input type="search" placeholder="Search…" value=${words} onInput=${(event) => setWords(event.target.value)} />
    </label>`;
  return html`
    <${Page} title="Recordings" actions=${search}>
      <${Loaded} resource=${resource}>
        ${(data) => html`<${List} recordings=${data.recordings} words=${words} open=${open} toggle=${toggle} />`}
      <//>
      <${Captures} words=${words} open=${open} toggle=${toggle} />
    <//>`;
}

function List({ recordings, words, open, toggle }) {
  const found = useMemo(() => {
    const wanted = words.trim().toLocaleLowerCase();
    const said = (recording) => [recording.title, recording.id, ...recording.files.map((file) => file.speaker ?? "")];
    return recordings.filter((recording) => said(recording).some((each) => each.toLocaleLowerCase().includes(wanted)));
  }, [recordings, words]);
  if (recordings.length === 0) {
    return html`
      <${Empty} icon="recordings" title="Nothing has been recorded">
        <span>A bot records with <code>call.record()</code>, or press Record in a call.</span>
      <//>`;
  }
  if (found.length === 0) return html`<p class="quiet" role="status">No recording has these words.</p>`;
  return html`
    <ul class="card recordings">
      ${found.map((recording) => html`
        <${Recording} key=${recording.id} recording=${recording} isOpen=${recording.id === open} onToggle=${toggle} />`)}
    </ul>`;
}

/** Ask again when a call that was recorded is not any more. */
export function useReloadAtEnds(reload) {
  const going = useStore((state) => state.callList.filter((row) => row.flags.includes("recording")).length);
  const before = useRef(going);
  useEffect(() => {
    if (before.current === going) return undefined;
    before.current = going;
    const timer = setTimeout(reload, AGAIN_MS);
    return () => clearTimeout(timer);
  }, [going]);
}
