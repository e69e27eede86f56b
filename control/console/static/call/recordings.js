// What was recorded of a call. The call says which there are; what is in them, the list of all does.

import { html, memo, useEffect, useState } from "../preact.js";
import { useResource } from "../api.js";
import { Empty, Notice } from "../parts/empty.js";
import { Recording } from "../parts/recording.js";

const AGAIN_MS = 1000; // One that has just ended has its files a moment later.

export const RecordingsPanel = memo(({ call }) => {
  const known = call.recordings.map(({ id, isLive }) => `${id} ${isLive}`).join("\n");
  const { data, error, reload } = useResource(known === "" ? null : "recordings");
  useEffect(() => {
    if (known === "") return undefined;
    const timer = setTimeout(reload, AGAIN_MS);
    return () => clearTimeout(timer);
  }, [known, reload]);
  const [closed, setClosed] = useState(new Set());
  const toggle = (id) => setClosed((old) => {
    const next = new Set(old);
    if (!next.delete(id)) next.add(id);
    return next;
  });
  if (call.recordings.length === 0) {
    return html`
      <${Empty} icon="recordings" title="This call was not recorded">
        ${call.actions.includes("startRecording") ? "Press Record above." : "The bot records with call.record()."}
      <//>`;
  }
  const listed = new Map((data?.recordings ?? []).map((recording) => [recording.id, recording]));
  return html`
    ${error !== null && html`<${Notice} is="bad">${error.message}<//>`}
    <ul class="card recordings">
      ${call.recordings.map((recording) => html`
        <${Recording} key=${recording.id} recording=${listed.get(recording.id) ?? recording}
                      isOpen=${!closed.has(recording.id)} onToggle=${toggle} showsCall=${false}
                      isListed=${listed.has(recording.id)} />`)}
    </ul>`;
});
