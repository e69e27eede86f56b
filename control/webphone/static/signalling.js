// The line to the call service: registered, and again whenever the connection was lost.
// docs/rtc-signalling.md is the definition.

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 5000;
const FIRST_REFUSAL = 4400; // Close codes from here on say that this device was wrong; it would be again.
const NOT_REGISTERED_IN_TIME = 4408;

/**
 * Events: "registered" (detail: the user), "message" (detail: the message), "lost",
 * "refused" (detail: {code, message}); after that it stays closed until open().
 */
export class Signalling extends EventTarget {
  #url;
  #token = null;
  #socket = null;
  #retry = null;
  #pauseMs = FIRST_PAUSE_MS;
  #said = null;
  isRegistered = false;

  constructor(url) {
    super();
    this.#url = url;
    addEventListener("online", () => {
      if (this.#retry !== null) this.#connect();
    });
  }

  open(token) {
    this.close();
    this.#token = token;
    this.#pauseMs = FIRST_PAUSE_MS;
    this.#connect();
  }

  close() {
    clearTimeout(this.#retry);
    this.#retry = null;
    this.#token = null;
    this.isRegistered = false;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
  }

  /** Send one message; false when there is no line now. */
  send(message) {
    if (!this.isRegistered) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  #connect() {
    clearTimeout(this.#retry);
    this.#retry = null;
    this.#said = null;
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    socket.onopen = () => socket.send(JSON.stringify({ type: "register", token: this.#token }));
    socket.onmessage = (event) => {
      if (this.#socket === socket) this.#take(JSON.parse(event.data));
    };
    socket.onclose = (event) => {
      if (this.#socket === socket) this.#closed(event.code);
    };
  }

  #take(message) {
    if (message.type === "registered") {
      this.isRegistered = true;
      this.#pauseMs = FIRST_PAUSE_MS;
      this.#tell("registered", message.user);
      return;
    }
    if (message.type === "error" && message.of === undefined && message.callId === undefined) {
      this.#said = message; // The last word before the service closes the socket.
    }
    this.#tell("message", message);
  }

  #closed(code) {
    const wasRegistered = this.isRegistered;
    this.isRegistered = false;
    this.#socket = null;
    if (code >= FIRST_REFUSAL && code !== NOT_REGISTERED_IN_TIME) {
      this.#token = null;
      const message = this.#said?.message ?? `the service closed the line with code ${code}`;
      this.#tell("refused", { code: this.#said?.code ?? String(code), message });
      return;
    }
    this.#retry = setTimeout(() => this.#connect(), this.#pauseMs);
    this.#pauseMs = Math.min(2 * this.#pauseMs, LONGEST_PAUSE_MS);
    this.#tell("lost", { wasRegistered });
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
