// What stands around every view: navigation, how the engine is, theme, the way out, the page's own telephone.

import { html, memo, useEffect, useState } from "./preact.js";
import { percent } from "./format.js";
import { Icon } from "./parts/icon.js";
import { Health } from "./parts/state.js";
import { Toasts } from "./parts/toast.js";
import { PhoneDock } from "./phone/dock.js";
import { href, useRoute } from "./router.js";
import { isOver, useStore } from "./store.js";
import { THEMES, chooseTheme, currentTheme } from "./theme.js";
import { BotsView } from "./views/bots.js";
import { CallView } from "./views/call.js";
import { CallsView } from "./views/calls.js";
import { EventsView } from "./views/events.js";
import { MeetingsView } from "./views/meetings.js";
import { NotFoundView } from "./views/not_found.js";
import { OverviewView } from "./views/overview.js";
import { RecordingsView } from "./views/recordings.js";

const LOST_AFTER_MS = 1500;

const PLACES = [
  { id: null, name: "overview", title: "Overview", view: OverviewView },
  { id: "calls", name: "calls", title: "Calls", view: CallsView },
  { id: "meetings", name: "meetings", title: "Meetings", view: MeetingsView },
  { id: "bots", name: "bots", title: "Bots", view: BotsView },
  { id: "recordings", name: "recordings", title: "Recordings", view: RecordingsView },
  { id: "events", name: "events", title: "Event log", view: EventsView },
];

export function Frame({ onSignOut }) {
  const { path } = useRoute();
  const place = PLACES.find(({ id }) => id === (path[0] ?? null));
  return html`
    <a class="skip" href="#content" onClick=${skip}>Skip to the content</a>
    <div class="frame">
      <header class="side">
        <a class="brand" href=${href()}><img src="/console/static/icon.svg" alt="" width="28" height="28" />
          <span>mixminus</span></a>
        <${Navigation} current=${place?.name} />
        <div class="side-end">
          <${EngineState} />
          <${ThemeButton} />
          <button type="button" class="ghost side-button" onClick=${onSignOut} title="Sign out">
            <${Icon} name="leave" /><span class="side-words">Sign out</span>
          </button>
        </div>
      </header>
      <main id="content" tabindex="-1">
        <${LineState} />
        <${Content} place=${place} path=${path} />
      </main>
      <${PhoneDock} />
    </div>
    <${Toasts} />`;
}

function Content({ place, path }) {
  if (place === undefined) return html`<${NotFoundView} />`;
  if (place.id === "calls" && path.length > 1) {
    const [, id, tab] = path;
    return html`<${CallView} key=${id} id=${id} tab=${tab} />`;
  }
  return html`<${place.view} key=${place.name} />`;
}

/** A link to `#content` would be taken for an address of a view. */
function skip(event) {
  event.preventDefault();
  document.getElementById("content").focus();
}

const Navigation = memo(({ current }) => {
  const live = useStore((state) => state.callList.filter((row) => !isOver(row)).length);
  return html`
    <nav class="nav" aria-label="Views">
      ${PLACES.map(({ id, name, title }) => html`
        <a key=${name} href=${id === null ? href() : href(id)} aria-current=${name === current ? "page" : null}>
          <${Icon} name=${name} size="20" /><span>${title}</span>
          ${name === "calls" && live > 0 && html`<span class="badge figure">${live}
            <span class="visually-hidden"> live</span></span>`}
        </a>`)}
    </nav>`;
});

function EngineState() {
  const health = useStore((state) => state.engine?.health ?? null);
  const load = useStore((state) => (state.engine === null ? null : percent(state.engine.loadRatio)));
  if (health === null) return null;
  return html`<a class="engine-state" href=${href()}><${Health} name=${health} />
    <span class="quiet figure small-text"><span class="visually-hidden">Load </span>${load}</span></a>`;
}

const THEME_ICONS = { system: "system", light: "sun", dark: "moon" };

function ThemeButton() {
  const [theme, setTheme] = useState(currentTheme);
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  const choose = () => {
    chooseTheme(next);
    setTheme(next);
  };
  return html`
    <button type="button" class="ghost side-button" onClick=${choose} title=${`Theme: ${theme}`}
            aria-label=${`Theme: ${theme}. Change to ${next}`}>
      <${Icon} name=${THEME_ICONS[theme]} /><span class="side-words">Theme: ${theme}</span>
    </button>`;
}

/** Say that the line is lost, once it has been for a moment: what is shown is old then. */
function LineState() {
  const line = useStore((state) => state.line);
  const [isLate, setLate] = useState(false);
  useEffect(() => {
    setLate(false);
    if (line === "open") return undefined;
    const timer = setTimeout(() => setLate(true), LOST_AFTER_MS);
    return () => clearTimeout(timer);
  }, [line]);
  const isSaid = isLate && line !== "open";
  return html`<div role="status">${isSaid && html`
    <p class="notice line-lost" data-is="warn"><span class="mark" data-is="warn" aria-hidden="true"></span>
      <span>${line === "lost" ? "The connection to the server is lost. Trying again; what you see may be old."
        : "Connecting to the server …"}</span></p>`}</div>`;
}
