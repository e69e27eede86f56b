// JSON as people read it, and a button that copies it. All of it is text: nothing in it becomes markup.

import { html, memo, useState } from "../preact.js";
import { Icon } from "./icon.js";
import { toast } from "./toast.js";

const COPIED_MS = 1500;
const FOLDED_DEPTH = 3; // Deeper than that, long lists begin folded.
const LONG = 12;

/** Put `text` on the clipboard; `label` names what is copied. */
export function Copy({ text, label, children = null }) {
  const [isCopied, setCopied] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch (error) {
      if (!(error instanceof DOMException) && !(error instanceof TypeError)) throw error;
      toast("This browser does not let the page copy; select the text instead.", "bad");
      return;
    }
    setCopied(true);
    setTimeout(() => setCopied(false), COPIED_MS);
  };
  return html`
    <button type="button" class=${children === null ? "ghost small icon-only" : "ghost small"}
            aria-label=${isCopied ? "Copied" : label} title=${label} onClick=${copy}>
      <${Icon} name=${isCopied ? "check" : "copy"} size="16" />${children}
    </button>`;
}

/** A value, pretty: objects and lists can be folded. */
export const Json = memo(({ value, label = "JSON" }) => html`
  <div class="json">
    <div class="json-copy"><${Copy} text=${JSON.stringify(value, null, 2)} label=${`Copy ${label}`} /></div>
    <pre tabindex="0" role="group" aria-label=${label}><${Value} value=${value} depth=${0} after="" /></pre>
  </div>`);

function Value({ value, depth, after }) {
  if (value === null || typeof value !== "object") {
    const kind = value === null ? "null" : typeof value;
    return html`<span class=${`j-${kind}`}>${JSON.stringify(value)}</span>${after}`;
  }
  const isList = Array.isArray(value);
  const [begin, end] = isList ? "[]" : "{}";
  const names = Object.keys(value);
  if (names.length === 0) return `${begin}${end}${after}`;
  const line = (name, i) => html`
    <div class="j-line" key=${name}>
      ${isList ? null : html`<span class="j-key">${JSON.stringify(name)}</span>: `}
      <${Value} value=${value[name]} depth=${depth + 1} after=${i === names.length - 1 ? "" : ","} />
    </div>`;
  const isOpen = depth < FOLDED_DEPTH || names.length <= LONG;
  return html`<details class="j-fold" open=${isOpen}>
    <summary>${begin}<span class="j-rest"> ${names.length} … ${end}${after}</span></summary>${names.map(line)}
    <div>${end}${after}</div></details>`;
}
