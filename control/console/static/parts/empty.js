// What stands where there is nothing yet, what is being waited for, and what went wrong.

import { html } from "../preact.js";
import { Icon } from "./icon.js";

/** Nothing there: say why, and what to do about it (children: buttons or links). */
export const Empty = ({ icon, title, children }) => html`
  <div class="empty">
    <span class="empty-sign"><${Icon} name=${icon} size="28" /></span>
    <p class="empty-title">${title}</p>
    <div class="empty-more">${children}</div>
  </div>`;

/** Lines where text will be. */
export const Loading = ({ lines = 4 }) => html`
  <div class="loading" role="status">
    <span class="visually-hidden">Loading</span>
    ${Array.from({ length: lines }, (_, i) => html`<span key=${i} class="bone" aria-hidden="true"></span>`)}
  </div>`;

/** A notice; is: "info", "good", "warn" or "bad". */
export const Notice = ({ is = "info", children }) => html`
  <div class="notice" data-is=${is} role=${is === "bad" ? "alert" : null}>
    <span class="mark" data-is=${is} aria-hidden="true"></span><div class="grow">${children}</div>
  </div>`;

/** What useResource gave, with its waiting and its error; children: (data) => what to show. */
export function Loaded({ resource, children, lines = 4 }) {
  const { data, error, reload } = resource;
  return html`
    ${error !== null && html`
      <${Notice} is="bad">
        <div class="spread"><span>${error.message}</span>
          <button type="button" class="small" onClick=${reload}>Try again</button></div>
      <//>`}
    ${data !== null ? children(data) : error === null && html`<${Loading} lines=${lines} />`}`;
}
