// Microsoft's own parser and writer of ACS audio streaming, over standard input and output.
// In: one JSON array of messages. Out: {"parsed": [[kind, object], ...], "written": [messages]}.
// node streaming.cjs FOLDER-WITH-node_modules
const { createRequire } = require("node:module");
const { readFileSync } = require("node:fs");

const sdk = createRequire(process.argv[2] + "/")("@azure/communication-call-automation");
const parsed = [];
for (const message of JSON.parse(readFileSync(0, "utf8"))) {
  const value = sdk.StreamingData.parse(message);
  parsed.push([sdk.StreamingData.getStreamingKind(), value]);
}
const audio = Buffer.from(Uint8Array.from({ length: 640 }, (_, i) => i % 256)).toString("base64");
const written = [sdk.createOutboundAudioData(audio), sdk.createOutboundStopAudioData()];
process.stdout.write(JSON.stringify({ parsed, written }));
