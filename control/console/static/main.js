// The beginning: who is there, and which view they want.

import { html, render, useCallback, useEffect, useState } from "./preact.js";
import { ApiError, getSession, post } from "./api.js";
import { Frame } from "./frame.js";
import { startLive, stopLive } from "./live.js";
import { currentToken, keepToken, onRefused, takeToken } from "./session.js";
import { update } from "./store.js";
import { applyTheme } from "./theme.js";
import { SignIn } from "./views/sign_in.js";

const METHODS = ["token"];

function App() {
  const [phase, setPhase] = useState({ name: "asking" });

  const leave = useCallback((message = null, methods = METHODS, oidcUrl = null) => {
    stopLive();
    setPhase((old) => ({
      name: "out", message,
      methods: old.methods ?? methods, oidcUrl: oidcUrl ?? old.oidcUrl ?? null,
    }));
  }, []);

  const enter = useCallback((session) => {
    update({ session });
    startLive();
    setPhase({ name: "in", methods: session.methods, oidcUrl: session.oidcUrl });
  }, []);

  /** Sign in with what there is; a token that is refused is forgotten, and said so. */
  const begin = useCallback(async (message = null) => {
    try {
      const session = await getSession();
      if (session.signedIn) enter(session);
      else leave(message, session.methods, session.oidcUrl);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 401 && currentToken() !== null) {
        keepToken(null);
        await begin(error.message);
      } else {
        leave(error.message);
      }
    }
  }, []);

  useEffect(() => {
    onRefused((message) => leave(message));
    const came = () => {
      const fragment = new URLSearchParams(location.hash.slice(1));
      const failed = fragment.get("error");
      const isGiven = fragment.has("token");
      if (isGiven) takeToken();
      if (failed !== null) history.replaceState(null, "", "#/");
      if (isGiven || failed !== null) begin(failed);
    };
    addEventListener("hashchange", came);
    const failed = new URLSearchParams(location.hash.slice(1)).get("error");
    takeToken();
    if (failed !== null) history.replaceState(null, "", "#/");
    begin(failed);
    return () => removeEventListener("hashchange", came);
  }, []);

  const signIn = async (token) => {
    const session = await getSession(token);
    if (!session.signedIn) throw new ApiError(401, "unauthenticated", "This token does not sign in here.");
    keepToken(token);
    enter(session);
  };
  const signOut = async () => {
    try {
      await post("session/end");
    } catch (error) {
      // Gone is gone, for this page: a server that is not there keeps nobody from leaving.
      if (!(error instanceof ApiError)) throw error;
    }
    keepToken(null);
    leave();
  };

  if (phase.name === "in") return html`<${Frame} onSignOut=${signOut} />`;
  if (phase.name === "out") {
    const { methods, oidcUrl, message } = phase;
    return html`<${SignIn} methods=${methods} oidcUrl=${oidcUrl} message=${message} signIn=${signIn} />`;
  }
  return html`<p class="asking quiet" role="status">One moment …</p>`;
}

applyTheme();
render(html`<${App} />`, document.getElementById("app"));
