// Dialogs that begin something: a call, a meeting, a bot in a call.

import { html, useId, useMemo, useState } from "../preact.js";
import { act, path, post, useResource } from "../api.js";
import { Dialog } from "../parts/dialog.js";
import { Loaded, Notice } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";
import { toast } from "../parts/toast.js";
import { callBot, joinMeeting } from "../phone/telephone.js";
import { go } from "../router.js";
import { isOver, useStore } from "../store.js";

// ---- a call ------------------------------------------------------------------------------------------

const WAYS = {
  me: "I call a bot, with this page’s microphone",
  user: "A bot calls somebody",
  users: "A bot calls several people at once",
  phone: "A bot calls a telephone",
  joinUrl: "A bot joins a meeting by its link",
};

export function StartCall({ onClose }) {
  const bots = useResource("bots");
  const users = useResource("users");
  const both = useMemo(() => ({
    data: bots.data && users.data && { bots: bots.data.bots, users: users.data.users },
    error: bots.error ?? users.error,
    reload: () => {
      bots.reload();
      users.reload();
    },
  }), [bots, users]);
  return html`
    <${Dialog} title="Start a call" onClose=${onClose}>
      <${Loaded} resource=${both}>
        ${(data) => html`<${CallForm} bots=${data.bots} users=${data.users} onClose=${onClose} />`}
      <//>
    <//>`;
}

function CallForm({ bots, users, onClose }) {
  const callable = bots.filter((bot) => bot.canBeCalled && bot.appId !== null);
  const callers = bots.filter((bot) => bot.canCall);
  const joiners = bots.filter((bot) => bot.canJoin);
  const ways = Object.keys(WAYS).filter((way) => (
    way === "me" ? callable.length > 0 && users.length > 0
      : way === "user" || way === "users" ? callers.length > 0 && users.length > 0
        : way === "phone" ? callers.length > 0 : joiners.length > 0
  ));
  const [way, setWay] = useState(ways[0]);
  const able = way === "me" ? callable : way === "joinUrl" ? joiners : callers;
  const [botName, setBot] = useState(null);
  const bot = able.find((each) => each.name === botName) ?? able[0];
  const [to, setTo] = useState({ user: users[0]?.id ?? "", users: [], phone: "", joinUrl: "" });
  const set = (name) => (value) => setTo({ ...to, [name]: value });
  if (ways.length === 0) return html`<${Nobody} />`;

  const begin = async () => {
    if (way === "me") {
      onClose();
      await callBot(bot.appId, bot.name);
      return true;
    }
    if (way === "users" && to.users.length === 0) {
      toast("Choose whom to call.", "bad");
      return false;
    }
    const value = typeof to[way] === "string" ? to[way].trim() : to[way];
    return act(post("calls", { bot: bot.name, [way]: value }).then(({ id }) => {
      onClose();
      go("calls", id);
    }));
  };
  return html`
    <${Form} submit=${way === "joinUrl" ? "Join" : "Call"} onClose=${onClose} run=${begin}>
      <${Select} label="How" value=${way} set=${setWay} options=${ways.map((each) => [each, WAYS[each]])} />
      <${Select} label="Bot" value=${bot.name} set=${setBot} options=${able.map(({ name }) => [name, name])} />
      ${way === "user" && html`
        <${Select} label="Whom" value=${to.user} set=${set("user")} options=${users.map(userOption)} />`}
      ${way === "users" && html`<${People} users=${users} chosen=${to.users} set=${set("users")} />`}
      ${way === "phone" && html`
        <${Text} label="Number" value=${to.phone} set=${set("phone")} type="tel" placeholder="+15551234567" />`}
      ${way === "joinUrl" && html`
        <${Text} label="Join link" value=${to.joinUrl} set=${set("joinUrl")} type="url"
                 placeholder="https://teams.microsoft.com/…" />`}
    <//>`;
}

const userOption = (user) => [user.id, user.name + (user.isOnline ? "" : " (no device is signed in)")];

const Nobody = () => html`
  <${Notice} is="info">
    No bot can call or be called here. Start one beside the console: <code>mixminus dev --bot my_bot.py</code>.
  <//>`;

function People({ users, chosen, set }) {
  const toggle = (id) => set(chosen.includes(id) ? chosen.filter((each) => each !== id) : [...chosen, id]);
  return html`
    <fieldset class="choices">
      <legend class="label">Whom</legend>
      ${users.map((user) => html`
        <label key=${user.id} class="check">
          <input type="checkbox" checked=${chosen.includes(user.id)} onChange=${() => toggle(user.id)} />
          <span>${userOption(user)[1]}</span>
        </label>`)}
    </fieldset>`;
}

// ---- a meeting ---------------------------------------------------------------------------------------

export function StartMeeting({ onClose }) {
  const users = useResource("users");
  const [made, setMade] = useState(null);
  return html`
    <${Dialog} title=${made === null ? "Start a meeting" : "The meeting is there"} onClose=${onClose}>
      ${made === null
        ? html`<${Loaded} resource=${users}>
            ${(data) => html`<${MeetingForm} users=${data.users} onClose=${onClose} onMade=${setMade} />`}
          <//>`
        : html`<${Made} meeting=${made} onClose=${onClose} />`}
    <//>`;
}

function MeetingForm({ users, onClose, onMade }) {
  const [subject, setSubject] = useState("");
  const [organizer, setOrganizer] = useState(users[0]?.id ?? "");
  const make = () => {
    const wish = organizer === "" ? {} : { organizerId: organizer };
    return act(post("meetings", { subject: subject.trim(), ...wish }).then(onMade));
  };
  return html`
    <${Form} submit="Make it" onClose=${onClose} run=${make}>
      <${Text} label="Subject" value=${subject} set=${setSubject} maxlength="256" placeholder="Standup" />
      <${Select} label="Organizer" value=${organizer} set=${setOrganizer}
                 options=${users.map(({ id, name }) => [id, name])} />
    <//>`;
}

function Made({ meeting, onClose }) {
  const [isPlacing, setPlacing] = useState(false);
  const join = () => {
    onClose();
    joinMeeting({ threadId: meeting.id }, meeting.subject);
  };
  if (isPlacing) return html`<${PlaceForm} meetingUrl=${meeting.joinUrl} onClose=${onClose} />`;
  return html`
    <p class="wrap"><strong>${meeting.subject}</strong></p>
    <${CopyField} label="Join link" value=${meeting.joinUrl} />
    <div class="row dialog-end">
      <button type="button" onClick=${() => setPlacing(true)}><${Icon} name="bots" size="16" />Place a bot</button>
      <button type="button" class="primary" onClick=${join}>
        <${Icon} name="microphone" size="16" />Join with the microphone
      </button>
    </div>`;
}

function CopyField({ label, value }) {
  const id = useId();
  const copy = async (event) => {
    event.currentTarget.closest(".field").querySelector("input").select();
    try {
      await navigator.clipboard.writeText(value);
    } catch (error) {
      if (!(error instanceof DOMException) && !(error instanceof TypeError)) throw error;
      toast("The browser does not let the page copy: it is selected, copy it by hand.", "info");
      return;
    }
    toast("Copied", "good");
  };
  return html`
    <div class="field">
      <label for=${id}>${label}</label>
      <div class="with-button">
        <input id=${id} class="mono" readonly value=${value} onFocus=${(event) => event.target.select()} />
        <button type="button" onClick=${copy}><${Icon} name="copy" size="16" />Copy</button>
      </div>
    </div>`;
}

// ---- a bot -------------------------------------------------------------------------------------------

/** `botId`: the name of a bot that is chosen already; `callId`: the row it is placed in. */
export function PlaceBot({ botId = null, callId = null, onClose }) {
  return html`
    <${Dialog} title="Place a bot" onClose=${onClose}>
      <${PlaceForm} botId=${botId} callId=${callId} onClose=${onClose} />
    <//>`;
}

function PlaceForm({ botId = null, callId = null, meetingUrl = null, onClose }) {
  const bots = useResource("bots");
  const meetings = useResource(callId === null && meetingUrl === null ? "meetings" : null);
  const rows = useStore((state) => state.callList);
  const row = rows.find((each) => each.id === callId || each.callIds.includes(callId));
  const places = useMemo(() => {
    if (callId !== null) return [[`call ${callId}`, row?.title ?? "This call"]];
    if (meetingUrl !== null) return [[`url ${meetingUrl}`, "The new meeting"]];
    const live = rows.filter((each) => !isOver(each) && each.kind !== "stream");
    const idle = (meetings.data?.meetings ?? []).filter((meeting) => !meeting.isLive);
    return [
      ...live.map((each) => [`call ${each.id}`, `${each.title} (live)`]),
      ...idle.map((meeting) => [`url ${meeting.joinUrl}`, `${meeting.subject} (nobody is there yet)`]),
    ];
  }, [callId, meetingUrl, row?.title, rows, meetings.data]);
  const [chosenBot, setBot] = useState(botId);
  const [chosenPlace, setPlace] = useState(null);
  return html`
    <${Loaded} resource=${bots}>
      ${(data) => {
        const able = data.bots.filter((bot) => bot.canJoin || bot.canBeCalled);
        const bot = able.find((each) => each.name === chosenBot) ?? able[0];
        const place = places.find(([value]) => value === chosenPlace)?.[0] ?? places[0]?.[0];
        if (bot === undefined) return html`<${Nobody} />`;
        if (place === undefined) return html`<${Notice} is="info">There is no call and no meeting to place it in.<//>`;
        const [kind, where] = [place.slice(0, place.indexOf(" ")), place.slice(place.indexOf(" ") + 1)];
        const run = () => {
          const asked = kind === "call"
            ? post(path("calls", where, "bots"), { bot: bot.name })
            : post("calls", { bot: bot.name, joinUrl: where });
          return act(asked.then(onClose), { done: `${bot.name} is on its way` });
        };
        return html`
          <${Form} submit="Place it" onClose=${onClose} run=${run}>
            <${Select} label="Bot" value=${bot.name} set=${setBot} options=${able.map(({ name }) => [name, name])} />
            ${bot.description && html`<p class="quiet small-text wrap">${bot.description}</p>`}
            <${Select} label="Where" value=${place} set=${setPlace} options=${places} />
          <//>`;
      }}
    <//>`;
}

/** Ring somebody into a call that goes on. */
export function Invite({ callId, onClose }) {
  const users = useResource("users");
  const [chosen, choose] = useState(null);
  return html`
    <${Dialog} title="Ring somebody into the call" onClose=${onClose}>
      <${Loaded} resource=${users}>
        ${(data) => {
          const user = data.users.find((each) => each.id === chosen) ?? data.users[0];
          if (user === undefined) return html`<${Notice} is="info">The directory has no user.<//>`;
          const run = () => act(
            post(path("calls", callId, "people"), { user: user.id }).then(onClose),
            { done: `${user.name} is being rung` },
          );
          return html`
            <${Form} submit="Ring" onClose=${onClose} run=${run}>
              <${Select} label="Whom" value=${user.id} set=${choose} options=${data.users.map(userOption)} />
            <//>`;
        }}
      <//>
    <//>`;
}

// ---- forms -------------------------------------------------------------------------------------------

/** `run()` returns a promise; the form waits for it. */
function Form({ children, submit, run, onClose }) {
  const [isBusy, setBusy] = useState(false);
  const submitted = async (event) => {
    event.preventDefault();
    if (isBusy) return;
    setBusy(true);
    try {
      await run();
    } finally {
      setBusy(false);
    }
  };
  return html`
    <form class="stack" onSubmit=${submitted}>
      ${children}
      <div class="row dialog-end">
        <button type="button" class="ghost" onClick=${onClose}>Cancel</button>
        <button class="primary" aria-disabled=${isBusy} aria-busy=${isBusy}>${submit}</button>
      </div>
    </form>`;
}

/** `options`: [[value, words]]. */
function Select({ label, value, set, options }) {
  const id = useId();
  return html`
    <div class="field">
      <label for=${id}>${label}</label>
      <select id=${id} value=${value} onChange=${(event) => set(event.target.value)}>
        ${options.map(([each, words]) => html`<option key=${each} value=${each}>${words}</option>`)}
      </select>
    </div>`;
}

function Text({ label, value, set, ...properties }) {
  const id = useId();
  return html`
    <div class="field">
      <label for=${id}>${label}</label>
      <input id=${id} type="text" required autocomplete="off" spellcheck="false" maxlength="2048" ...${properties}
             value=${value} onInput=${(event) => set(event.target.value)} />
    </div>`;
}
