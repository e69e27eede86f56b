// The buttons that begin something, and the dialogs behind them.

import { html, useState } from "../preact.js";
import { Icon } from "../parts/icon.js";
import { StartCall, StartMeeting } from "./start.js";

/** `what`: those to show, of "call" and "meeting". */
export function StartButtons({ what = ["call", "meeting"] }) {
  const [open, setOpen] = useState(null);
  const close = () => setOpen(null);
  return html`
    ${what.includes("meeting") && html`
      <button type="button" class=${what.includes("call") ? "" : "primary"} onClick=${() => setOpen("meeting")}>
        <${Icon} name="meetings" />New meeting</button>`}
    ${what.includes("call") && html`
      <button type="button" class="primary" onClick=${() => setOpen("call")}>
        <${Icon} name="plus" />Start a call</button>`}
    ${open === "call" && html`<${StartCall} onClose=${close} />`}
    ${open === "meeting" && html`<${StartMeeting} onClose=${close} />`}`;
}
