// A dialog over the page, by the browser's own <dialog>: it keeps the focus, and Escape closes it.

import { html, useEffect, useId, useRef } from "../preact.js";
import { Icon } from "./icon.js";

/** `title`, `onClose()`; children: the content, usually a form. Open as long as it is there. */
export function Dialog({ title, onClose, children, wide = false }) {
  const element = useRef();
  const titleId = useId();
  useEffect(() => {
    const dialog = element.current;
    const before = document.activeElement;
    dialog.showModal();
    return () => {
      dialog.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  const cancelled = (event) => {
    event.preventDefault();
    onClose();
  };
  // A press beside the dialog, which then is the target itself.
  const pressed = (event) => {
    if (event.target === element.current) onClose();
  };
  return html`
    <dialog ref=${element} class=${wide ? "dialog wide" : "dialog"} aria-labelledby=${titleId}
            onCancel=${cancelled} onPointerDown=${pressed}>
      <div class="dialog-body">
        <div class="spread dialog-head">
          <h2 id=${titleId}>${title}</h2>
          <button type="button" class="ghost small icon-only" aria-label="Close" onClick=${onClose}>
            <${Icon} name="close" />
          </button>
        </div>
        ${children}
      </div>
    </dialog>`;
}
