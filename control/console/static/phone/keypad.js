// The keys of a telephone, pressed here or on the keyboard.

import { html, useEffect, useState } from "../preact.js";

const KEYS = [..."123456789*0#"];
const NAMES = { "*": "star", "#": "hash" };
const PRESSED_MS = 150;

let pressedByKeyboard = () => {};

/** `phone`: the Telephone. */
export function Keypad({ phone, canPress }) {
  const [pressed, setPressed] = useState(null);
  useEffect(() => {
    let timer = null;
    pressedByKeyboard = (key) => {
      clearTimeout(timer);
      setPressed(key);
      timer = setTimeout(() => setPressed(null), PRESSED_MS);
    };
    return () => {
      clearTimeout(timer);
      pressedByKeyboard = () => {};
    };
  }, []);
  return html`
    <div class="keypad" role="group" aria-label="Keypad; the keyboard works too">
      ${KEYS.map((key) => html`
        <button key=${key} type="button" class=${pressed === key ? "pressed" : ""} aria-label=${NAMES[key] ?? key}
                disabled=${!canPress} onClick=${() => phone.press(key)}>${key}</button>`)}
    </div>`;
}

/** Take keys of the keyboard during a call, wherever the keypad is shown or not, but never from a field. */
export function ByKeyboard({ phone }) {
  useEffect(() => {
    const typed = (event) => {
      if (event.repeat || event.ctrlKey || event.altKey || event.metaKey || !KEYS.includes(event.key)) return;
      if (event.target.closest?.("input, select, textarea, dialog, [contenteditable], [role=slider]")) return;
      if (phone?.canPress !== true) return;
      pressedByKeyboard(event.key);
      phone.press(event.key);
    };
    addEventListener("keydown", typed);
    return () => removeEventListener("keydown", typed);
  }, [phone]);
  return null;
}
