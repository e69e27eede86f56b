// Addresses within the page: `#/calls/<id>/events?kind=state`. The server has one page, whatever is shown.

import { useEffect, useState } from "./preact.js";

/** Return the address of a view: each part is escaped, so an id may hold anything. */
export function href(...parts) {
  return "#/" + parts.map(encodeURIComponent).join("/");
}

export function go(...parts) {
  location.hash = href(...parts);
}

/** Set or remove (null) what stands after the `?`, without a new entry in the history. */
export function setQuery(changes) {
  const { path, query } = read();
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") query.delete(name);
    else query.set(name, value);
  }
  const words = query.toString();
  history.replaceState(null, "", href(...path) + (words && `?${words}`));
  dispatchEvent(new HashChangeEvent("hashchange"));
}

/** The view that is asked for: {path: ["calls", id, tab], query: URLSearchParams}. */
export function useRoute() {
  const [route, setRoute] = useState(read);
  useEffect(() => {
    const changed = () => setRoute(read());
    addEventListener("hashchange", changed);
    changed();
    return () => removeEventListener("hashchange", changed);
  }, []);
  return route;
}

function read() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  return { path: path.split("/").filter(Boolean).map(decode), query: new URLSearchParams(query) };
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch (error) {
    if (error instanceof URIError) return part; // Typed by hand: shown as "not found", no crash.
    throw error;
  }
}
