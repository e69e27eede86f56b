// One party's media: a peer connection that outlives changes of network.

const GATHERING_MS = 3000;
const TONE_MS = 100;
const PAUSE_MS = 70;

/** Events: "state" (connectionState has changed), "stream" (detail: what is heard). */
export class Peer extends EventTarget {
  #track;
  #pc;

  /** What is sent. Closed with the peer. */
  microphone;

  /** `microphone`: the stream to send. It is this peer's own from now on. */
  constructor(microphone) {
    super();
    this.microphone = microphone;
    [this.#track] = microphone.getAudioTracks();
    this.#pc = this.#connection();
  }

  get state() {
    return this.#pc.connectionState;
  }

  get stats() {
    return this.#pc.getStats();
  }

  /** Send the microphone, or silence. */
  set isSilent(silent) {
    this.#track.enabled = !silent;
  }

  /** An offer with all its candidates; after the first answer, one that restarts ICE. */
  async offer() {
    const pc = this.#pc;
    if (pc.signalingState === "have-local-offer") await pc.setLocalDescription({ type: "rollback" });
    if (pc.remoteDescription !== null) pc.restartIce();
    // Listening first: the last candidate may be there before the description is set.
    const gathered = new Promise((resolve) => {
      const timer = setTimeout(resolve, GATHERING_MS);
      pc.addEventListener("icecandidate", function last(event) {
        if (event.candidate !== null) return;
        clearTimeout(timer);
        pc.removeEventListener("icecandidate", last);
        resolve();
      });
    });
    await pc.setLocalDescription();
    await gathered;
    return pc.localDescription.sdp;
  }

  async accept(sdp) {
    await this.#pc.setRemoteDescription({ type: "answer", sdp });
  }

  /** Send another microphone from now on; it is this peer's own, and the one before is closed. */
  async replaceMicrophone(microphone) {
    const [track] = microphone.getAudioTracks();
    const before = this.#track;
    track.enabled = before.enabled;
    await this.#pc.getSenders()[0]?.replaceTrack(track);
    this.microphone = microphone;
    this.#track = track;
    before.stop();
  }

  /** Begin anew with the same microphone: what ICE restarts could not mend. */
  renew() {
    this.#pc.onconnectionstatechange = null;
    this.#pc.close();
    this.#pc = this.#connection();
  }

  /** Play a key to the far end as a telephone event (RFC 4733); false when it takes none. */
  press(key) {
    const dtmf = this.#pc.getSenders()[0]?.dtmf;
    if (!dtmf?.canInsertDTMF) return false;
    dtmf.insertDTMF(dtmf.toneBuffer + key, TONE_MS, PAUSE_MS);
    return true;
  }

  close() {
    this.#pc.onconnectionstatechange = null;
    this.#pc.close();
    this.#track.stop();
  }

  #connection() {
    const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    pc.onconnectionstatechange = () => this.dispatchEvent(new CustomEvent("state"));
    pc.ontrack = (event) => {
      const stream = new MediaStream([event.track]);
      this.dispatchEvent(new CustomEvent("stream", { detail: stream }));
    };
    pc.addTransceiver(this.#track, { direction: "sendrecv" });
    return pc;
  }
}
