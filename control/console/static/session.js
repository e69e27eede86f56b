// Who is signed in. The token stays in this tab, and never in an address that is sent or kept.

const TOKEN = "mixminus-console-token";

let token = null;
let refused = () => {};

/** Take the token of the printed address (`#token=`), or the one kept from before a reload. */
export function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given === null) {
    token = read();
  } else {
    keepToken(given);
    // Before anything else: neither the history nor a copied address has it from now on.
    history.replaceState(null, "", location.pathname + location.search + "#/");
  }
  return token;
}

export const currentToken = () => token;

/** Keep *given* for this tab; null forgets it. */
export function keepToken(given) {
  token = given;
  try {
    if (given === null) sessionStorage.removeItem(TOKEN);
    else sessionStorage.setItem(TOKEN, given);
  } catch (error) {
    if (error.name !== "SecurityError" && error.name !== "QuotaExceededError") throw error;
  }
}

/** Call *handler* with a message when the server no longer takes who we are. */
export function onRefused(handler) {
  refused = handler;
}

export function signOutBecause(message) {
  keepToken(null);
  refused(message);
}

function read() {
  try {
    return sessionStorage.getItem(TOKEN);
  } catch (error) {
    if (error.name === "SecurityError") return null; // Storage is switched off: sign in each time.
    throw error;
  }
}
