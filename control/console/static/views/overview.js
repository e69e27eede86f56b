// How the whole is: health and load, what was late, what is going on, and what wants somebody's eye.

import { html, memo, useMemo } from "../preact.js";
import { count, ms, percent, phrase, plural, words } from "../format.js";
import { useMeters } from "../live.js";
import { CallList } from "../parts/call_list.js";
import { Chart } from "../parts/chart.js";
import { Empty, Loading, Notice } from "../parts/empty.js";
import { EventLine } from "../parts/event_line.js";
import { Card, Page } from "../parts/page.js";
import { Health } from "../parts/state.js";
import { href } from "../router.js";
import { isOver, useStore } from "../store.js";
import { StartButtons } from "./start_buttons.js";

const SHOWN_CALLS = 6;
const SHOWN_EVENTS = 8;
const HEAVY = 0.7; // Where a process is HeavilyLoaded and Overloaded: control/operation.
const OVER = 0.85;
const ALARMING = new Set(["noMedia", "botError", "pluginDisabled", "lobby", "loss", "concealment", "jitter"]);

const LATENESS = [
  { name: "p50", read: (sample) => sample.latenessP50Ms },
  { name: "p99", read: (sample) => sample.latenessP99Ms },
  { name: "max", read: (sample) => sample.latenessMaxMs },
];
const WORK = [
  { name: "p50", read: (sample) => sample.tickP50Ms },
  { name: "p99", read: (sample) => sample.tickP99Ms },
  { name: "max", read: (sample) => sample.tickMaxMs },
];
const SHARES = [
  { name: "Load of capacity", read: (sample) => sample.loadRatio },
  { name: "Tick threads", read: (sample) => sample.busyRatio },
  { name: "Packet thread", read: (sample) => sample.packetRatio },
  { name: "Event loop", read: (sample) => sample.loopRatio },
];
const COUNTS = [
  { name: "Legs", read: (sample) => sample.legs },
  { name: "Calls", read: (sample) => sample.calls },
];
const LOAD_LIMITS = [{ value: HEAVY, label: "heavily loaded" }, { value: OVER, label: "overloaded" }];
const TICK_LIMITS = [{ value: 20, label: "one tick" }];

export function OverviewView() {
  const engine = useStore((state) => state.engine);
  const callList = useStore((state) => state.callList);
  const live = useMemo(() => callList.filter((row) => !isOver(row)), [callList]);
  const alarming = useMemo(() => live.filter((row) => row.flags.some((flag) => ALARMING.has(flag))), [live]);
  return html`
    <${Page} title="Overview" actions=${html`<${StartButtons} />`}>
      ${engine === null ? html`<${Loading} lines="5" />` : html`
        <${Reasons} engine=${engine} />
        <${Figures} engine=${engine} live=${live} />`}
      <div class="overview-calls">
        <${LiveCalls} live=${live} alarming=${alarming} />
        <${Recent} />
      </div>
      <${Charts} />
      ${engine !== null && html`<${About} engine=${engine} />`}
    <//>`;
}

/** Why not all is well: what is scarce, and whether new calls are still taken. */
function Reasons({ engine }) {
  const { health, draining } = engine;
  const reasons = engine.reasons.filter((reason) => reason !== "draining").map(words).join("; ");
  if (reasons === "" && !draining) return null;
  return html`<${Notice} is=${health === "Overloaded" ? "bad" : "warn"}>
    ${draining && html`<p>This process is about to leave: it takes no new calls.</p>`}
    ${reasons !== "" && html`<p>${reasons}.
      ${health === "Overloaded" && " New calls are refused until it has eased."}</p>`}
  <//>`;
}

function Figures({ engine, live }) {
  const people = live.reduce((sum, row) => sum + row.people, 0);
  const meetings = live.filter((row) => row.kind === "meeting").length;
  return html`
    <dl class="tiles" aria-label="Now">
      <div class="tile tile-load"><dt class="spread">Load <${Health} name=${engine.health} /></dt>
        <dd class="tile-value figure">${percent(engine.loadRatio)}</dd>
        <dd><${LoadBar} ratio=${engine.loadRatio ?? 0} /></dd></div>
      <${Tile} name="Live calls" value=${count(live.length)}
        more=${`${meetings === 0 ? "no meeting" : plural(meetings, "meeting")} among them`} />
      <${Tile} name="People" value=${count(people)} more=${plural(engine.legs, "leg")} />
      <${Tile} name="Lateness p99" value=${ms(engine.latenessP99Ms)}
        more=${`${ms(engine.latenessMaxMs)} at most, last second`} />
      <${Tile} name="Late ticks" value=${count(engine.lateTicks)}
        more=${`${count(engine.skippedTicks)} left out, since the start`} />
    </dl>`;
}

const Tile = memo(({ name, value, more }) => html`
  <div class="tile"><dt>${name}</dt><dd class="tile-value figure">${value}</dd>
    <dd class="quiet small-text figure">${more}</dd></div>`);

const LoadBar = memo(({ ratio }) => html`
  <span class="load-bar" aria-hidden="true">
    <span class="load-fill" style=${{ transform: `scaleX(${Math.min(1, ratio)})` }}></span>
    <span class="load-mark load-heavy"></span><span class="load-mark load-over"></span>
  </span>`);

function LiveCalls({ live, alarming }) {
  const shown = useMemo(
    () => [...alarming, ...live.filter((row) => !alarming.includes(row))].slice(0, SHOWN_CALLS),
    [live, alarming],
  );
  useMeters(shown.map(({ id }) => id));
  const more = html`<a href=${href("calls")} class="small-text">All calls</a>`;
  return html`
    <${Card} title="Live calls" more=${more} class="flush">
      ${alarming.length > 0 && html`<p class="card-note small-text quiet">
        ${plural(alarming.length, "call")} with something to look at;
        ${alarming.length === 1 ? " it is" : " they are"} first.</p>`}
      ${shown.length === 0
        ? html`<${Empty} icon="calls" title="Nobody is on the line.">
            <p>Start a call or a meeting, and it appears here at once.</p><//>`
        : html`<${CallList} rows=${shown} label="Live calls" isShort=${true} />`}
      ${live.length > shown.length && html`<p class="card-note small-text">
        <a href=${href("calls")}>${live.length - shown.length} more</a></p>`}
    <//>`;
}

function Recent() {
  const events = useStore((state) => state.events);
  const shown = useMemo(() => events.slice(-SHOWN_EVENTS).reverse(), [events]);
  return html`
    <${Card} title="Lately" class="flush"
      more=${html`<a href=${href("events")} class="small-text">Event log</a>`}>
      ${shown.length === 0
        ? html`<${Empty} icon="events" title="Nothing has happened yet." />`
        : html`<ol class="event-list short">${shown.map((entry) => html`
            <${EventLine} key=${entry.seq} entry=${entry} isShort=${true} />`)}</ol>`}
    <//>`;
}

function Charts() {
  const history = useStore((state) => state.engineHistory);
  if (history.length === 0) return null;
  return html`
    <div class="charts">
      <section class="card"><${Chart} title="Tick lateness" history=${history} series=${LATENESS} format=${ms}
        floor=${0.01} least=${10} limits=${TICK_LIMITS} /></section>
      <section class="card"><${Chart} title="Load and its parts" history=${history} series=${SHARES}
        format=${percent} least=${1} limits=${LOAD_LIMITS} /></section>
      <section class="card"><${Chart} title="Work of a tick" history=${history} series=${WORK} format=${ms}
        floor=${0.01} least=${10} limits=${TICK_LIMITS} /></section>
      <section class="card"><${Chart} title="Calls and legs" history=${history} series=${COUNTS}
        format=${wholes} least=${4} /></section>
    </div>`;
}

const wholes = (value) => count(typeof value === "number" ? Math.round(value * 10) / 10 : value);

function About({ engine }) {
  const facts = [
    ["Tick threads", count(engine.tickThreads)],
    ["Scheduling", engine.scheduling],
    ["Instruction set", engine.isa],
    ["Ticks a second", count(Math.round(engine.ticksPerS))],
    ["Frames mixed a second", count(engine.framesMixed)],
    ["Received, sent", `${count(engine.framesReceived)}, ${count(engine.framesSent)}`],
    ...Object.entries(engine.capacity ?? {}).map(limit),
  ];
  return html`
    <${Card} title="Engine">
      <dl class="facts">${facts.map(([name, value]) => html`
        <div key=${name}><dt>${name}</dt><dd class="figure wrap">${value}</dd></div>`)}</dl>
    <//>`;
}

/** What a load of 1 is, by its unit: [name, value]. */
function limit([name, value]) {
  if (name === "of") return ["Scarcest now", words(value)];
  if (typeof value === "string") return [words(name), value];
  if (typeof value !== "number") return [words(name), JSON.stringify(value)];
  const known = [[/_share$/, percent], [/_ms$/, ms]].find(([ending]) => ending.test(name));
  if (known === undefined) return [words(name), count(value)];
  return [`Full at: ${phrase(name.replace(known[0], ""))}`, known[1](value)];
}
