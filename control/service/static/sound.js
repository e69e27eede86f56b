// What is heard: played, measured; and the bell.

const FLOOR_DBOV = -60;
const BELL_HZ = [440, 480];
const BELL_GAIN = 0.08;
const BELL_ON_S = 1;
const BELL_PERIOD_S = 3;

/** The page's one audio context. Browsers let it run once the user has done something. */
export class Sound {
  #context = null;
  #audio;
  #source = null;
  #analyser = null;
  #samples = null;
  #bell = null;

  /** `audio`: the element that plays what is heard. `onBlocked`: the browser wants a gesture first. */
  constructor(audio, onBlocked) {
    this.#audio = audio;
    this.onBlocked = onBlocked;
    for (const gesture of ["pointerdown", "keydown"]) addEventListener(gesture, () => this.#wake());
  }

  play(stream) {
    this.stop();
    this.#audio.srcObject = stream;
    this.#start();
    const context = this.#open();
    this.#analyser = new AnalyserNode(context, { fftSize: 2048 });
    this.#samples = new Float32Array(this.#analyser.fftSize);
    this.#source = context.createMediaStreamSource(stream);
    this.#source.connect(this.#analyser);
  }

  stop() {
    this.#source?.disconnect();
    this.#source = this.#analyser = null;
    this.#audio.srcObject = null;
  }

  /** The level of the last 40 ms of what is heard, in dBov; -60 at least. */
  levelDbov() {
    if (this.#analyser === null) return FLOOR_DBOV;
    this.#analyser.getFloatTimeDomainData(this.#samples);
    let power = 0;
    for (const sample of this.#samples) power += sample * sample;
    return Math.max(FLOOR_DBOV, Math.min(0, 10 * Math.log10(power / this.#samples.length)));
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
