// Who hears whom: a table with a listener in each row and a speaker in each column.

import { html, memo, useEffect, useMemo, useRef, useState } from "../preact.js";
import { act, path, put } from "../api.js";
import { Empty, Notice } from "../parts/empty.js";

const STEPS = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
const PENDING_MS = 3000; // By then the call has been told anew: what it says counts.

export const RoutingPanel = memo(({ call }) => {
  const people = useMemo(() => inOrder(call), [call.roster, call.routing]);
  if (people.length < 2) {
    return html`
      <${Empty} icon="meetings" title="Nobody to route yet">
        As soon as two are in the call, this table says who hears whom.
      <//>`;
  }
  const isSettable = call.actions.includes("setRoute") && call.routing.some((route) => route.settable);
  return html`
    <p class="quiet">${isSettable
      ? "A row is who listens, a column who speaks. Switch a field to change it; the arrow keys go from one to the next."
      : "A row is who listens, a column who speaks."}</p>
    ${!isSettable && html`
      <${Notice} is="info">It cannot be changed here: a call of two hears itself, and another process may hold the routes.<//>`}
    <${Matrix} id=${call.row.id} people=${people} routing=${call.routing} isSettable=${isSettable} />`;
});

/** Those of the routes, in the roster's order: [{id, name}]. */
function inOrder(call) {
  const names = new Map(call.roster.map((person) => [person.participantId, person.name]));
  const ids = new Set(call.routing.flatMap((route) => [route.listener, route.speaker]));
  const known = [...names.keys()].filter((id) => ids.has(id));
  const others = [...ids].filter((id) => !names.has(id));
  return [...known, ...others].map((id) => ({ id, name: names.get(id) ?? id }));
}

const keyOf = (listener, speaker) => `${listener}\n${speaker}`;

function Matrix({ id, people, routing, isSettable }) {
  const table = useRef();
  const routes = useMemo(
    () => new Map(routing.map((route) => [keyOf(route.listener, route.speaker), route])), [routing],
  );
  // What was asked for is shown at once; what comes from the call takes its place.
  const [pending, setPending] = useState(new Map());
  useEffect(() => setPending(new Map()), [routing]);
  useEffect(() => {
    if (pending.size === 0) return undefined;
    const timer = setTimeout(() => setPending(new Map()), PENDING_MS);
    return () => clearTimeout(timer);
  }, [pending]);

  const set = async (listener, speaker, hears) => {
    setPending((old) => new Map(old).set(keyOf(listener.id, speaker.id), hears));
    const isDone = await act(put(path("calls", id, "routes"), { listener: listener.id, speaker: speaker.id, hears }));
    if (!isDone) setPending(new Map());
  };
  const pressed = (event) => {
    const step = STEPS[event.key];
    const { row, column } = event.target.dataset ?? {};
    if (step === undefined || row === undefined) return;
    event.preventDefault();
    let [to, of] = [Number(row), Number(column)];
    // Over the diagonal: nobody hears themselves.
    for (let tries = 0; tries < people.length; tries++) {
      to = (to + step[0] + people.length) % people.length;
      of = (of + step[1] + people.length) % people.length;
      const next = table.current.querySelector(`[data-row="${to}"][data-column="${of}"]`);
      if (next === null) continue;
      next.focus();
      return;
    }
  };
  return html`
    <div class="matrix-scroll" tabindex="-1">
      <table class="matrix" ref=${table} onKeyDown=${pressed}>
        <caption class="visually-hidden">Who hears whom</caption>
        <thead>
          <tr>
            <th scope="col" class="matrix-corner"><span class="quiet">hears ▸</span></th>
            ${people.map((speaker) => html`
              <th key=${speaker.id} scope="col" class="matrix-speaker" title=${speaker.name}><span>${speaker.name}</span></th>`)}
          </tr>
        </thead>
        <tbody>
          ${people.map((listener, row) => html`
            <tr key=${listener.id}>
              <th scope="row" title=${listener.name}><span class="truncate">${listener.name}</span></th>
              ${people.map((speaker, column) => {
                if (speaker.id === listener.id) {
                  return html`<td key=${speaker.id} class="matrix-self"><span class="visually-hidden">themselves</span></td>`;
                }
                const route = routes.get(keyOf(listener.id, speaker.id));
                const asked = pending.get(keyOf(listener.id, speaker.id));
                return html`
                  <td key=${speaker.id}>
                    <${Field} listener=${listener} speaker=${speaker} row=${row} column=${column}
                              hears=${asked ?? route?.hears ?? false} isPending=${asked !== undefined}
                              isSettable=${isSettable && route?.settable === true} set=${set} />
                  </td>`;
              })}
            </tr>`)}
        </tbody>
      </table>
    </div>`;
}

function Field({ listener, speaker, row, column, hears, isPending, isSettable, set }) {
  const words = `${listener.name} ${hears ? "hears" : "does not hear"} ${speaker.name}`;
  if (!isSettable) {
    return html`<span class="route" data-hears=${hears} role="img" aria-label=${words} title=${words}></span>`;
  }
  return html`
    <button type="button" class="route" role="switch" aria-checked=${hears} aria-label=${`${listener.name} hears ${speaker.name}`}
            title=${words} data-hears=${hears} data-pending=${isPending} data-row=${row} data-column=${column}
            onClick=${() => set(listener, speaker, !hears)}></button>`;
}
