// The plugins of a call: each stream's chain in its order, switched and set while it runs.

import { html, memo, useEffect, useMemo, useRef, useState } from "../preact.js";
import { act, del, patch, path, post, useResource } from "../api.js";
import { count, words } from "../format.js";
import { Action } from "../parts/action.js";
import { Dialog } from "../parts/dialog.js";
import { Empty, Loaded, Notice } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { defaultsOf, SchemaForm } from "../parts/schema_form.js";
import { Card } from "../parts/page.js";
import { parameterName, parameterWords } from "../parts/parameters.js";
import { Chip, sideName } from "../parts/state.js";
import { Clock } from "../parts/time.js";

const SET_MS = 120; // What a slider goes through is told at most that often.
const SHOWN_EVENTS = 8;
const SHOWN_PARAMETERS = 4;
const STREAMS = {
  inbound: "What they say",
  outbound: "What they hear",
  speaker: "Each speaker, as the bot hears them",
  mix: "The mix that the bot hears",
  own: "What the bot says",
};

export const PluginsPanel = memo(({ call }) => {
  const [isAdding, setAdding] = useState(false);
  const chains = useMemo(() => chainsOf(call), [call.plugins, call.legs]);
  const canAdd = call.actions.includes("addPlugin");
  const add = html`
    <button type="button" class="primary" onClick=${() => setAdding(true)}>
      <${Icon} name="plus" size="16" />Add a plugin</button>`;
  return html`
    ${chains.length === 0
      ? html`<${Empty} icon="plug" title="No plugins in this call">
          A plugin listens to a stream of the call, or changes it.
          ${canAdd && html`<div>${add}</div>`}
        <//>`
      : html`
        <div class="spread">
          <p class="quiet">Sound goes through each chain from the first to the last.</p>${canAdd && add}
        </div>
        ${chains.map((chain) => html`<${Chain} key=${chain.id} call=${call} chain=${chain} />`)}`}
    ${isAdding && html`<${AddPlugin} call=${call} onClose=${() => setAdding(false)} />`}`;
});

/** The plugins by stream, in the order in which sound passes: [{id, title, of, side, plugins}]. */
function chainsOf(call) {
  const legs = new Map(call.legs.map((leg) => [leg.key, leg.name]));
  const chains = new Map();
  for (const plugin of call.plugins) {
    const id = `${plugin.side} ${plugin.stream} ${plugin.legKey ?? ""}`;
    if (!chains.has(id)) {
      chains.set(id, {
        id, side: plugin.side, title: STREAMS[plugin.stream] ?? words(plugin.stream),
        of: legs.get(plugin.legKey) ?? null, plugins: [],
      });
    }
    chains.get(id).plugins.push(plugin);
  }
  return [...chains.values()];
}

const Chain = memo(({ call, chain }) => html`
  <${Card} title=${chain.of === null ? chain.title : `${chain.of}: ${chain.title.toLowerCase()}`}
           more=${html`<span class="quiet small-text">${sideName(chain.side)}</span>`}>
    <ol class="chain-list">
      ${chain.plugins.map((plugin, index) => html`
        <${Plugin} key=${plugin.key} call=${call} plugin=${plugin} at=${index + 1} />`)}
    </ol>
  <//>`);

const Plugin = memo(({ call, plugin, at }) => {
  const [isOpen, setOpen] = useState(false);
  const where = path("calls", call.row.id, "plugins", plugin.key);
  const canSet = call.actions.includes("setPlugin");
  const title = words(plugin.name);
  const isOn = plugin.enabled && !plugin.bypassed;
  return html`
    <li class="plugin" data-on=${isOn}>
      <div class="plugin-head">
        <span class="plugin-number figure" aria-hidden="true">${at}</span>
        <div class="grow">
          <div class="row">
            <h3 class="plugin-title wrap">${title}</h3>
            ${!plugin.enabled ? html`<${Chip} is="bad" title="It failed or was too slow; switching it on tries it again">Taken out<//>`
              : plugin.bypassed && html`<${Chip} is="off">Bypassed<//>`}
          </div>
          <${Outline} plugin=${plugin} />
        </div>
        <${Action} class="switch" role="switch" aria-checked=${isOn} aria-label=${`${title} is on`} disabled=${!canSet}
                   run=${() => patch(where, { bypassed: isOn })} />
        <button type="button" class="ghost icon-only" aria-expanded=${isOpen}
                aria-label=${isOpen ? `Less of ${title}` : `More of ${title}`} onClick=${() => setOpen(!isOpen)}>
          <span class=${isOpen ? "turned" : ""}><${Icon} name="down" /></span>
        </button>
      </div>
      ${isOpen && html`
        <div class="plugin-body">
          ${plugin.title !== null && html`<p class="small-text wrap"><${Prose} text=${plugin.title} /></p>`}
          <${Parameters} where=${where} plugin=${plugin} canSet=${canSet} title=${title} />
          <${Metrics} metrics=${plugin.metrics} />
          <${Events} events=${plugin.events} />
          ${call.actions.includes("removePlugin") && html`
            <div><${Action} class="small danger" run=${() => del(where)} done=${`${title} is taken out of the chain`}>
              Take it out<//></div>`}
        </div>`}
    </li>`;
});

/** Its parameters in a line, while it is closed. */
const Outline = memo(({ plugin }) => {
  const entries = Object.entries(plugin.parameters).filter(([, value]) => typeof value !== "object" && value !== "");
  const shown = entries.slice(0, SHOWN_PARAMETERS).map(([name, value]) => parameterWords(name, value));
  if (entries.length > SHOWN_PARAMETERS) shown.push("…");
  return html`<p class="quiet small-text wrap">${shown.join(" · ") || "No parameters"}</p>`;
});

/** Fields that take effect as they are changed. */
function Parameters({ where, plugin, canSet, title }) {
  // What was set and is not told back yet.
  const [asked, setAsked] = useState({});
  const timer = useRef(null);
  const waiting = useRef({});
  useEffect(() => setAsked({}), [plugin.parameters]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const tell = async () => {
    timer.current = null;
    const parameters = waiting.current;
    waiting.current = {};
    if (!(await act(patch(where, { parameters })))) setAsked({});
  };
  const change = (name, value) => {
    setAsked((old) => ({ ...old, [name]: value }));
    waiting.current = { ...waiting.current, [name]: value };
    timer.current ??= setTimeout(tell, SET_MS);
  };
  const values = useMemo(() => ({ ...plugin.parameters, ...asked }), [plugin.parameters, asked]);
  return html`
    <fieldset class="plain" disabled=${!canSet}>
      <${SchemaForm} schema=${plugin.schema} values=${values} onChange=${change} label=${`Parameters of ${title}`} />
    </fieldset>`;
}

const Metrics = memo(({ metrics }) => {
  const entries = Object.entries(metrics);
  if (entries.length === 0) return null;
  return html`
    <dl class="facts">
      ${entries.map(([name, value]) => html`
        <div key=${name}><dt>${parameterName(name).title}</dt><dd class="figure">${
          Number.isInteger(value) ? count(value) : value.toFixed(2)} ${parameterName(name).unit}</dd></div>`)}
    </dl>`;
});

const Events = memo(({ events }) => {
  if (events.length === 0) return null;
  return html`
    <div class="stack plugin-events">
      <h3>What it told</h3>
      <ol>
        ${events.slice(-SHOWN_EVENTS).reverse().map((event, index) => html`
          <li key=${`${event.at} ${index}`}>
            <${Clock} at=${event.at} /><strong>${words(event.kind)}</strong>
            <span class="mono wrap">${typeof event.detail === "string" ? event.detail : JSON.stringify(event.detail)}</span>
          </li>`)}
      </ol>
    </div>`;
});

/** A docstring's text: what stands in (double) backquotes is code. */
const Prose = memo(({ text }) => text.split(/``?/).map((part, index) => (
  index % 2 === 0 ? part : html`<code key=${index}>${part}</code>`)));

// ---- another one -------------------------------------------------------------------------------------

function AddPlugin({ call, onClose }) {
  const kinds = useResource("plugins");
  return html`
    <${Dialog} title="Add a plugin" onClose=${onClose} wide>
      <${Loaded} resource=${kinds}>
        ${(data) => {
          const able = data.plugins.filter((kind) => call.row.sides.includes(kind.side));
          return able.length === 0
            ? html`<${Notice} is="info">No plugins are installed for this call.<//>`
            : html`<${AddForm} call=${call} kinds=${able} onClose=${onClose} />`;
        }}
      <//>
    <//>`;
}

const keyOfKind = (kind) => `${kind.side} ${kind.name}`;

function AddForm({ call, kinds, onClose }) {
  const [chosen, choose] = useState(keyOfKind(kinds[0]));
  const kind = kinds.find((each) => keyOfKind(each) === chosen);
  const [chosenStream, setStream] = useState(null);
  const stream = kind.streams.includes(chosenStream) ? chosenStream : kind.streams[0];
  const [legKey, setLeg] = useState("");
  const legs = call.legs.filter((leg) => leg.side === kind.side && leg.participantId !== null);
  const isOfLeg = stream === "inbound" || stream === "outbound";
  const defaults = useMemo(() => defaultsOf(kind.schema), [kind]);
  const [changes, setChanges] = useState({});
  useEffect(() => setChanges({}), [chosen]);
  const values = useMemo(() => ({ ...defaults, ...changes }), [defaults, changes]);
  const add = (event) => {
    event.preventDefault();
    const wish = { name: kind.name, stream, parameters: changes };
    if (isOfLeg && legKey !== "") wish.legKey = legKey;
    act(post(path("calls", call.row.id, "plugins"), wish).then(onClose), { done: `${words(kind.name)} is in the chain` });
  };
  const sides = new Set(kinds.map((each) => each.side));
  return html`
    <form class="stack" onSubmit=${add}>
      <div class="field">
        <label for="plugin-kind">Plugin</label>
        <select id="plugin-kind" value=${chosen} onChange=${(event) => choose(event.target.value)}>
          ${kinds.map((each) => html`
            <option key=${keyOfKind(each)} value=${keyOfKind(each)}>${words(each.name)}${
              sides.size > 1 ? ` (${sideName(each.side).toLowerCase()})` : ""}</option>`)}
        </select>
        <small><${Prose} text=${[kind.title, kind.description].filter(Boolean).join(" ")} /></small>
      </div>
      <div class="field">
        <label for="plugin-stream">On</label>
        <select id="plugin-stream" value=${stream} onChange=${(event) => setStream(event.target.value)}>
          ${kind.streams.map((each) => html`<option key=${each} value=${each}>${STREAMS[each] ?? words(each)}</option>`)}
        </select>
      </div>
      ${isOfLeg && legs.length > 0 && html`
        <div class="field">
          <label for="plugin-leg">Whose</label>
          <select id="plugin-leg" value=${legKey} onChange=${(event) => setLeg(event.target.value)}>
            <option value="">Everybody’s</option>
            ${legs.map((leg) => html`<option key=${leg.key} value=${leg.key}>${leg.name}</option>`)}
          </select>
        </div>`}
      <${SchemaForm} key=${chosen} schema=${kind.schema} values=${values} label="Parameters"
                     onChange=${(name, value) => setChanges((old) => ({ ...old, [name]: value }))} />
      <div class="row dialog-end">
        <button type="button" class="ghost" onClick=${onClose}>Cancel</button>
        <button class="primary">Add it</button>
      </div>
    </form>`;
}
