// This page's own telephone: as which user it takes part, and what of it is shown.

import { useEffect, useState } from "../preact.js";
import { act, ApiError, get, path, post } from "../api.js";
import { toast } from "../parts/toast.js";
import { Telephone } from "../webphone/telephone.js";
import { devices } from "../webphone/microphone.js";

const USER = "mixminus-console-user"; // Its id; the token is fetched anew and stays in memory.
const MICROPHONE = "mixminus-console-microphone";
const CALL = "mixminus-console-call"; // {callId, title}: a reloaded page takes it up again.
const FIGURES_MS = 1000;
const LOG_LINES = 60;
const NO_DEVICES = { inputs: [], outputs: [] };

const listeners = new Set();
let telephone = null;
let figuresTimer = null;

/** What is shown. Replaced, never changed. */
let state = {
  phone: null, // The Telephone, once there was a reason for one.
  userId: null, // As whom this page takes part, or wants to.
  notice: "",
  log: [],
  figures: null,
  seconds: null,
  devices: NO_DEVICES,
  output: "",
  turn: 0,
};

/** The state above, drawn again when it changes. */
export function usePhone() {
  const [, redraw] = useState(null);
  useEffect(() => {
    const changed = () => redraw({});
    listeners.add(changed);
    return () => listeners.delete(changed);
  }, []);
  return state;
}

function update(changes) {
  state = { ...state, ...changes, turn: state.turn + 1 };
  for (const listener of [...listeners]) listener();
}

// ---- as whom -----------------------------------------------------------------------------------------

/** Take part as that user from now on, and be rung as them. Returns whether it came about. */
export async function takePartAs(userId) {
  const phone = opened();
  if (phone.user?.id === userId) return true;
  if (phone.token !== null) phone.signOut();
  update({ userId });
  let session;
  try {
    session = await post(path("users", userId, "session"));
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    update({ userId: null, notice: error.message });
    return false;
  }
  if (state.userId !== userId) return false;
  const isThere = new Promise((resolve) => {
    const settle = (event) => {
      phone.removeEventListener("signedIn", settle);
      phone.removeEventListener("signedOut", settle);
      resolve(event.type === "signedIn");
    };
    phone.addEventListener("signedIn", settle);
    phone.addEventListener("signedOut", settle);
  });
  phone.signIn(session.token);
  return isThere;
}

/** Take part no more. */
export function stopTakingPart() {
  telephone?.signOut();
  update({ userId: null });
  keep(USER, null);
}

/** Be whom this tab was before it was reloaded, if anybody. */
export function takePartAgain() {
  const userId = kept(USER);
  if (userId !== null && telephone === null) takePartAs(userId);
}

/** Be somebody: whom the user chose, or else the first of the directory that nobody is now. */
async function beSomebody() {
  if (telephone?.user) return true;
  let { userId } = state;
  if (userId === null) {
    try {
      const { users } = await get("users");
      userId = (users.find((user) => !user.isOnline && !user.isBusy) ?? users[0])?.id ?? null;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      update({ notice: error.message });
      return false;
    }
  }
  if (userId !== null) return takePartAs(userId);
  update({ notice: "The directory has no user to take part as." });
  return false;
}

// ---- calls -------------------------------------------------------------------------------------------

/** Call an application. */
export async function callBot(appId, title) {
  if (await beSomebody()) await telephone.callApp(appId, title);
}

/** Join a meeting: {threadId} or {joinUrl}, as the lists have them. */
export async function joinMeeting(meeting, title) {
  if (await beSomebody()) await telephone.join(meeting, title);
}

/** Be in a call that goes on: a meeting is joined, another call rings us, which is answered at once. */
export async function joinCall(call) {
  const { id, title } = call.row;
  if (call.join !== null) {
    const { threadId, joinUrl } = call.join;
    await joinMeeting(threadId ? { threadId } : { joinUrl }, title);
    return;
  }
  if (!(await beSomebody())) return;
  telephone.expect(title);
  const isAsked = await act(post(path("calls", id, "people"), { user: telephone.user.id }));
  if (!isAsked) telephone.expect(null);
}

// ---- the devices -------------------------------------------------------------------------------------

export async function listDevices() {
  update({ devices: await devices() });
}

export async function setMicrophone(choice) {
  const phone = opened();
  await phone.setMicrophone(choice);
  keep(MICROPHONE, JSON.stringify(phone.microphone));
  update({});
}

export async function setOutput(output) {
  if (await opened().setOutput(output)) update({ output });
}

// ---- the telephone itself ----------------------------------------------------------------------------

/** Make the telephone when it is first needed: before, the page opens no line and no audio. */
function opened() {
  if (telephone !== null) return telephone;
  const audio = Object.assign(document.createElement("audio"), { id: "audio", autoplay: true });
  document.body.append(audio);
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  telephone = new Telephone(`${scheme}://${location.host}/rtc`, audio);
  const microphone = kept(MICROPHONE);
  if (microphone !== null) telephone.microphone = { ...telephone.microphone, ...JSON.parse(microphone) };
  telephone.addEventListener("change", changed);
  telephone.addEventListener("note", ({ detail }) => note(detail));
  telephone.addEventListener("notice", ({ detail: notice }) => update({ notice }));
  telephone.addEventListener("signedIn", ({ detail: { user, isFirst } }) => {
    keep(USER, user.id);
    update({ userId: user.id });
    if (isFirst) resumeCall();
  });
  telephone.addEventListener("signedOut", ({ detail: why }) => {
    if (why !== "") toast(why, "bad");
    update({ userId: null });
  });
  navigator.mediaDevices?.addEventListener("devicechange", listDevices);
  update({ phone: telephone });
  return telephone;
}

/** Take up the call that this tab was in before it was reloaded; the service waits for some seconds. */
function resumeCall() {
  const call = kept(CALL);
  keep(CALL, null);
  // A tab that was duplicated has the storage of the first, whose call goes on there.
  const isReload = performance.getEntriesByType("navigation")[0]?.type === "reload";
  if (call !== null && isReload) telephone.resume(JSON.parse(call));
}

let shownCall = null;

function changed() {
  const { call } = telephone;
  if (call !== null && ["connected", "lobby"].includes(call.state)) {
    keep(CALL, JSON.stringify({ callId: call.callId, title: call.title }));
  }
  if (call !== shownCall) {
    if (call === null) keep(CALL, null);
    shownCall = call;
    clearInterval(figuresTimer);
    update({ figures: null, seconds: null });
    if (call !== null) {
      listDevices(); // Now the browser tells their names.
      figuresTimer = setInterval(measure, FIGURES_MS);
    }
  }
  update({ seconds: telephone.seconds });
}

async function measure() {
  const figures = await telephone.figures();
  update({ figures, seconds: telephone.seconds });
}

function note(words) {
  update({ log: [...state.log, { at: new Date().toISOString(), words }].slice(-LOG_LINES) });
}

export function clearNotice() {
  update({ notice: "" });
}

// ---- what a tab remembers ----------------------------------------------------------------------------

function kept(name) {
  try {
    return sessionStorage.getItem(name);
  } catch (error) {
    if (error.name === "SecurityError") return null; // Storage is switched off: choose each time.
    throw error;
  }
}

function keep(name, value) {
  try {
    if (value === null) sessionStorage.removeItem(name);
    else sessionStorage.setItem(name, value);
  } catch (error) {
    if (error.name !== "SecurityError" && error.name !== "QuotaExceededError") throw error;
  }
}
