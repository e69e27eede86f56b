// Tabs that are addresses: each can be linked to, and Back leaves it.

import { html } from "../preact.js";
import { go, href } from "../router.js";

const STEPS = { ArrowRight: 1, ArrowLeft: -1 };

/** `tabs`: [{id, title, badge}], `base`: the parts of the address before the tab, `label` of the list. */
export function Tabs({ tabs, current, base, label }) {
  const pressed = (event) => {
    const at = tabs.findIndex((tab) => tab.id === current);
    let next = null;
    if (event.key in STEPS) next = tabs[(at + STEPS[event.key] + tabs.length) % tabs.length];
    else if (event.key === "Home") next = tabs[0];
    else if (event.key === "End") next = tabs.at(-1);
    if (next === null) return;
    event.preventDefault();
    go(...base, next.id);
    event.currentTarget.querySelector(`[data-tab="${next.id}"]`).focus();
  };
  return html`
    <div class="tabs" role="tablist" aria-label=${label} onKeyDown=${pressed}>
      ${tabs.map((tab) => html`
        <a key=${tab.id} id=${`tab-${tab.id}`} data-tab=${tab.id} role="tab" href=${href(...base, tab.id)}
           aria-selected=${tab.id === current} aria-controls="panel" tabindex=${tab.id === current ? 0 : -1}>
          ${tab.title}${tab.badge ? html` <span class="badge figure">${tab.badge}</span>` : null}
        </a>`)}
    </div>`;
}

/** What the chosen tab shows. */
export const TabPanel = ({ current, children }) => html`
  <div id="panel" role="tabpanel" aria-labelledby=${`tab-${current}`} class="stack">${children}</div>`;
