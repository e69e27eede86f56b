// A recording's picture and its player: what was played is in colour, a press or the arrow keys go elsewhere.

import { html, memo, useEffect, useLayoutEffect, useRef, useState } from "../preact.js";
import { useResource } from "../api.js";
import { duration } from "../format.js";
import { Icon } from "./icon.js";

const BINS = 800;
const BAR_PX = 3; // Of which one is empty: bars are told apart at any size.
const FULL_SCALE = 32768;
const STEP_S = 5;
const RATES = [1, 1.25, 1.5, 2, 0.75];
let playing = null; // One at a time.

/**
 * `url`: of the audio, good for a while: the newest is taken when the one before is not any more.
 * `peaksPath`: what GET gives [[min, max]...] (int16); `durationMs` if it is known.
 */
export function Player({ url, peaksPath, durationMs = null, title }) {
  const audio = useRef();
  const [isPlaying, setPlaying] = useState(false);
  const [atS, setAt] = useState(0);
  const [lengthS, setLength] = useState(durationMs === null ? null : durationMs / 1000);
  const [rate, setRate] = useState(1);
  const [error, setError] = useState("");
  const peaks = useResource(peaksPath);
  const [source, setSource] = useState(url);

  useEffect(() => {
    if (!isPlaying) return undefined;
    let frame = requestAnimationFrame(function follow() {
      setAt(audio.current.currentTime);
      frame = requestAnimationFrame(follow);
    });
    return () => cancelAnimationFrame(frame);
  }, [isPlaying]);
  useEffect(() => () => {
    if (playing === audio.current) playing = null;
  }, []);

  const toggle = async () => {
    const element = audio.current;
    if (!element.paused) {
      element.pause();
      return;
    }
    if (playing !== element) playing?.pause();
    playing = element;
    try {
      await element.play();
    } catch (error) {
      // NotSupportedError: `onError` says it, too, and may know better.
      if (!["AbortError", "NotSupportedError"].includes(error.name)) setError(`It cannot be played: ${error.message}`);
    }
  };
  const seek = (seconds) => {
    const to = Math.min(Math.max(0, seconds), lengthS ?? 0);
    audio.current.currentTime = to;
    setAt(to);
  };
  const nextRate = () => {
    const next = RATES[(RATES.indexOf(rate) + 1) % RATES.length];
    audio.current.playbackRate = next;
    setRate(next);
  };
  const loaded = () => {
    const { duration: found } = audio.current;
    if (Number.isFinite(found)) setLength(found);
    if (Math.abs(audio.current.currentTime - atS) > 1) audio.current.currentTime = atS; // With a newer address.
  };
  const failed = () => {
    setPlaying(false);
    if (url !== source) setSource(url);
    else setError("The file cannot be read: it is gone, or this page was open for too long. Reload it.");
  };
  return html`
    <div class="player">
      <audio ref=${audio} src=${source} preload="metadata" onLoadedMetadata=${loaded} onDurationChange=${loaded}
             onPlay=${() => setPlaying(true)} onPause=${() => setPlaying(false)} onEnded=${() => setPlaying(false)}
             onSeeked=${() => setAt(audio.current.currentTime)}
             onError=${failed} />
      <button type="button" class="primary icon-only player-play" aria-label=${isPlaying ? `Pause ${title}` : `Play ${title}`}
              onClick=${toggle}><${Icon} name=${isPlaying ? "pause" : "play"} /></button>
      <div class="player-middle">
        <${Waveform} peaks=${peaks.data?.peaks ?? null} share=${lengthS ? atS / lengthS : 0} lengthS=${lengthS}
                     atS=${atS} seek=${seek} title=${title} />
        <div class="spread player-line">
          <span class="figure quiet"><span class="player-at">${duration(atS)}</span> / ${duration(lengthS)}</span>
          <span class="row">
            <button type="button" class="ghost small figure" aria-label=${`Speed: ${rate} times`} onClick=${nextRate}>${rate}×</button>
            <a href=${url} download>Download</a>
          </span>
        </div>
      </div>
      ${(error !== "" || peaks.error !== null) && html`
        <p class="player-error" role="alert">${error || peaks.error.message}</p>`}
    </div>`;
}

/** `peaks`: [[min, max]...] or null while they are fetched; `share` of it that was played. */
const Waveform = memo(({ peaks, share, lengthS, atS, seek, title }) => {
  const place = useRef();
  const canvas = useRef();
  const [size, setSize] = useState({ width: 0, height: 0 });
  const [theme, setTheme] = useState(0);

  useEffect(() => {
    const watch = new ResizeObserver(([entry]) => {
      const { width, height } = entry.contentRect;
      setSize({ width: Math.round(width), height: Math.round(height) });
    });
    watch.observe(place.current);
    const again = () => setTheme((turn) => turn + 1);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", again);
    const chosen = new MutationObserver(again);
    chosen.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => {
      watch.disconnect();
      dark.removeEventListener("change", again);
      chosen.disconnect();
    };
  }, []);
  useLayoutEffect(() => {
    if (size.width > 0) draw(canvas.current, size, peaks, share);
  }, [size, peaks, share, theme]);

  const pointed = (event) => {
    if (lengthS === null || (event.type === "pointermove" && event.buttons === 0)) return;
    const { left, width } = place.current.getBoundingClientRect();
    if (event.type === "pointerdown") place.current.setPointerCapture(event.pointerId);
    seek(((event.clientX - left) / width) * lengthS);
  };
  const pressed = (event) => {
    const to = {
      ArrowRight: atS + STEP_S, ArrowLeft: atS - STEP_S, PageUp: atS + 6 * STEP_S, PageDown: atS - 6 * STEP_S,
      Home: 0, End: lengthS,
    }[event.key];
    if (to === undefined || lengthS === null) return;
    event.preventDefault();
    seek(to);
  };
  return html`
    <div class="waveform" ref=${place} role="slider" tabindex="0" aria-label=${`Position in ${title}`}
         aria-valuemin="0" aria-valuemax=${Math.round(lengthS ?? 0)} aria-valuenow=${Math.round(atS)}
         aria-valuetext=${`${duration(atS)} of ${duration(lengthS)}`} aria-busy=${peaks === null}
         onPointerDown=${pointed} onPointerMove=${pointed} onKeyDown=${pressed}>
      <canvas ref=${canvas} aria-hidden="true"></canvas>
    </div>`;
});

export const peaksQuery = `peaks?bins=${BINS}`;

function draw(canvas, { width, height }, peaks, share) {
  const dots = devicePixelRatio || 1;
  if (canvas.width !== width * dots || canvas.height !== height * dots) {
    canvas.width = width * dots;
    canvas.height = height * dots;
  }
  const context = canvas.getContext("2d");
  context.setTransform(dots, 0, 0, dots, 0, 0);
  context.clearRect(0, 0, width, height);
  const style = getComputedStyle(canvas);
  const [played, rest] = [style.color, style.getPropertyValue("border-top-color")];
  const middle = height / 2;
  const bars = Math.max(1, Math.floor(width / BAR_PX));
  for (let bar = 0; bar < bars; bar++) {
    const [low, high] = peaks === null || peaks.length === 0 ? [0, 0] : extremes(peaks, bar / bars, (bar + 1) / bars);
    const top = (high / FULL_SCALE) * (middle - 1);
    const bottom = (-low / FULL_SCALE) * (middle - 1);
    context.fillStyle = (bar + 0.5) / bars <= share ? played : rest;
    context.fillRect(bar * BAR_PX, middle - Math.max(0.75, top), BAR_PX - 1, Math.max(0.75, top) + Math.max(0.75, bottom));
  }
}

/** The lowest and the highest of a share of the bins. */
function extremes(peaks, from, to) {
  let [low, high] = [0, 0];
  const end = Math.max(Math.ceil(to * peaks.length), 1);
  for (let bin = Math.floor(from * peaks.length); bin < end && bin < peaks.length; bin++) {
    low = Math.min(low, peaks[bin][0]);
    high = Math.max(high, peaks[bin][1]);
  }
  return [low, high];
}
