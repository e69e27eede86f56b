// The live line: one WebSocket that brings calls, levels, the engine and the journal, and comes back when lost.

import { useEffect, useLayoutEffect } from "./preact.js";
import { get } from "./api.js";
import { takeLevels } from "./meters.js";
import { currentToken, signOutBecause } from "./session.js";
import {
  clear, store, takeCalls, takeDetail, takeEngine, takeEvents, takeHistory, update, useStore,
} from "./store.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;
const REFUSED = 4401;
const NOT_OURS = 4403;
const TOO_MANY_TRIES = 4429;
const TOO_MANY_WATCHERS = 4503;
const WAITING_LONG = new Set([TOO_MANY_TRIES, TOO_MANY_WATCHERS]);

let socket = null;
let waitMs = FIRST_WAIT_MS;
let timer = null;
let isWanted = false;
const meterWishes = new Map(); // A token each: an array of ids, or "all".
const detailWishes = []; // Ids, the newest last: that one is asked for.
let isAsking = false;

export function startLive() {
  isWanted = true;
  open();
}

export function stopLive() {
  isWanted = false;
  clearTimeout(timer);
  socket?.close(1000);
  socket = null;
  clear();
}

/** Ask for the levels of those calls' legs (`"all"`, or ids) while this is mounted. */
export function useMeters(ids) {
  const wish = ids === "all" ? "all" : ids.join("\n");
  useEffect(() => {
    const mine = {};
    meterWishes.set(mine, wish === "all" ? "all" : wish.split("\n").filter(Boolean));
    ask();
    return () => {
      meterWishes.delete(mine);
      ask();
    };
  }, [wish]);
}

/** All there is of a call, always as of now: {call, row, isLoading, isGone}. */
export function useCall(id) {
  useLayoutEffect(() => {
    detailWishes.push(id);
    ask();
    return () => {
      detailWishes.splice(detailWishes.lastIndexOf(id), 1);
      ask();
    };
  }, [id]);
  const detail = useStore((state) => state.detail);
  const row = useStore((state) => state.calls.get(id) ?? null);
  const call = detail.id === id ? detail.call : undefined;
  return { call: call ?? null, row: call?.row ?? row, isLoading: call === undefined, isGone: call === null };
}

function open() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const mine = new WebSocket(`${scheme}://${location.host}/console/api/live`);
  socket = mine;
  mine.onopen = () => {
    const token = currentToken();
    mine.send(JSON.stringify(token === null ? { type: "hello" } : { type: "hello", token }));
  };
  mine.onmessage = ({ data }) => {
    if (mine === socket) take(JSON.parse(data));
  };
  mine.onclose = ({ code, reason }) => {
    if (mine === socket) closed(code, reason);
  };
}

function closed(code, reason) {
  socket = null;
  takeLevels({});
  if (!isWanted) return;
  if (code === REFUSED || code === NOT_OURS) {
    isWanted = false;
    signOutBecause(reason || "You are no longer signed in.");
    return;
  }
  update({ line: "lost" });
  if (WAITING_LONG.has(code)) waitMs = LONGEST_WAIT_MS;
  // Not all pages at the same moment, when a server comes back.
  timer = setTimeout(open, waitMs * (0.75 + Math.random() / 2));
  waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS);
}

/** Try at once: somebody looks at the page again. */
function hurry() {
  if (!isWanted || socket !== null) return;
  clearTimeout(timer);
  open();
}

const TAKE = {
  ready(message) {
    waitMs = FIRST_WAIT_MS;
    // Another server's numbers: what was known of the earlier one means nothing now.
    if (message.epoch !== store.state.epoch) update({ epoch: message.epoch, events: [], engineHistory: [] });
    ask();
  },
  snapshot(message) {
    const newest = store.state.events.at(-1)?.seq;
    takeCalls(message.calls, [], true);
    takeHistory(message.history, message.engine);
    takeEvents(message.events);
    update({ line: "open" });
    const first = message.events[0]?.seq;
    if (newest !== undefined && first !== undefined && first > newest + 1) fetchEvents(newest);
  },
  calls(message) {
    takeCalls(message.changed, message.gone);
  },
  meters(message) {
    takeLevels(message.legs);
  },
  detail(message) {
    if (message.id === detailWishes.at(-1)) takeDetail(message.id, message.call);
  },
  engine(message) {
    takeEngine(message.engine);
  },
  events(message) {
    const newest = store.state.events.at(-1)?.seq;
    takeEvents(message.events);
    if (message.missed > 0 && newest !== undefined) fetchEvents(newest);
  },
};

function take(message) {
  // A server newer than the page may say more than the page knows.
  TAKE[message.type]?.(message);
}

/** Fetch what the line left out: those after *since*, or the last ones. */
export async function fetchEvents(since = null, limit = 1000) {
  const { epoch } = store.state;
  const from = since === null ? "" : `&since=${since}`;
  const { events } = await get(`events?limit=${limit}${from}`);
  if (epoch === store.state.epoch) takeEvents(events);
}

/** Tell the server what is looked at, once for all changes of a moment. Nobody looks at a hidden page. */
function ask() {
  if (isAsking) return;
  isAsking = true;
  queueMicrotask(() => {
    isAsking = false;
    if (socket?.readyState !== WebSocket.OPEN || store.state.epoch === null) return;
    socket.send(JSON.stringify({ type: "watch", calls: wanted(), detail: detailWishes.at(-1) ?? null }));
  });
}

function wanted() {
  if (document.hidden) return [];
  const wishes = [...meterWishes.values()];
  return wishes.includes("all") ? "all" : [...new Set(wishes.flat())];
}

document.addEventListener("visibilitychange", () => {
  ask();
  if (!document.hidden) hurry();
});
addEventListener("online", hurry);
