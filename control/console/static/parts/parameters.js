// Names with units in them, as people read them: "attack_ms" is "Attack" in ms, "p99Us" is "P99" in µs.

import { words } from "../format.js";

const UNITS = {
  ms: "ms", us: "µs", ns: "ns", s: "s", db: "dB", dbov: "dBov", hz: "Hz", bytes: "bytes", mb: "MB", samples: "samples",
};

/** {title, unit}; unit is "" for what has none. */
export function parameterName(name) {
  const parts = words(name).split(" ");
  const unit = UNITS[parts.at(-1).toLowerCase()];
  if (unit === undefined || parts.length === 1) return { title: parts.join(" "), unit: "" };
  return { title: parts.slice(0, -1).join(" "), unit };
}

/** "attack 60 ms" */
export function parameterWords(name, value) {
  const { title, unit } = parameterName(name);
  const shown = typeof value === "boolean" ? (value ? "on" : "off") : value;
  return `${title.toLowerCase()} ${shown}${unit && ` ${unit}`}`;
}
