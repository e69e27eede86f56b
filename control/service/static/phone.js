// The phone page: a telephone, and what is seen of it.

import { Telephone } from "./telephone.js";
import { keepCall, keepToken, keptCall, takeToken } from "./token.js";
import { View } from "./view.js";

const FIGURES_MS = 1000;
const MEETINGS_PATH = "/mixminus/v1/meetings";

const view = new View({
  signIn: (given) => phone.signIn(given),
  signOut: () => phone.signOut(),
  call: (appId) => dial(() => phone.callApp(appId)),
  join,
  answer: (callId) => dial(() => phone.answer(callId)),
  decline: (callId) => phone.decline(callId),
  mute: () => phone.mute(),
  hold: () => phone.hold(),
  press: (key) => phone.press(key),
  hangUp: () => phone.hangUp(),
});
const phone = new Telephone(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/rtc`, view.audio);
let meetings = [];
let shownUser = null;
let shownCall = null;

phone.addEventListener("note", ({ detail }) => view.log(detail));
phone.addEventListener("notice", ({ detail }) => view.showNotice(detail));
phone.addEventListener("change", show);

// ---- signing in --------------------------------------------------------------------------------------

phone.addEventListener("signedIn", ({ detail: { token, isFirst } }) => {
  keepToken(token);
  if (!isFirst) return;
  listMeetings();
  resumeKept();
});

phone.addEventListener("signedOut", ({ detail: why }) => {
  keepToken(null);
  view.showUser(null);
  view.showNotice(why);
});

async function listMeetings() {
  const asked = phone.token;
  const reply = await fetch(MEETINGS_PATH, { headers: { Authorization: `Bearer ${asked}` } });
  if (!reply.ok || phone.token !== asked) return;
  meetings = (await reply.json()).value;
  view.showMeetings(meetings);
}

// ---- calls -------------------------------------------------------------------------------------------

function join(joinUrl) {
  const title = meetings.find((meeting) => meeting.joinUrl === joinUrl)?.subject || undefined;
  dial(() => phone.join({ joinUrl }, title));
}

function resumeKept() {
  const kept = keptCall();
  // A tab that was duplicated has the storage of the first, whose call goes on there.
  const isReload = performance.getEntriesByType("navigation")[0]?.type === "reload";
  if (kept !== null && isReload) dial(() => phone.resume(kept));
}

function dial(begin) {
  phone.microphone = { ...phone.microphone, processed: view.isProcessed };
  begin();
}

// ---- what is shown -----------------------------------------------------------------------------------

function show() {
  const { call, user } = phone;
  if (user !== shownUser) {
    shownUser = user;
    if (user !== null) view.showUser(user);
  }
  if (user === null) view.setBusy(phone.isSigningIn);
  view.showLine(phone.hasLine ? "ready" : "no line", phone.hasLine ? "good" : "bad");
  view.showRings([...phone.rings].map(([callId, from]) => ({ callId, from })), call !== null);
  if (call === null) {
    view.showCall(null);
    // Only when one is over: a page that was reloaded has yet to take its call up again.
    if (shownCall !== null) keepCall(null);
    shownCall = null;
    return;
  }
  shownCall = call;
  if (["connected", "lobby"].includes(call.state)) keepCall({ callId: call.callId, title: call.title });
  const [words, is] = phone.callWords;
  view.showCall({
    title: call.title,
    words,
    is,
    canPress: phone.canPress,
    isMuted: call.isMuted,
    isHeld: call.isHeld,
    mutedWords: call.mutedBy === "self" ? "Unmute" : "Unmute (muted by an application)",
    heldWords: call.heldBy === "self" ? "Resume" : "Resume (held by an application)",
  });
}

setInterval(async () => {
  if (phone.call === null) return;
  view.showTime(phone.seconds);
  const figures = await phone.figures();
  if (figures !== null) view.showFigures(figures);
}, FIGURES_MS);

(function showLevel() {
  if (phone.call !== null) view.showLevel(phone.readHeard());
  requestAnimationFrame(showLevel);
})();

// ---- the beginning -----------------------------------------------------------------------------------

addEventListener("hashchange", begin);
begin();

function begin() {
  const found = takeToken();
  if (found === null && phone.user === null) view.showUser(null);
  else if (found !== null && found !== phone.token) {
    if (phone.user !== null) phone.signOut();
    view.showUser(null);
    phone.signIn(found);
  }
}
