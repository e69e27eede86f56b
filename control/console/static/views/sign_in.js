// Who are you? With the token that was printed at the start, or at the organisation's own door.

import { html, useEffect, useId, useRef, useState } from "../preact.js";
import { ApiError } from "../api.js";
import { Notice } from "../parts/empty.js";
import { Icon } from "../parts/icon.js";

/** `methods`: "token" and "oidc", as the server takes them; `message`: why one has to sign in again. */
export function SignIn({ methods, oidcUrl, message, signIn }) {
  const [said, setSaid] = useState(message);
  const [isBusy, setBusy] = useState(false);
  const field = useRef();
  const helpId = useId();
  useEffect(() => setSaid(message), [message]);
  useEffect(() => {
    document.title = "Sign in · mixminus";
    field.current?.focus();
  }, []);

  const submit = async (event) => {
    event.preventDefault();
    const token = field.current.value.trim();
    if (token === "" || isBusy) return;
    setBusy(true);
    setSaid(null);
    try {
      await signIn(tokenIn(token));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setSaid(error.message);
      setBusy(false);
      field.current.select();
      field.current.focus();
    }
  };

  return html`
    <main class="sign-in">
      <div class="sign-in-card">
        <img src="/console/static/icon.svg" alt="" width="44" height="44" />
        <h1>mixminus console</h1>
        <p class="quiet">Live calls, their media and the engine behind them.</p>
        ${said !== null && html`<${Notice} is="bad">${said}<//>`}
        ${methods.includes("oidc") && html`
          <a class="button primary" href=${oidcUrl ?? "/console/api/oidc/start"}>
            <${Icon} name="person" />Sign in with your organisation</a>`}
        ${methods.includes("oidc") && methods.includes("token") && html`
          <p class="or quiet"><span>or</span></p>`}
        ${methods.includes("token") && html`
          <form class="stack" onSubmit=${submit}>
            <div class="field">
              <label for="token">Token</label>
              <input id="token" ref=${field} type="password" autocomplete="current-password" spellcheck="false"
                     autocapitalize="off" required maxlength="4096" aria-describedby=${helpId}
                     aria-invalid=${said !== null} />
              <small id=${helpId}>The server prints an address with it when it starts; the whole address
                will do, too. The token stays in this tab.</small>
            </div>
            <button type="submit" class=${methods.includes("oidc") ? "" : "primary"} aria-disabled=${isBusy}>
              ${isBusy ? "Signing in …" : "Sign in"}</button>
          </form>`}
      </div>
    </main>`;
}

/** Take the token out of the printed address, when that was pasted as a whole. */
function tokenIn(text) {
  const at = text.indexOf("#token=");
  return at < 0 ? text : new URLSearchParams(text.slice(at + 1)).get("token");
}
