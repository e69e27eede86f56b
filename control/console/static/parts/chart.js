// Figures over the last minutes, as lines. SVG, so that it follows the theme and any width by itself.

import { html, memo, useMemo, useRef, useState } from "../preact.js";
import { clock } from "../format.js";

const WIDTH = 600; // Of the drawing's own units; it is stretched to what there is.
const HEIGHT = 160;
const SPANS_MS = [130_000, 185_000, 245_000, 300_000]; // The shortest that has all that is known.
const GAP_MS = 5000; // Longer without a sample: nothing is known of it.
const NICE = [1, 2, 2.5, 5, 10];

/**
 * `history`: samples with `at`, oldest first. `series`: [{name, read(sample) -> number or null}], at most four.
 * `format(value)`. `limits`: [{value, label}] are drawn across. `floor`, given: a logarithmic scale from there.
 * `least`: the least upper end of the scale. The newest value of each stands beside its name, or the one at
 * the place that is pointed to, or gone to with the arrow keys.
 */
export const Chart = memo(({ title, history, series, format, limits = [], floor = null, least = 0 }) => {
  const [pointed, setPointed] = useState(null); // Milliseconds since 1970.
  const plot = useRef();
  const drawn = useMemo(() => draw(history, series, floor, least), [history, series, floor, least]);
  const { lines, scale, endMs, spanMs } = drawn;
  const sample = pointed === null ? history.at(-1) : nearest(history, pointed);
  const isPointed = pointed !== null && sample !== undefined;
  const x = (ms) => (100 * (ms - endMs + spanMs)) / spanMs;

  const moved = (event) => {
    const box = plot.current.getBoundingClientRect();
    setPointed(endMs - spanMs + (spanMs * (event.clientX - box.left)) / box.width);
  };
  const pressed = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") setPointed(null);
    if (step === undefined || sample === undefined) return;
    event.preventDefault();
    const at = history.indexOf(sample) + step;
    if (at >= 0 && at < history.length) setPointed(Date.parse(history[at].at));
  };
  const top = (value) => `${(100 * scale.y(value)) / HEIGHT}%`;
  const reached = limits.filter(({ value }) => value <= scale.top);
  const told = series.map(({ name, read }) => `${name} ${format(sample && read(sample))}`).join(", ");

  return html`
    <figure class="chart">
      <figcaption class="spread">
        <h2>${title}</h2>
        <span class="quiet figure small-text">${isPointed ? clock(sample.at) : "now"}</span>
      </figcaption>
      <dl class="legend">
        ${series.map(({ name, read }, i) => html`
          <div key=${name} data-series=${i + 1}><dt>${name}</dt>
            <dd class="figure">${format(sample && read(sample))}</dd></div>`)}
      </dl>
      <div class="plot" ref=${plot} tabindex="0" role="img"
           aria-label=${`${title}: ${told}. Arrow keys go through time.`}
           onPointerMove=${moved} onPointerLeave=${() => setPointed(null)} onKeyDown=${pressed}
           onBlur=${() => setPointed(null)}>
        <svg viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
          ${scale.marks.map((value) => html`
            <path key=${value} class="grid-line" d=${`M0 ${scale.y(value)}H${WIDTH}`} />`)}
          ${reached.map(({ value }) => html`
            <path key=${`limit ${value}`} class="limit-line" d=${`M0 ${scale.y(value)}H${WIDTH}`} />`)}
          ${lines.map((d, i) => html`<path key=${i} class="line" data-series=${i + 1} d=${d} />`)}
        </svg>
        ${scale.marks.map((value) => html`
          <span key=${value} class="mark-text figure" style=${{ top: top(value) }}>${format(value)}</span>`)}
        ${reached.map(({ value, label }) => html`
          <span key=${label} class="limit-text" style=${{ top: top(value) }}>${label}</span>`)}
        ${isPointed && html`<span class="cursor" style=${{ left: `${x(Date.parse(sample.at))}%` }}></span>`}
      </div>
      <div class="chart-time quiet" aria-hidden="true">
        <span>${Math.round(spanMs / 60_000)} min ago</span><span>now</span></div>
    </figure>`;
});

function draw(history, series, floor, least) {
  const endMs = Date.parse(history.at(-1)?.at ?? "") || Date.now();
  const ageMs = endMs - (Date.parse(history[0]?.at ?? "") || endMs);
  const spanMs = SPANS_MS.find((each) => each >= ageMs) ?? SPANS_MS.at(-1);
  const columns = series.map(({ read }) => history.map(read));
  const highest = Math.max(least, ...columns.flat().filter(Number.isFinite));
  const scale = floor === null ? linear(highest) : logarithmic(floor, highest);
  const times = history.map(({ at }) => WIDTH - ((endMs - Date.parse(at)) * WIDTH) / spanMs);
  const gap = (GAP_MS * WIDTH) / spanMs;
  return { endMs, spanMs, scale, lines: columns.map((values) => path(times, values, scale, gap)) };
}

function path(times, values, scale, gap) {
  let d = "";
  let pen = "M";
  for (let i = 0; i < times.length; i++) {
    if (i > 0 && times[i] - times[i - 1] > gap) pen = "M";
    if (times[i] < 0) continue;
    if (Number.isFinite(values[i])) {
      d += `${pen}${times[i].toFixed(1)} ${scale.y(values[i]).toFixed(1)}`;
      pen = "L";
    } else {
      pen = "M";
    }
  }
  return d;
}

function linear(highest) {
  const size = 10 ** Math.floor(Math.log10(highest || 1));
  const top = size * NICE.find((nice) => nice * size >= highest * 0.999);
  return { top, marks: [0, top / 2, top], y: (value) => HEIGHT * (1 - value / top) };
}

function logarithmic(floor, highest) {
  const decades = Math.max(1, Math.ceil(Math.log10(highest / floor) - 0.001));
  const marks = Array.from({ length: decades + 1 }, (_, i) => floor * 10 ** i);
  const share = (value) => Math.log10(Math.max(value, floor) / floor) / decades;
  return { top: marks.at(-1), marks, y: (value) => HEIGHT * (1 - share(value)) };
}

function nearest(history, ms) {
  let best;
  for (const sample of history) {
    const away = Math.abs(Date.parse(sample.at) - ms);
    if (best === undefined || away < best.away) best = { sample, away };
  }
  return best?.sample;
}
