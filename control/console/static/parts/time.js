// Times that go on by themselves. All of them share one clock, that stops while nobody shows one.

import { html, memo, useEffect, useState } from "../preact.js";
import { clock, dayAndTime, duration, secondsSince } from "../format.js";
import { serverNowMs } from "../store.js";

const shown = new Set();
let timer = null;

function useSeconds(isOn) {
  const [, redraw] = useState(null);
  useEffect(() => {
    if (!isOn) return undefined;
    const tick = () => redraw({});
    shown.add(tick);
    timer ??= setInterval(() => {
      for (const each of [...shown]) each();
    }, 1000);
    return () => {
      shown.delete(tick);
      if (shown.size > 0) return;
      clearInterval(timer);
      timer = null;
    };
  }, [isOn]);
}

/** How long it has lasted, or did: from `since` to `until`, both ISO 8601. */
export const Elapsed = memo(({ since, until = null }) => {
  useSeconds(until === null);
  const seconds = secondsSince(since, until === null ? serverNowMs() : Date.parse(until));
  return html`<time class="figure" datetime=${since}>${duration(seconds)}</time>`;
});

/** The time of day; the date is told by pointing at it. */
export const Clock = memo(({ at, as = clock }) => html`
  <time class="figure nowrap" datetime=${at} title=${dayAndTime(at)}>${as(at)}</time>`);
