// What the page knows, in one object. Values are replaced, never changed: compare them by identity.

import { useEffect, useLayoutEffect, useRef, useState } from "./preact.js";

const HISTORY_SAMPLES = 300;
const KEPT_EVENTS = 2000;
const NOTICED_MS = 2000; // Less is how long a message may take, or nobody sees it.

const EMPTY = {
  line: "connecting", // "connecting", "open" or "lost"
  session: null, // Of GET session, while signed in.
  epoch: null,
  hasCalls: false, // Whether a snapshot has come.
  calls: new Map(),
  callList: [],
  rowsByAnyId: new Map(), // By a row's id and by the ids of the calls in it.
  detail: { id: null, call: undefined }, // null: the server does not know such a call.
  engine: null,
  engineHistory: [],
  events: [],
};

const listeners = new Set();

export const store = { state: EMPTY };

export function update(changes) {
  store.state = { ...store.state, ...changes };
  for (const listener of [...listeners]) listener(store.state);
}

/** Forget all: somebody else may sign in next. */
export function clear() {
  update(EMPTY);
}

/** Draw again when what *select* returns is another (Object.is). */
export function useStore(select) {
  const [, redraw] = useState(null);
  const latest = useRef();
  const value = select(store.state);
  useLayoutEffect(() => {
    latest.current = { select, value };
  });
  useEffect(() => {
    const changed = (state) => {
      const next = latest.current.select(state);
      if (!Object.is(next, latest.current.value)) redraw({});
    };
    changed(store.state); // It may have changed between drawing and now.
    listeners.add(changed);
    return () => listeners.delete(changed);
  }, []);
  return value;
}

export function takeCalls(changed, gone, isAll = false) {
  const calls = isAll ? new Map() : new Map(store.state.calls);
  for (const row of changed) calls.set(row.id, row);
  for (const id of gone) calls.delete(id);
  const callList = [...calls.values()].sort(byAge);
  const rowsByAnyId = new Map(callList.flatMap((row) => [row.id, ...row.callIds].map((id) => [id, row])));
  update({ calls, callList, rowsByAnyId, hasCalls: true });
}

/** Living calls first, then the newest first. */
function byAge(one, other) {
  return Number(isOver(one)) - Number(isOver(other)) || other.startedAt.localeCompare(one.startedAt)
    || one.id.localeCompare(other.id);
}

export const isOver = (row) => row.state === "terminated";

let aheadMs = 0; // How far this browser's clock is ahead of the server's, where that would be seen.

/** The server's time now, in milliseconds since 1970: what durations are counted by. */
export const serverNowMs = () => Date.now() - aheadMs;

export function takeEngine(engine) {
  const apartMs = Date.now() - Date.parse(engine.at);
  aheadMs = Math.abs(apartMs) < NOTICED_MS ? 0 : apartMs;
  const engineHistory = [...store.state.engineHistory, engine].slice(-HISTORY_SAMPLES);
  update({ engine, engineHistory });
}

export function takeHistory(history, engine) {
  const known = store.state.engineHistory.filter((sample) => sample.at < (history[0]?.at ?? ""));
  update({ engine, engineHistory: [...known, ...history].slice(-HISTORY_SAMPLES) });
}

/** Add entries of the journal, wherever they belong by their number; those known already stay as they are. */
export function takeEvents(entries) {
  const { events } = store.state;
  const newest = events.at(-1)?.seq ?? -1;
  const isNext = entries.every((entry, i) => entry.seq > (i === 0 ? newest : entries[i - 1].seq));
  let merged;
  if (isNext) {
    merged = events.concat(entries);
  } else {
    const bySeq = new Map(entries.map((entry) => [entry.seq, entry]));
    for (const entry of events) bySeq.set(entry.seq, entry);
    merged = [...bySeq.values()].sort((one, other) => one.seq - other.seq);
  }
  if (entries.length > 0) update({ events: merged.slice(-KEPT_EVENTS) });
}

export function takeDetail(id, call) {
  const { detail } = store.state;
  const old = detail.id === id ? detail.call : undefined;
  update({ detail: { id, call: share(old, call) } });
}

/** Return *next* with those parts of *old* that are the same, so that what stayed is not drawn again. */
export function share(old, next) {
  if (Object.is(old, next)) return old;
  if (typeof old !== "object" || typeof next !== "object" || old === null || next === null) return next;
  if (Array.isArray(old) !== Array.isArray(next)) return next;
  const names = Object.keys(next);
  let isSame = names.length === Object.keys(old).length;
  const shared = Array.isArray(next) ? [] : {};
  for (const name of names) {
    shared[name] = share(old[name], next[name]);
    isSame &&= name in old && Object.is(shared[name], old[name]);
  }
  return isSame ? old : shared;
}
