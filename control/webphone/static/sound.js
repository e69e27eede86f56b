// What is heard and said: played, measured; and the bell.

const FLOOR_DBOV = -60;
const BELL_HZ = [440, 480];
const BELL_GAIN = 0.08;
const BELL_ON_S = 1;
const BELL_PERIOD_S = 3;

/** The level of a stream. Close it. */
class Level {
  #source;
  #analyser;
  #samples;

  constructor(context, stream) {
    this.#analyser = new AnalyserNode(context, { fftSize: 2048 });
    this.#samples = new Float32Array(this.#analyser.fftSize);
    this.#source = context.createMediaStreamSource(stream);
    this.#source.connect(this.#analyser);
  }

  /** Of the last 40 ms, in dBov; -60 at least. */
  get dbov() {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    let power = 0;
    for (const sample of this.#samples) power += sample * sample;
    return Math.max(FLOOR_DBOV, Math.min(0, 10 * Math.log10(power / this.#samples.length)));
  }

  close() {
    this.#source.disconnect();
  }
}

/** The page's one audio context. Browsers let it run once the user has done something. */
export class Sound {
  #context = null;
  #audio;
  #heard = null;
  #said = null;
  #bell = null;

  /** `audio`: the element that plays what is heard. `onBlocked`: the browser wants a gesture first. */
  constructor(audio, onBlocked) {
    this.#audio = audio;
    this.onBlocked = onBlocked;
    for (const gesture of ["pointerdown", "keydown"]) addEventListener(gesture, () => this.#wake());
  }

  play(stream) {
    this.#heard?.close();
    this.#audio.srcObject = stream;
    this.#start();
    this.#heard = new Level(this.#open(), stream);
  }

  /** Measure a microphone, too. */
  watch(microphone) {
    this.#said?.close();
    this.#said = new Level(this.#open(), microphone);
  }

  stop() {
    this.#heard?.close();
    this.#said?.close();
    this.#heard = this.#said = null;
    this.#audio.srcObject = null;
  }

  /** How loud it is what is heard, in dBov; -60 at least. */
  heardDbov() {
    return this.#heard?.dbov ?? FLOOR_DBOV;
  }

  /** How loud the microphone is: what is sent of it, so nothing while it is silent. */
  saidDbov() {
    return this.#said?.dbov ?? FLOOR_DBOV;
  }

  /** Whether what is heard can be sent to another loudspeaker. */
  get hasOutputs() {
    return typeof this.#audio.setSinkId === "function";
  }

  /** Play on another loudspeaker; "" is the system's default. */
  async setOutput(deviceId) {
    await this.#audio.setSinkId(deviceId);
  }

  /** Ring, or stop ringing. */
  set isRinging(ringing) {
    if (ringing === (this.#bell !== null)) return;
    if (ringing) this.#bell = this.#ring();
    else this.#bell = this.#silence(this.#bell);
  }

  #open() {
    this.#context ??= new AudioContext();
    return this.#context;
  }

  #ring() {
    const context = this.#open();
    const gain = new GainNode(context, { gain: 0 });
    gain.connect(context.destination);
    const tones = BELL_HZ.map((frequency) => new OscillatorNode(context, { frequency }));
    for (const tone of tones) {
      tone.connect(gain);
      tone.start();
    }
    const strike = () => {
      const now = context.currentTime;
      gain.gain.setTargetAtTime(BELL_GAIN, now, 0.01);
      gain.gain.setTargetAtTime(0, now + BELL_ON_S, 0.02);
    };
    strike();
    return { gain, tones, timer: setInterval(strike, 1000 * BELL_PERIOD_S) };
  }

  #silence({ gain, tones, timer }) {
    clearInterval(timer);
    for (const tone of tones) tone.stop();
    gain.disconnect();
    return null;
  }

  #wake() {
    if (this.#context?.state === "suspended") this.#context.resume();
    if (this.#audio.srcObject !== null && this.#audio.paused) this.#start();
  }

  #start() {
    this.#audio.play().catch((error) => {
      if (error.name === "NotAllowedError") this.onBlocked();
      else if (error.name !== "AbortError") throw error; // Another stream took its place meanwhile.
    });
  }
}
