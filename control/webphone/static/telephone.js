// The telephone: puts line, calls and sound together. What is seen of it is a page's own.

import { Call } from "./call.js";
import { MicrophoneError, openMicrophone } from "./microphone.js";
import { Peer } from "./peer.js";
import { Signalling } from "./signalling.js";
import { Sound } from "./sound.js";
import { figures } from "./stats.js";

const BLOCKED = "Press any key, or touch the page, to hear the call.";
const HUNG_UP = "You hung up.";
const EXPECTED_MS = 15_000; // How long a ring that was asked for may take to come.
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

/**
 * Events: "change" (anything below has changed), "note" (detail: a line for a log), "notice" (detail: a
 * sentence that the user must not miss, "" when it is over), "signedIn" (detail: {token, user}, also each
 * time that the line is back), "signedOut" (detail: why, in words, or "").
 */
export class Telephone extends EventTarget {
  #line;
  #sound;
  #token = null;
  #isStarting = false;
  #expected = null;

  /** {id, displayName} once signed in. */
  user = null;
  isSigningIn = false;
  hasLine = false;
  /** What rings: callId -> who. */
  rings = new Map();
  /** The Call there is, or null. */
  call = null;
  /** How the microphone is opened from now on. */
  microphone = { processed: true, deviceId: "" };

  /** `rtcUrl`: of the service's signalling; `audio`: the element that plays what is heard. */
  constructor(rtcUrl, audio) {
    super();
    this.#sound = new Sound(audio, () => this.#notice(BLOCKED));
    this.#line = new Signalling(rtcUrl);
    this.#line.addEventListener("registered", ({ detail }) => this.#registered(detail));
    this.#line.addEventListener("lost", ({ detail }) => this.#lost(detail));
    this.#line.addEventListener("refused", ({ detail }) => this.#refused(detail));
    this.#line.addEventListener("message", ({ detail }) => this.#take(detail));
    addEventListener("online", () => this.call?.networkChanged());
  }

  get token() {
    return this.#token;
  }

  get isBusy() {
    return this.#isStarting;
  }

  // ---- signing in ----------------------------------------------------------------------------------

  signIn(token) {
    this.#token = token;
    this.isSigningIn = true;
    this.#notice("");
    this.#line.open(token);
    this.#changed();
  }

  signOut(why = "") {
    this.call?.hangUp();
    this.call?.end("You signed out.");
    this.#line.close();
    this.#token = this.user = this.#expected = null;
    this.isSigningIn = this.hasLine = false;
    this.rings.clear();
    this.#changed();
    this.#tell("signedOut", why);
  }

  #registered(user) {
    this.#note(this.user === null ? `signed in as ${user.displayName}` : "the line is back");
    const isFirst = this.user === null;
    this.user = user;
    this.isSigningIn = false;
    this.hasLine = true;
    if (isFirst) this.#notice("");
    this.#changed();
    this.#tell("signedIn", { token: this.#token, user, isFirst });
    if (!isFirst) this.call?.lineBack();
  }

  #lost({ wasRegistered }) {
    this.rings.clear(); // What still rings is told again.
    this.hasLine = false;
    this.#changed();
    if (this.user === null) {
      this.#notice("The call service cannot be reached. Trying again…");
      return;
    }
    if (!wasRegistered) return;
    this.#note("the line to the service was lost");
    this.call?.lineLost();
  }

  #refused({ code, message }) {
    this.signOut(code === "badToken" ? "The service does not know this token." : `Signed out: ${message}.`);
  }

  #take(message) {
    if (this.call?.take(message)) return;
    if (message.type === "ring") {
      this.rings.set(message.callId, message.from?.displayName || "An application");
      this.#note(`${this.rings.get(message.callId)} is calling`);
      this.#changed();
      if (this.#expected !== null && performance.now() < this.#expected.untilMs) this.answer(message.callId);
    } else if (message.type === "cancelled" && this.rings.delete(message.callId)) {
      const elsewhere = message.reason === "answeredElsewhere";
      this.#note(`the call was ${elsewhere ? "answered elsewhere" : `over: ${message.reason}`}`);
      this.#changed();
    } else if (message.type === "error") this.#note(`refused: ${message.message ?? message.code}`);
  }

  // ---- calls ---------------------------------------------------------------------------------------

  callApp(appId, title = "The bot") {
    return this.#start(title, (call) => call.begin({ type: "call", appId }));
  }

  /** `meeting`: {joinUrl}, {threadId}, or {joinMeetingId, passcode}. */
  join(meeting, title = "The meeting") {
    return this.#start(title, (call) => call.begin({ type: "join", ...meeting }));
  }

  answer(callId) {
    const title = this.#expected?.title ?? this.rings.get(callId);
    this.#expected = null;
    // It goes on ringing until there is a microphone to answer with.
    return this.#start(title, (call) => {
      this.rings.delete(callId);
      this.#changed();
      return call.begin({ type: "answer", callId });
    });
  }

  decline(callId) {
    this.rings.delete(callId);
    this.#line.send({ type: "decline", callId });
    this.#changed();
  }

  /** Answer what rings next without asking: the user has asked to be rung. `null`: no more. */
  expect(title) {
    this.#expected = title === null ? null : { title, untilMs: performance.now() + EXPECTED_MS };
  }

  /** Take up a call that this user is in already, say after the page was reloaded. */
  resume({ callId, title }) {
    return this.#start(title, (call) => call.resume(callId));
  }

  mute() {
    this.call?.mute(!this.call.isMuted);
  }

  hold() {
    this.call?.hold(!this.call.isHeld);
  }

  press(key) {
    if (this.canPress) this.call.press(key);
  }

  hangUp() {
    this.call?.hangUp();
  }

  /** Use another microphone from now on, also in the call that there is. */
  async setMicrophone(microphone) {
    const before = this.microphone;
    this.microphone = { ...before, ...microphone };
    const call = this.call;
    if (call !== null) {
      const opened = await this.#opened();
      if (opened === null) this.microphone = before;
      else await this.#replace(call, opened);
    }
    this.#changed();
  }

  async #replace(call, opened) {
    if (call !== this.call) {
      for (const track of opened.getTracks()) track.stop();
      return;
    }
    await call.peer.replaceMicrophone(opened);
    this.#sound.watch(opened);
    this.#note("another microphone");
  }

  /** Play what is heard on another loudspeaker; "" is the system's default. */
  async setOutput(deviceId) {
    try {
      await this.#sound.setOutput(deviceId);
    } catch (error) {
      this.#notice(`That loudspeaker cannot be used: ${error.message || error.name}.`);
      return false;
    }
    return true;
  }

  /** Open the microphone, make a call, and have `begin` begin it. */
  async #start(title, begin) {
    if (this.#isStarting) return;
    this.#isStarting = true;
    this.#notice("");
    this.#changed();
    let call = null;
    try {
      const microphone = await this.#opened();
      if (microphone === null) return;
      if (this.user === null) {
        for (const track of microphone.getTracks()) track.stop();
        return;
      }
      this.call?.hangUp();
      this.call?.end("Another call took its place.");
      call = this.#watched(new Call(this.#line, new Peer(microphone), title));
      this.call = call;
      this.#sound.watch(microphone);
      this.#note(`new call: ${title}`);
      this.#changed();
      await begin(call);
    } catch (error) {
      call?.end(`The browser failed: ${error.message}`);
      throw error;
    } finally {
      this.#isStarting = false;
      this.#changed();
    }
  }

  /** The microphone, or null when the user was told why there is none. */
  async #opened() {
    try {
      return await openMicrophone(this.microphone);
    } catch (error) {
      if (!(error instanceof MicrophoneError)) throw error;
      this.#notice(error.message);
      this.#note(error.message);
      return null;
    }
  }

  #watched(call) {
    call.peer.addEventListener("stream", ({ detail }) => this.#sound.play(detail));
    call.addEventListener("note", ({ detail }) => this.#note(detail));
    call.addEventListener("change", () => {
      if (call !== this.call || call.state === "ended") return;
      if (call.state === "connected" && call.flows) this.#notice("");
      this.#changed();
    });
    call.addEventListener("ended", ({ detail }) => {
      this.#note(`ended: ${detail}`);
      if (call !== this.call) return;
      this.call = null;
      this.#sound.stop();
      this.#notice(detail === HUNG_UP ? "" : detail);
      this.#changed();
    });
    return call;
  }

  // ---- what is shown -------------------------------------------------------------------------------

  /** How the call is, in words, and how good that is: [words, "good" | "waiting" | "bad"]. */
  get callWords() {
    if (this.call.state === "connected" && !this.call.flows) {
      return ["Connected, but the service hears nothing from here", "waiting"];
    }
    return WORDS[this.call.state];
  }

  /** Whether keys, mute and hold would be heard now. */
  get canPress() {
    return this.call !== null && ["connected", "reconnecting"].includes(this.call.state);
  }

  /** Since when the call is connected, in seconds, or null. */
  get seconds() {
    const since = this.call?.connectedAtMs ?? null;
    return since === null ? null : (performance.now() - since) / 1000;
  }

  /** The figures of the connection (stats.js); null when the call is over meanwhile. */
  async figures() {
    const { call } = this;
    if (call === null) return null;
    const report = await call.peer.stats;
    return call === this.call ? figures(report) : null;
  }

  /** How loud it is what is heard, in dBov; -60 at least. Always the same function. */
  readHeard = () => this.#sound.heardDbov();

  /** The same of what is said: silence while the microphone is muted. */
  readSaid = () => this.#sound.saidDbov();

  get hasOutputs() {
    return this.#sound.hasOutputs;
  }

  // ---- small help ----------------------------------------------------------------------------------

  #changed() {
    this.#sound.isRinging = this.rings.size > 0;
    this.dispatchEvent(new CustomEvent("change"));
  }

  #note(words) {
    this.#tell("note", words);
  }

  #notice(words) {
    this.#tell("notice", words);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
