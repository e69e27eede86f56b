// A button that asks the server for something: it waits, and says how it went.

import { html, useEffect, useRef, useState } from "../preact.js";
import { act } from "../api.js";

/** `run`: asks, and returns a promise. `done`: what to say when it went well. `then`: called after that. */
export function Action({ run, done = null, then = null, children, disabled = false, ...properties }) {
  const [isBusy, setBusy] = useState(false);
  const isThere = useRef(true);
  useEffect(() => {
    isThere.current = true;
    return () => {
      isThere.current = false;
    };
  }, []);
  const click = async () => {
    if (isBusy) return;
    setBusy(true);
    try {
      if (await act(run(), { done })) then?.();
    } finally {
      if (isThere.current) setBusy(false);
    }
  };
  // Not `disabled` while it waits: that would take the focus from whoever works with the keyboard.
  return html`
    <button type="button" ...${properties} disabled=${disabled} aria-disabled=${isBusy} aria-busy=${isBusy}
            onClick=${click}>${children}</button>`;
}
