// Levels, drawn smoothly: they come five times a second, and are moved towards in each frame that is painted.
// Only meters that can be seen are drawn, only by `transform`, and nothing runs while all of them rest.

const FLOOR_DBOV = -60;
const SILENCE_DBOV = -127;
const RISE_MS = 50;
const FALL_MS = 220;
const HOLD_MS = 900;
const SETTLED_DB = 0.15;
const TOLD_MS = 1000; // How often a screen reader that asks gets another value.

const still = matchMedia("(prefers-reduced-motion: reduce)");
const meters = new Map(); // By element.
let levels = {};
let isRunning = false;
let lastMs = 0;

const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const meter = meters.get(target);
    if (meter !== undefined) meter.isVisible = isIntersecting;
  }
  run();
}, { rootMargin: "40px" });

/** Take the levels of all watched legs: {key: [inbound, outbound]} in dBov. */
export function takeLevels(legs) {
  levels = legs;
  run();
}

/** The level of a leg in dBov, -127 when it is silent or unknown. side: "in" or "out". */
export function levelOf(legKey, side) {
  return levels[legKey]?.[side === "out" ? 1 : 0] ?? SILENCE_DBOV;
}

/**
 * Draw what *read* returns (dBov) into *element*, which has a `.meter-cover` and a `.meter-peak`.
 * `isSteady`: read it in each frame, not only when levels come. Returns how to stop.
 */
export function drawMeter(element, read, isSteady = false) {
  meters.set(element, {
    element, read, isSteady,
    cover: { element: element.querySelector(".meter-cover"), transform: "" },
    peak: { element: element.querySelector(".meter-peak"), transform: "" },
    isVisible: false, shown: FLOOR_DBOV, held: FLOOR_DBOV, heldMs: 0, toldMs: 0, told: null,
  });
  seen.observe(element);
  return () => {
    seen.unobserve(element);
    meters.delete(element);
  };
}

function run() {
  if (isRunning) return;
  isRunning = true;
  lastMs = performance.now();
  requestAnimationFrame(frame);
}

function frame(nowMs) {
  const passedMs = Math.min(100, Math.max(0, nowMs - lastMs));
  lastMs = nowMs;
  let isMoving = false;
  for (const meter of meters.values()) {
    if (meter.isVisible) isMoving = move(meter, nowMs, passedMs) || isMoving;
  }
  isRunning = isMoving;
  if (isMoving) requestAnimationFrame(frame);
}

/** Bring a meter nearer to its level; return whether there is more to come. */
function move(meter, nowMs, passedMs) {
  const target = Math.min(0, Math.max(FLOOR_DBOV, meter.read()));
  const away = target - meter.shown;
  const share = still.matches ? 1 : 1 - Math.exp(-passedMs / (away > 0 ? RISE_MS : FALL_MS));
  const shown = Math.abs(away) < SETTLED_DB ? target : meter.shown + away * share;
  if (shown >= meter.held) {
    meter.held = shown;
    meter.heldMs = nowMs;
  } else if (nowMs - meter.heldMs > HOLD_MS) {
    meter.held += (shown - meter.held) * share;
    if (meter.held - shown < SETTLED_DB) meter.held = shown;
  }
  meter.shown = shown;
  place(meter.cover, shown);
  place(meter.peak, meter.held);
  tell(meter, nowMs);
  return meter.isSteady || shown !== target || meter.held > shown || Math.round(shown) !== meter.told;
}

function place(part, dbov) {
  const transform = `translateX(${percent(dbov)})`;
  if (part.transform === transform) return; // Reading the style back would cost more than this.
  part.transform = transform;
  part.element.style.transform = transform;
}

const percent = (dbov) => `${(100 * (1 - dbov / FLOOR_DBOV)).toFixed(2)}%`;

function tell(meter, nowMs) {
  if (nowMs - meter.toldMs < TOLD_MS && meter.told !== null) return;
  meter.toldMs = nowMs;
  const value = Math.round(meter.shown);
  if (value === meter.told) return;
  meter.told = value;
  meter.element.setAttribute("aria-valuenow", value);
  meter.element.setAttribute("aria-valuetext", value <= FLOOR_DBOV ? "silence" : `${value} dBov`);
}
