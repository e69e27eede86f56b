// An address that leads nowhere.

import { html } from "../preact.js";
import { Empty } from "../parts/empty.js";
import { Page } from "../parts/page.js";
import { href } from "../router.js";

export const NotFoundView = () => html`
  <${Page} title="Nothing here">
    <section class="card"><${Empty} icon="search" title="There is no such view.">
      <p>The address may have been cut short.</p><a class="button" href=${href()}>To the overview</a>
    <//></section>
  <//>`;
