// Values as people read them. A value that is missing is a dash, never "undefined" or "NaN".

export const NOTHING = "–";
const SPACE = "\u202f"; // Narrow and unbreakable, between a number and its unit.

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

export function count(value) {
  return isNumber(value) ? value.toLocaleString("en-GB") : NOTHING;
}

export function ms(value) {
  if (!isNumber(value)) return NOTHING;
  if (value !== 0 && Math.abs(value) < 0.9995) return `${Math.round(value * 1000)}${SPACE}µs`;
  return `${value.toFixed(Math.abs(value) < 10 ? 1 : 0)}${SPACE}ms`;
}

export function percent(ratio) {
  if (!isNumber(ratio)) return NOTHING;
  const value = 100 * ratio;
  return `${value.toFixed(value !== 0 && value < 10 ? 1 : 0)}${SPACE}%`;
}

export function bytes(value) {
  if (!isNumber(value)) return NOTHING;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value.toFixed(unit === 0 || value >= 100 ? 0 : 1)}${SPACE}${units[unit]}`;
}

/** 7:05, 1:02:09 */
export function duration(seconds) {
  if (!isNumber(seconds)) return NOTHING;
  const whole = Math.max(0, Math.floor(seconds));
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** Seconds from the moment *at* (ISO 8601) until *nowMs*; null when there is none. */
export function secondsSince(at, nowMs) {
  const thenMs = Date.parse(at ?? "");
  return Number.isNaN(thenMs) ? null : (nowMs - thenMs) / 1000;
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** 14:03:09, in the browser's own zone. */
export function clock(at) {
  const ms = Date.parse(at ?? "");
  return Number.isNaN(ms) ? NOTHING : CLOCK.format(ms);
}

/** 14:03:09.250 */
export function clockMs(at) {
  const ms = Date.parse(at ?? "");
  if (Number.isNaN(ms)) return NOTHING;
  return `${CLOCK.format(ms)}.${String(new Date(ms).getMilliseconds()).padStart(3, "0")}`;
}

export function dayAndTime(at) {
  const ms = Date.parse(at ?? "");
  return Number.isNaN(ms) ? NOTHING : DAY.format(ms);
}

const SPELLED = {
  srtp: "SRTP", rtcp: "RTCP", rtp: "RTP", fec: "FEC", dtls: "DTLS", ice: "ICE", url: "URL", us: "µs",
};

/** A name of the code in the middle of a sentence: "not established", "SRTP forged". */
export function phrase(name) {
  if (name === null || name === undefined || name === "") return NOTHING;
  return String(name).replace(/[_-]+/g, " ").replace(/([a-z\d])([A-Z])/g, "$1 $2").toLowerCase()
    .replace(/[a-z]+/g, (word) => SPELLED[word] ?? word);
}

/** "notEstablished" or "tick_lateness" as words: "Not established", "Tick lateness". */
export function words(name) {
  const text = phrase(name);
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** The end of an id, enough to tell two apart; the whole one belongs in a title or beside a copy button. */
export function shortId(id) {
  return id.length > 13 ? `${id.slice(0, 8)}…` : id;
}

const GUID = /\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/gi;

/** A text with its ids cut short, for where there is little room. */
export const withShortIds = (text) => text.replace(GUID, shortId);

export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}
