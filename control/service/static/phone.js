// The telephone: puts line, calls, sound and view together.

import { Call } from "./call.js";
import { MicrophoneError, openMicrophone } from "./microphone.js";
import { Peer } from "./peer.js";
import { Signalling } from "./signalling.js";
import { Sound } from "./sound.js";
import { figures } from "./stats.js";
import { keepCall, keepToken, keptCall, takeToken } from "./token.js";
import { View } from "./view.js";

const STATS_MS = 1000;
const WORDS = {
  starting: ["Starting…", "waiting"],
  calling: ["Calling…", "waiting"],
  joining: ["Joining…", "waiting"],
  answering: ["Answering…", "waiting"],
  connecting: ["Connecting…", "waiting"],
  lobby: ["In the lobby: wait to be let in", "waiting"],
  connected: ["Connected", "good"],
  reconnecting: ["Connection lost: looking for a new way…", "bad"],
};
const MEETINGS_PATH = "/mixminus/v1/meetings";

const view = new View({ signIn, signOut, call: callApp, join, answer, decline, mute, hold, press, hangUp });
const sound = new Sound(view.audio, () => view.showNotice("Press any key, or touch the page, to hear the call."));
const line = new Signalling(`wss://${location.host}/rtc`);
const rings = new Map();
let token = null;
let user = null;
let call = null;
let isStarting = false;
let meetings = [];

// ---- signing in --------------------------------------------------------------------------------------

function signIn(given) {
  token = given;
  view.showNotice();
  view.setBusy(true);
  line.open(token);
}

function signOut(why = "") {
  call?.hangUp();
  call?.end("You signed out.");
  line.close();
  keepToken(null);
  token = user = null;
  rings.clear();
  showRings();
  view.showUser(null);
  view.showNotice(why);
}

line.addEventListener("registered", ({ detail }) => {
  keepToken(token);
  view.showLine("ready", "good");
  view.log(user === null ? `signed in as ${detail.displayName}` : "the line is back");
  const isFirst = user === null;
  user = detail;
  if (isFirst) {
    view.showUser(user);
    listMeetings();
    resumeKept();
  } else call?.lineBack();
});

line.addEventListener("lost", ({ detail }) => {
  rings.clear(); // What still rings is told again.
  showRings();
  if (user === null) {
    view.showNotice("The call service cannot be reached. Trying again…");
    return;
  }
  view.showLine("no line", "bad");
  if (!detail.wasRegistered) return;
  view.log("the line to the service was lost");
  call?.lineLost();
});

line.addEventListener("refused", ({ detail }) => {
  const isToken = detail.code === "badToken";
  signOut(isToken ? "The service does not know this token." : `Signed out: ${detail.message}.`);
});

line.addEventListener("message", ({ detail: message }) => {
  if (call?.take(message)) return;
  if (message.type === "ring") {
    rings.set(message.callId, message.from?.displayName || "An application");
    view.log(`${rings.get(message.callId)} is calling`);
    showRings();
  } else if (message.type === "cancelled" && rings.delete(message.callId)) {
    view.log(`the call was ${{ answeredElsewhere: "answered elsewhere" }[message.reason] ?? `over: ${message.reason}`}`);
    showRings();
  } else if (message.type === "error") view.log(`refused: ${message.message ?? message.code}`);
});

async function listMeetings() {
  const asked = token;
  const reply = await fetch(MEETINGS_PATH, { headers: { Authorization: `Bearer ${asked}` } });
  if (!reply.ok || token !== asked) return;
  meetings = (await reply.json()).value;
  view.showMeetings(meetings);
}

// ---- calls -------------------------------------------------------------------------------------------

function callApp(appId) {
  start("The bot", (made) => made.begin({ type: "call", appId }));
}

function join(joinUrl) {
  const title = meetings.find((meeting) => meeting.joinUrl === joinUrl)?.subject || "The meeting";
  start(title, (made) => made.begin({ type: "join", joinUrl }));
}

function answer(callId) {
  // It goes on ringing until there is a microphone to answer with.
  start(rings.get(callId), (made) => {
    rings.delete(callId);
    showRings();
    return made.begin({ type: "answer", callId });
  });
}

function decline(callId) {
  rings.delete(callId);
  showRings();
  line.send({ type: "decline", callId });
}

function resumeKept() {
  const kept = keptCall();
  // A tab that was duplicated has the storage of the first, whose call goes on there.
  const isReload = performance.getEntriesByType("navigation")[0]?.type === "reload";
  if (kept !== null && isReload) start(kept.title, (made) => made.resume(kept.callId));
}

/** Open the microphone, make a call, and have `begin` begin it. */
async function start(title, begin) {
  if (isStarting) return;
  isStarting = true;
  view.showNotice();
  try {
    const microphone = await openMicrophone({ processed: view.isProcessed });
    if (user === null) {
      for (const track of microphone.getTracks()) track.stop();
      return;
    }
    call?.hangUp();
    call?.end("Another call took its place.");
    call = watched(new Call(line, new Peer(microphone), title));
    view.log(`new call: ${title}`);
    show();
    await begin(call);
  } catch (error) {
    if (!(error instanceof MicrophoneError)) {
      call?.end(`The browser failed: ${error.message}`);
      throw error;
    }
    view.showNotice(error.message);
    view.log(error.message);
  } finally {
    isStarting = false;
  }
}

function watched(made) {
  made.peer.addEventListener("stream", ({ detail }) => sound.play(detail));
  made.addEventListener("note", ({ detail }) => view.log(detail));
  made.addEventListener("change", () => {
    if (made !== call || made.state === "ended") return;
    if (["connected", "lobby"].includes(made.state)) keepCall({ callId: made.callId, title: made.title });
    if (made.state === "connected" && made.flows) view.showNotice();
    show();
  });
  made.addEventListener("ended", ({ detail }) => {
    view.log(`ended: ${detail}`);
    if (made !== call) return;
    call = null;
    keepCall(null);
    sound.stop();
    view.showNotice(detail === "You hung up." ? "" : detail);
    show();
  });
  return made;
}

function mute() {
  call?.mute(!call.isMuted);
}

function hold() {
  call?.hold(!call.isHeld);
}

function press(key) {
  call?.press(key);
}

function hangUp() {
  call?.hangUp();
}

// ---- what is shown -----------------------------------------------------------------------------------

function show() {
  showRings();
  if (call === null) {
    view.showCall(null);
    return;
  }
  const [words, is] = WORDS[call.state];
  const deaf = call.state === "connected" && !call.flows;
  view.showCall({
    title: call.title,
    words: deaf ? "Connected, but the service hears nothing from here" : words,
    is: deaf ? "waiting" : is,
    canPress: ["connected", "reconnecting"].includes(call.state),
    isMuted: call.isMuted,
    isHeld: call.isHeld,
    mutedWords: call.mutedBy === "self" ? "Unmute" : "Unmute (muted by an application)",
    heldWords: call.heldBy === "self" ? "Resume" : "Resume (held by an application)",
  });
}

function showRings() {
  const shown = [...rings].map(([callId, from]) => ({ callId, from }));
  view.showRings(shown, call !== null);
  sound.isRinging = shown.length > 0;
}

setInterval(async () => {
  const shown = call;
  if (shown === null) return;
  const since = shown.connectedAtMs;
  view.showTime(since === null ? null : (performance.now() - since) / 1000);
  const report = await shown.peer.stats;
  if (shown === call) view.showFigures(figures(report));
}, STATS_MS);

(function showLevel() {
  if (call !== null) view.showLevel(sound.levelDbov());
  requestAnimationFrame(showLevel);
})();

// ---- the beginning -----------------------------------------------------------------------------------

addEventListener("online", () => call?.networkChanged());
addEventListener("hashchange", begin);
begin();

function begin() {
  const found = takeToken();
  if (found === null && user === null) view.showUser(null);
  else if (found !== null && found !== token) {
    if (user !== null) signOut();
    view.showUser(null);
    signIn(found);
  }
}
