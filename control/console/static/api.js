// Requests to /console/api, and what they bring into a view.

import { useCallback, useEffect, useRef, useState } from "./preact.js";
import { toast } from "./parts/toast.js";
import { currentToken, signOutBecause } from "./session.js";

const BASE = "/console/api/";

/** The server said no. `message` is meant for the person in front of the page. */
export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
  }
}

export const get = (path) => request("GET", path);
export const post = (path, body = {}) => request("POST", path, body);
export const put = (path, body = {}) => request("PUT", path, body);
export const patch = (path, body = {}) => request("PATCH", path, body);
export const del = (path) => request("DELETE", path, {});

/** Join the parts of a path, each escaped: `path("calls", id, "hangup")`. */
export const path = (...parts) => parts.map(encodeURIComponent).join("/");

/** Ask as whoever *token* is, without leaving the page when it is refused: for the sign-in view. */
export const getSession = (token = currentToken()) => request("GET", "session", undefined, token, false);

async function request(method, where, body, token = currentToken(), isFinal = true) {
  const headers = { Accept: "application/json" };
  if (token !== null) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(BASE + where, {
      method, headers, credentials: "same-origin", body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new ApiError(0, "unreachable", "The server does not answer. Is it still running?");
  }
  if (response.ok) return response.status === 204 ? null : response.json();
  const refused = await readError(response);
  if (response.status === 401 && isFinal) signOutBecause(refused.message);
  throw refused;
}

async function readError(response) {
  const { status } = response;
  let given = null;
  try {
    given = (await response.json()).error;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error; // A proxy's page, not ours: the status has to do.
  }
  return new ApiError(status, given?.code ?? "unknown", given?.message ?? `The server answered ${status}.`);
}

/** What a path gives: {data, error, isLoading, reload}. A new path starts anew; null asks for nothing. */
export function useResource(where) {
  const [state, setState] = useState({ where, data: null, error: null, isLoading: where !== null });
  const turn = useRef(0);
  const reload = useCallback(async () => {
    const mine = ++turn.current;
    if (where === null) return;
    setState((old) => (old.where === where
      ? { ...old, isLoading: true }
      : { where, data: null, error: null, isLoading: true }));
    let next;
    try {
      next = { where, data: await get(where), error: null, isLoading: false };
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      next = { error, isLoading: false };
    }
    // Of several requests the last one counts, whichever comes back last.
    if (mine === turn.current) setState((old) => ({ ...old, ...next }));
  }, [where]);
  useEffect(() => {
    reload();
    return () => {
      turn.current += 1;
    };
  }, [reload]);
  const current = state.where === where ? state : { data: null, error: null, isLoading: where !== null };
  return { ...current, reload };
}

/** Wait for what was asked, and say how it went. Returns whether it went well. */
export async function act(promise, { done = null } = {}) {
  try {
    await promise;
  } catch (error) {
    if (!(error instanceof ApiError)) {
      toast(`${error.name}: ${error.message}`, "bad");
      throw error;
    }
    if (error.status !== 401) toast(error.message, "bad");
    return false;
  }
  if (done !== null) toast(done, "good");
  return true;
}
