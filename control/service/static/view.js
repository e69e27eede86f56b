// What the page shows. It knows its elements and nothing of calls.

const KEYS = "123456789*0#";
const LETTERS = { "*": "star", "#": "hash" };
const LOG_LINES = 200;
const PRESSED_MS = 150;
const FLOOR_DBOV = -60;
const METER_WORDS_MS = 1000; // How often the level is told to a screen reader that asks.

const byId = (id) => document.getElementById(id);

export class View {
  #levelToldMs = 0;

  /** `on`: signIn(token), signOut(), call(appId), join(url), answer(id), decline(id), mute(), hold(), press(key), hangUp(). */
  constructor(on) {
    this.on = on;
    this.audio = byId("audio");
    this.#submit("sign-in-form", () => on.signIn(byId("token").value.trim()));
    this.#submit("call-form", () => on.call(byId("app-id").value.trim()));
    this.#submit("join-form", () => on.join(byId("join-url").value.trim()));
    byId("sign-out").onclick = () => on.signOut();
    byId("mute").onclick = () => on.mute();
    byId("hold").onclick = () => on.hold();
    byId("hang-up").onclick = () => on.hangUp();
    byId("keypad").append(...[...KEYS].map((key) => this.#key(key)));
    addEventListener("keydown", (event) => this.#typed(event));
  }

  get isProcessed() {
    return byId("processed").checked;
  }

  // ---- who is signed in ----------------------------------------------------------------------------

  /** `user`: {displayName}, or null when nobody is signed in. */
  showUser(user) {
    byId("account").hidden = byId("dial").hidden = byId("history").hidden = user === null;
    byId("sign-in").hidden = user !== null;
    byId("user-name").textContent = user?.displayName ?? "";
    this.setBusy(false);
    if (user === null) byId("token").focus();
    else byId("token").value = "";
  }

  /** Wait for the service's word on a token. */
  setBusy(busy) {
    byId("sign-in-button").disabled = busy;
    byId("sign-in-button").textContent = busy ? "Signing in…" : "Sign in";
  }

  showLine(words, is) {
    byId("line").textContent = words;
    byId("line-dot").dataset.is = is;
  }

  showMeetings(meetings) {
    byId("meetings").replaceChildren(
      ...meetings.map(({ joinUrl, subject }) => new Option(subject, joinUrl)),
    );
  }

  /** Show a sentence that the user must not miss; without one, none. */
  showNotice(words = "") {
    byId("notice").textContent = words;
    byId("notice").hidden = words === "";
  }

  // ---- who rings -----------------------------------------------------------------------------------

  /** `rings`: [{callId, from}]; `inCall`: accepting one ends the present call. */
  showRings(rings, inCall) {
    const box = byId("rings");
    const shown = new Map([...box.children].map((element) => [element.dataset.callId, element]));
    for (const [callId, element] of shown) {
      if (!rings.some((ring) => ring.callId === callId)) element.remove();
    }
    for (const { callId, from } of rings) {
      if (!shown.has(callId)) box.append(this.#ring(callId, from));
    }
    for (const button of box.querySelectorAll("button.primary")) {
      button.textContent = inCall ? "End and accept" : "Accept";
    }
    document.title = rings.length > 0 ? `${rings[0].from} is calling` : "mixminus phone";
  }

  #ring(callId, from) {
    const ring = make("div", { className: "ring" });
    ring.dataset.callId = callId;
    const words = make("p");
    words.append(make("strong", { textContent: from }), " is calling");
    const controls = make("div", { className: "controls" });
    controls.append(
      this.#button("Accept", "primary", () => this.on.answer(callId)),
      this.#button("Decline", "danger", () => this.on.decline(callId)),
    );
    ring.append(words, controls);
    return ring;
  }

  // ---- the call ------------------------------------------------------------------------------------

  /** `call`: {title, words, is, canPress, isMuted, isHeld, mutedWords, heldWords}, or null. */
  showCall(call) {
    const was = !byId("call").hidden;
    byId("call").hidden = call === null;
    byId("dial").hidden = call !== null || byId("account").hidden;
    if (call === null) {
      if (was) byId("call-button").focus();
      return;
    }
    byId("call-title").textContent = call.title;
    setText("call-state", call.words);
    byId("call-dot").dataset.is = call.is;
    toggle("mute", call.isMuted, call.isMuted ? call.mutedWords : "Mute");
    toggle("hold", call.isHeld, call.isHeld ? call.heldWords : "Hold");
    for (const button of byId("keypad").children) button.disabled = !call.canPress;
    byId("mute").disabled = byId("hold").disabled = !call.canPress;
    if (!was) {
      this.showFigures(null);
      byId("hang-up").focus();
    }
  }

  /** `seconds` since the call was connected, or null. */
  showTime(seconds) {
    const two = (number) => String(Math.floor(number)).padStart(2, "0");
    setText("call-time", seconds === null ? "" : `${two(seconds / 60)}:${two(seconds % 60)}`);
  }

  showLevel(dbov) {
    const share = 100 * (1 - dbov / FLOOR_DBOV);
    byId("meter").firstElementChild.style.setProperty("--level", `${share.toFixed(1)}%`);
    const nowMs = performance.now();
    if (nowMs - this.#levelToldMs < METER_WORDS_MS) return;
    this.#levelToldMs = nowMs;
    const words = dbov <= FLOOR_DBOV ? "silence" : `${dbov.toFixed(0)} dBov`;
    byId("meter").setAttribute("aria-valuenow", dbov.toFixed(0));
    byId("meter").setAttribute("aria-valuetext", words);
    setText("meter-value", words);
  }

  /** `figures` as of stats.js, or null. */
  showFigures(figures) {
    const show = (id, value, words) => setText(id, value === null || value === undefined ? "–" : words(value));
    const ms = (value) => `${value.toFixed(value < 10 ? 1 : 0)} ms`;
    const percent = (value) => `${(100 * value).toFixed(1)} %`;
    show("round-trip", figures?.roundTripMs, ms);
    show("jitter", figures?.jitterMs, ms);
    show("loss", figures?.lostRatio, percent);
    show("concealed", figures?.concealedRatio, percent);
    show("buffer", figures?.bufferMs, ms);
    show("codec", figures?.codec, String);
  }

  // ---- the log -------------------------------------------------------------------------------------

  log(words) {
    const list = byId("log");
    const line = make("li");
    const now = new Date();
    line.append(
      make("time", { dateTime: now.toISOString(), textContent: now.toLocaleTimeString("en-GB") }),
      make("span", { textContent: words }),
    );
    list.append(line);
    if (list.children.length > LOG_LINES) list.firstElementChild.remove();
    list.scrollTop = list.scrollHeight;
  }

  // ---- keys ----------------------------------------------------------------------------------------

  #key(key) {
    const button = this.#button(key, "", () => this.on.press(key));
    button.dataset.key = key;
    if (key in LETTERS) button.setAttribute("aria-label", LETTERS[key]);
    return button;
  }

  /** A key of the keyboard, pressed outside of any field. */
  #typed(event) {
    if (event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.target instanceof HTMLInputElement) return;
    const button = [...byId("keypad").children].find((each) => each.dataset.key === event.key);
    if (button === undefined || button.disabled || byId("call").hidden) return;
    button.classList.add("pressed");
    setTimeout(() => button.classList.remove("pressed"), PRESSED_MS);
    this.on.press(event.key);
  }

  #button(textContent, className, onclick) {
    return make("button", { type: "button", textContent, className, onclick });
  }

  #submit(id, then) {
    byId(id).onsubmit = (event) => {
      event.preventDefault();
      then();
    };
  }
}

const make = (tag, properties = {}) => Object.assign(document.createElement(tag), properties);

/** Change a text only if it is another: a live region is read out at each change. */
function setText(id, words) {
  const element = byId(id);
  if (element.textContent !== words) element.textContent = words;
}

function toggle(id, isOn, words) {
  setText(id, words);
  byId(id).setAttribute("aria-pressed", String(isOn));
}
