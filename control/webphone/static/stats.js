// What getStats says of a call, in the units that people know.

/**
 * Turn an RTCStatsReport into figures; those that are not known are null.
 * Loss is both ways in one: the greater of what we and the far end missed since the call began.
 */
export function figures(report) {
  const all = [...report.values()];
  const find = (type) => all.find((entry) => entry.type === type && (entry.kind ?? "audio") === "audio");
  const inbound = find("inbound-rtp");
  const remote = find("remote-inbound-rtp");
  const pair = all.find((entry) => entry.type === "candidate-pair" && entry.nominated && entry.state === "succeeded");
  const codec = inbound === undefined ? undefined : report.get(inbound.codecId);
  const roundTripS = remote?.roundTripTime ?? pair?.currentRoundTripTime;
  return {
    roundTripMs: milliseconds(roundTripS),
    jitterMs: milliseconds(inbound?.jitter),
    lostRatio: greater(ratio(inbound?.packetsLost, inbound?.packetsReceived), remote?.fractionLost),
    concealedRatio: share(inbound?.concealedSamples, inbound?.totalSamplesReceived),
    bufferMs: milliseconds(share(inbound?.jitterBufferDelay, inbound?.jitterBufferEmittedCount)),
    codec: codec?.mimeType?.replace("audio/", "") ?? null,
  };
}

const milliseconds = (seconds) => (typeof seconds === "number" ? 1000 * seconds : null);
const share = (part, whole) => (typeof part === "number" && whole > 0 ? part / whole : null);
const ratio = (lost, received) => (lost + received > 0 ? Math.max(0, lost) / (lost + received) : null);
const greater = (one, other) => (other === undefined ? one : Math.max(one ?? 0, other));
