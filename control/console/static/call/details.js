// What lies behind a call: operations, the media configuration decoded, and the resources as the API has them.

import { html, memo } from "../preact.js";
import { count, phrase, words } from "../format.js";
import { Empty, Notice } from "../parts/empty.js";
import { Json } from "../parts/json.js";
import { Card } from "../parts/page.js";
import { OperationStatus, sideName } from "../parts/state.js";
import { Clock } from "../parts/time.js";

export function Details({ call }) {
  return html`
    <${Operations} operations=${call.operations} />
    <div class="grid wide-grid">
      <${Blob} blob=${call.blob} />
      ${Object.entries(call.resources).map(([side, resource]) => html`
        <${Resource} key=${side} side=${side} resource=${resource} />`)}
    </div>
    <${About} row=${call.row} notifications=${call.notifications} join=${call.join} />`;
}

const Operations = memo(({ operations }) => html`
  <${Card} title="Operations" class="flush">
    ${operations.length === 0
      ? html`<${Empty} icon="events" title="No operation was asked for.">
          <p>Prompts, invitations, recordings and tones stand here.</p><//>`
      : html`<table class="table" aria-label="Operations">
          <thead><tr><th scope="col">Kind</th><th scope="col">Status</th><th scope="col">When</th>
            <th scope="col">Side</th><th scope="col">Reason</th><th scope="col">Id</th></tr></thead>
          <tbody>${operations.map((operation) => html`
            <tr key=${`${operation.side} ${operation.id}`}>
              <td class="cell-title"><span class="title-words strong">${words(operation.kind)}</span></td>
              <td data-label="Status"><${OperationStatus} status=${operation.status} /></td>
              <td data-label="When"><${Clock} at=${operation.at} /></td>
              <td data-label="Side">${sideName(operation.side)}</td>
              <td data-label="Reason" class="wrap">${operation.reason ?? "–"}</td>
              <td data-label="Id"><code class="small-text wrap">${operation.id}</code></td>
            </tr>`)}</tbody>
        </table>`}
  <//>`);

const Blob = memo(({ blob }) => html`
  <${Card} title="Media configuration, decoded">
    ${blob === null ? html`<${Empty} icon="key" title="This call has none.">
        <p>Only application hosted media has a blob.</p><//>` : html`
      <div class="stack">
        <${Notice}>The secret that proves the media link is left out.<//>
        <${Json} value=${blob} label="the media configuration" />
      </div>`}
  <//>`);

const Resource = memo(({ side, resource }) => html`
  <${Card} title=${`Call resource of the ${sideName(side).toLowerCase()}`}>
    <${Json} value=${resource} label="the call resource" /><//>`);

const About = memo(({ row, notifications, join }) => html`
  <${Card} title="Numbers">
    <dl class="facts">
      <div><dt>Id</dt><dd class="mono wrap">${row.id}</dd></div>
      ${row.callIds.map((id) => html`<div key=${id}><dt>Graph call</dt><dd class="mono wrap">${id}</dd></div>`)}
      ${Object.entries(notifications).map(([name, value]) => html`
        <div key=${name}><dt>Notifications: ${phrase(name)}</dt><dd class="figure">${count(value)}</dd></div>`)}
      ${join !== null && Object.entries(join).map(([name, value]) => html`
        <div key=${name}><dt>${words(name)}</dt><dd class="mono wrap">${String(value)}</dd></div>`)}
    </dl>
  <//>`);
