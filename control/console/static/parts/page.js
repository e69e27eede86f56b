// What every view begins with: its name, what can be done, and the focus of whoever came here by keyboard.

import { html, useEffect, useRef } from "../preact.js";

let isFirst = true;

/** `title`: of the view and the tab; `lead`: a line under it; `actions`: buttons beside it. */
export function Page({ title, lead = null, actions = null, children }) {
  const heading = useRef();
  useEffect(() => {
    document.title = `${title} · mixminus`;
  }, [title]);
  useEffect(() => {
    // Not on the first view: there the reader begins at the top of the page as on any other.
    if (!isFirst) heading.current.focus({ preventScroll: true });
    isFirst = false;
    scrollTo(0, 0);
  }, []);
  return html`
    <div class="page stack">
      <header class="page-head">
        <div class="page-title">
          <h1 tabindex="-1" ref=${heading}>${title}</h1>
          ${lead !== null && html`<div class="quiet page-lead">${lead}</div>`}
        </div>
        ${actions !== null && html`<div class="row page-actions">${actions}</div>`}
      </header>
      ${children}
    </div>`;
}

/** A part of a view with a name. */
export const Card = ({ title = null, more = null, children, class: classes = "" }) => html`
  <section class=${`card ${classes}`} aria-label=${title}>
    ${title !== null && html`<div class="card-head spread"><h2>${title}</h2>${more}</div>`}
    ${children}
  </section>`;
