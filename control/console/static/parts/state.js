// States as words with a shape and a colour: any one of the three is enough to tell them apart.

import { html, memo } from "../preact.js";
import { words } from "../format.js";

const STATES = {
  incoming: ["info", "Ringing"],
  establishing: ["info", "Connecting"],
  established: ["good", "Live"],
  onHold: ["warn", "On hold"],
  transferring: ["info", "Transferring"],
  terminating: ["off", "Ending"],
  terminated: ["off", "Ended"],
};

const FLAGS = {
  loss: ["warn", "Loss", "Packets are lost on the way in"],
  jitter: ["warn", "Jitter", "Packets come unevenly"],
  concealment: ["warn", "Concealment", "Audible gaps are filled in"],
  noMedia: ["bad", "No media", "Nothing arrives from a party"],
  pluginDisabled: ["bad", "Plugin off", "A plugin was taken out: it failed or was too slow"],
  botError: ["bad", "Bot error", "The bot's code raised an error"],
  recording: ["info", "Recording", "This call is being recorded"],
  lobby: ["warn", "Lobby", "Somebody waits to be let in"],
};

const HEALTH = {
  Normal: ["good", "Normal"],
  HeavilyLoaded: ["warn", "Heavily loaded"],
  Overloaded: ["bad", "Overloaded"],
};

/** is: "good", "warn", "bad", "info" or "off". */
export const Chip = ({ is, title = null, children }) => html`
  <span class="chip" data-is=${is} title=${title}>
    <span class="mark" data-is=${is} aria-hidden="true"></span>${children}
  </span>`;

const named = (table) => memo(({ name }) => {
  const [is, title, more] = table[name] ?? ["off", words(name)];
  return html`<${Chip} is=${is} title=${more ?? null}>${title}<//>`;
});

/** The state of a call. */
export const CallState = named(STATES);
/** What somebody who looks at a call should know at once. */
export const Flag = named(FLAGS);
/** How the engine copes. */
export const Health = named(HEALTH);

const OPERATIONS = { completed: "good", running: "info", notStarted: "off", failed: "bad" };

/** How an operation stands. */
export const OperationStatus = ({ status }) => html`
  <${Chip} is=${OPERATIONS[status] ?? "off"}>${words(status)}<//>`;

const SIDES = { service: "Call service", host: "Bot host" };

/** Which role says it. */
export const sideName = (side) => SIDES[side] ?? words(side);
