// The user's token: it stays in this tab, and never in an address that is sent or kept.

const TOKEN = "mixminus.token";
const CALL = "mixminus.call";

/** The token that signs in at once, if there is one: from `#token=`, or kept from before a reload. */
export function takeToken() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const given = fragment.get("token");
  if (given === null) return read(TOKEN);
  // Before anything else: neither the history nor a copied address has it from now on.
  history.replaceState(null, "", location.pathname + location.search);
  return given;
}

export const keepToken = (token) => write(TOKEN, token);

/** The call that this tab was in before it was reloaded: {callId, title}, or null. */
export function keptCall() {
  try {
    return JSON.parse(read(CALL) ?? "null");
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

export const keepCall = (call) => write(CALL, call === null ? null : JSON.stringify(call));

function read(key) {
  try {
    return sessionStorage.getItem(key);
  } catch (error) {
    if (error.name === "SecurityError") return null; // Storage is switched off: sign in each time.
    throw error;
  }
}

function write(key, value) {
  try {
    if (value === null) sessionStorage.removeItem(key);
    else sessionStorage.setItem(key, value);
  } catch (error) {
    if (error.name !== "SecurityError" && error.name !== "QuotaExceededError") throw error;
  }
}
