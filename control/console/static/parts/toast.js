// Short news at the edge of the page: what was done, or why not.

import { html, useEffect, useState } from "../preact.js";
import { Icon } from "./icon.js";

const GOOD_MS = 4000;
const BAD_MS = 10_000;
const AT_ONCE = 4;

let toasts = [];
let changed = () => {};
let lastId = 0;

/** Say *message*; is: "good", "bad" or "info". */
export function toast(message, is = "info") {
  lastId += 1;
  const mine = { id: lastId, message, is };
  toasts = [...toasts.slice(1 - AT_ONCE), mine];
  changed();
  setTimeout(() => drop(mine.id), is === "bad" ? BAD_MS : GOOD_MS);
}

function drop(id) {
  toasts = toasts.filter((each) => each.id !== id);
  changed();
}

/** Where they are shown: once, in the frame. */
export function Toasts() {
  const [, redraw] = useState(null);
  useEffect(() => {
    changed = () => redraw({});
    changed();
    return () => {
      changed = () => {};
    };
  }, []);
  return html`
    <div class="toasts" role="status" aria-live="polite">
      ${toasts.map(({ id, message, is }) => html`
        <div key=${id} class="toast" data-is=${is}>
          <span class="mark" data-is=${is} aria-hidden="true"></span>
          <span class="wrap grow">${message}</span>
          <button type="button" class="ghost small icon-only" aria-label="Dismiss" onClick=${() => drop(id)}>
            <${Icon} name="close" size="16" />
          </button>
        </div>`)}
    </div>`;
}
