// One call of this device, from the first message to the last. docs/rtc-signalling.md is the definition.

const DISCONNECTED_MS = 1500; // A moment's loss mends itself; the browser says "failed" only after 15 s.
const REPLY_MS = 12_000; // The service gives a new connection 10 s.
const CONNECT_MS = 10_000;
const FAREWELL_MS = 2000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 4000;
const RESTARTS = 2; // Then a new connection is tried instead of another ICE restart.
const OVER = new Set(["unknownCall", "notInCall"]); // Errors after which there is no call.

/**
 * Events: "change" (state, muted, held ... have changed), "note" (detail: a line for the log),
 * "ended" (detail: why, in words).
 * `state`: starting, calling, joining, answering, connecting, lobby, connected, reconnecting, ended.
 */
export class Call extends EventTarget {
  #line;
  #disconnected = null;
  #isAnswered = false;
  #isInLobby = false;
  #isLeaving = false;
  #recovery = null;
  #isRecoveryStale = false;
  #reply = null;
  #look = null;

  state = "starting";
  callId = null;
  isMuted = false;
  isHeld = false;
  mutedBy = "self";
  heldBy = "self";
  flows = true;
  connectedAtMs = null;
  reconnections = 0;

  /** `line`: the Signalling; `peer`: the Peer, closed with the call; `title`: who is at the other end. */
  constructor(line, peer, title) {
    super();
    this.#line = line;
    this.peer = peer;
    this.title = title;
    peer.addEventListener("state", () => this.#onPeerState());
  }

  // ---- its beginning -------------------------------------------------------------------------------

  /** Call, join or answer: `request` is the message, without its offer. */
  async begin(request) {
    this.callId = request.callId ?? null;
    this.#become({ call: "calling", join: "joining", answer: "answering" }[request.type]);
    const sdp = await this.peer.offer();
    if (this.state === "ended") return;
    if (!this.#line.send({ ...request, sdp })) this.end("The line to the call service is down.");
  }

  /** Take up a call that this user is in already, say after the page was reloaded. */
  resume(callId) {
    this.callId = callId;
    this.#isAnswered = true;
    this.#recover("The page was reloaded.");
  }

  // ---- what the user does --------------------------------------------------------------------------

  mute(muted) {
    this.isMuted = muted;
    this.mutedBy = "self";
    this.#ask(muted ? "mute" : "unmute");
  }

  hold(held) {
    this.isHeld = held;
    this.heldBy = "self";
    this.#ask(held ? "hold" : "resume");
  }

  press(key) {
    if (!this.#isAnswered || this.state === "ended") return;
    if (this.peer.press(key)) this.#note(`pressed ${key} (telephone event)`);
    else if (this.#send({ type: "tone", callId: this.callId, tone: key })) this.#note(`pressed ${key} (signalled)`);
  }

  hangUp() {
    if (this.state === "ended" || this.#isLeaving) return;
    this.#isLeaving = true;
    this.peer.isSilent = true;
    if (this.callId !== null && !this.#send({ type: "hangup", callId: this.callId })) {
      this.end("You hung up while the line was down: the service ends the call in a moment.");
      return;
    }
    setTimeout(() => this.end("You hung up."), FAREWELL_MS);
  }

  // ---- what the service says -----------------------------------------------------------------------

  /** Take in one message; false when it is none of this call's. */
  take(message) {
    if (this.state === "ended") return false;
    const isFirst = this.callId === null && ["calling", "joined"].includes(message.type);
    const isRefusal = this.callId === null && message.type === "error" && ["call", "join"].includes(message.of);
    if (!isFirst && !isRefusal && (this.callId === null || message.callId !== this.callId)) return false;
    this.#takeOwn(message);
    return true;
  }

  #takeOwn(message) {
    switch (message.type) {
      case "calling":
      case "joined":
        this.callId = message.callId;
        this.#isInLobby = message.inLobby === true;
        if (this.#isLeaving) this.#send({ type: "hangup", callId: this.callId });
        break;
      case "answered":
        this.#answered(message.sdp);
        break;
      case "reanswered":
        this.#reply?.resolve(message.sdp);
        break;
      case "admitted":
        this.#isInLobby = false;
        this.#note("let in from the lobby");
        this.#settle();
        break;
      case "muted":
        [this.isMuted, this.mutedBy] = [message.muted, message.by];
        this.#note(`${message.muted ? "muted" : "unmuted"}${by(message.by)}`);
        break;
      case "held":
        [this.isHeld, this.heldBy] = [message.held, message.by];
        this.#note(`${message.held ? "on hold" : "off hold"}${by(message.by)}`);
        break;
      case "media":
        this.flows = message.flows;
        this.#note(message.flows ? "the service hears this device again" : "the service hears nothing from this device");
        break;
      case "partyMedia":
        this.#note(message.flows ? "the other party is heard again" : "nothing comes from the other party any more");
        break;
      case "tone":
        this.#note(`another party pressed ${message.tone}`);
        break;
      case "moved":
        this.#note("moved to another conversation");
        break;
      case "ended":
        this.end(this.#isLeaving ? "You hung up." : `${message.message} (${message.code}/${message.subcode})`);
        return;
      case "cancelled":
        this.end(`Cancelled: ${message.reason}.`);
        return;
      case "error":
        this.#refused(message);
        return;
    }
    this.#silence();
    this.#changed();
  }

  /** The line is lost: what waits for a word of the service waits in vain. */
  lineLost() {
    this.#reply?.reject(new Error("the line was lost"));
    if (!this.#isAnswered) this.end("The line was lost before the call stood.");
  }

  /** The line is back: the service does not know yet that this call belongs to it. */
  lineBack() {
    if (this.#isAnswered && this.state !== "ended") this.#recover("The line was lost and is back.");
  }

  /** Look for a new way to the service: the network has changed. */
  networkChanged() {
    if (this.#isAnswered && this.state !== "ended" && this.#line.isRegistered) this.#recover("The network changed.");
  }

  /** It is over, for whatever reason. Again is no error. */
  end(why) {
    if (this.state === "ended") return;
    clearTimeout(this.#disconnected);
    this.#reply?.reject(new Error("the call is over"));
    this.#become("ended");
    this.peer.close();
    this.dispatchEvent(new CustomEvent("ended", { detail: why }));
  }

  // ---- media ---------------------------------------------------------------------------------------

  async #answered(sdp) {
    if (this.#isAnswered) return;
    this.#isAnswered = true;
    this.#become("connecting");
    try {
      await this.peer.accept(sdp);
    } catch (error) {
      this.#fail(`The browser does not take the service’s answer: ${error.message}`);
    }
  }

  #onPeerState() {
    clearTimeout(this.#disconnected);
    this.#look?.();
    const state = this.peer.state;
    this.#note(`media ${state}`);
    if (!this.#isAnswered || this.state === "ended") return;
    if (state === "connected") this.#settle();
    else if (state === "failed") this.#recover("The connection failed.");
    else if (state === "disconnected") {
      this.#disconnected = setTimeout(() => this.#recover("The connection was lost."), DISCONNECTED_MS);
    }
  }

  /** Be connected, or in the lobby, if the media are. */
  #settle() {
    if (this.peer.state !== "connected" || this.#recovery !== null) return;
    this.connectedAtMs ??= performance.now();
    this.#become(this.#isInLobby ? "lobby" : "connected");
  }

  #recover(why) {
    if (this.#recovery !== null) {
      this.#isRecoveryStale = true;
      return;
    }
    this.#note(`${why} Looking for a new way`);
    this.#become("reconnecting");
    this.#recovery = this.#reoffer().finally(() => {
      this.#recovery = null;
      this.#settle();
    });
  }

  async #reoffer() {
    let pauseMs = FIRST_PAUSE_MS;
    for (let attempt = 1; this.state !== "ended"; attempt++) {
      await this.#registered();
      if (this.state === "ended") return;
      this.#isRecoveryStale = false;
      try {
        if (attempt > RESTARTS) this.peer.renew();
        await this.#exchange(await this.peer.offer());
        if (!this.#isRecoveryStale) {
          this.reconnections += 1;
          this.#note("reconnected");
          return;
        }
      } catch (error) {
        if (this.state === "ended") return;
        this.#note(`not reconnected: ${error.message}`);
        await pause(pauseMs);
        pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
      }
    }
  }

  async #exchange(sdp) {
    const answer = await within(REPLY_MS, "the service did not answer", (resolve, reject) => {
      this.#reply = { resolve, reject };
      if (!this.#send({ type: "reoffer", callId: this.callId, sdp })) reject(new Error("the line is down"));
    }).finally(() => (this.#reply = null));
    await this.peer.accept(answer);
    await this.peer.stats; // By then the state is no longer that of the connection before.
    await within(CONNECT_MS, "no connection came about", (resolve, reject) => {
      this.#reply = { resolve: () => {}, reject }; // An error of the service ends the wait.
      this.#look = () => {
        if (this.peer.state === "connected") resolve();
        else if (this.peer.state === "failed") reject(new Error("the connection failed"));
      };
      this.#look();
    }).finally(() => (this.#reply = this.#look = null));
  }

  /** Wait for the line. */
  #registered() {
    return new Promise((resolve) => {
      const look = () => {
        if (this.#line.isRegistered || this.state === "ended") {
          this.#line.removeEventListener("registered", look);
          this.removeEventListener("ended", look);
          resolve();
        }
      };
      this.#line.addEventListener("registered", look);
      this.addEventListener("ended", look);
      look();
    });
  }

  // ---- small help ----------------------------------------------------------------------------------

  #refused(message) {
    const why = message.message ?? message.code;
    if (this.#isLeaving) this.end("You hung up.");
    else if (OVER.has(message.code)) this.end(`The service has no such call any more: ${why}.`);
    else if (!this.#isAnswered) this.#fail(`The service refused: ${why}`);
    else if (this.#reply !== null) this.#reply.reject(new Error(why));
    else this.#note(`refused: ${why}`);
  }

  #fail(why) {
    if (this.callId !== null) this.#send({ type: "hangup", callId: this.callId });
    this.end(why);
  }

  #ask(type) {
    this.#silence();
    if (!this.#send({ type, callId: this.callId })) this.#note(`the line is down: ${type} is not told`);
    this.#changed();
  }

  /** Fall silent here already: the service makes sure of it. */
  #silence() {
    this.peer.isSilent = this.isMuted || this.isHeld || this.#isLeaving;
  }

  #send(message) {
    return this.#line.send(message);
  }

  #become(state) {
    if (this.state === "ended") return;
    this.state = state;
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new CustomEvent("change"));
  }

  #note(text) {
    this.dispatchEvent(new CustomEvent("note", { detail: text }));
  }
}

const by = (who) => (who === "self" ? "" : " by an application");

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A promise that fails with `why` unless `start(resolve, reject)` settles it in time. */
function within(ms, why, start) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(why)), ms);
    const done = (settle) => (value) => {
      clearTimeout(timer);
      settle(value);
    };
    start(done(resolve), done(reject));
  });
}
