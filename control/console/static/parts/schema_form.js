// Fields for what a JSON Schema describes: a plugin's parameters.

import { html, memo, useEffect, useId, useMemo, useState } from "../preact.js";
import { parameterName } from "./parameters.js";

/**
 * `schema`: of an object; `values`: what is in force; `onChange(name, value)`: a field was changed, to a
 * value that the schema's type allows. What somebody is typing stays until they leave the field.
 */
export const SchemaForm = memo(({ schema, values, onChange, label }) => {
  const fields = useMemo(() => fieldsOf(schema, values), [schema, values]);
  if (fields.length === 0) return html`<p class="quiet small-text">It has no parameters.</p>`;
  return html`
    <div class="schema-form" role="group" aria-label=${label}>
      ${fields.map((field) => html`
        <${Field} key=${field.name} field=${field} value=${values[field.name] ?? field.default} onChange=${onChange} />`)}
    </div>`;
});

/** [{name, title, unit, help, kind, choices, least, most, step, canBeNull, default}]; parameters without a schema, too. */
function fieldsOf(schema, values) {
  const properties = schema?.properties ?? {};
  const required = schema?.required ?? [];
  const described = Object.entries(properties).map(([name, given]) => ({
    ...fieldOf(resolved(given, schema)), ...titleOf(name, given.title), name, isRequired: required.includes(name),
  }));
  const others = Object.entries(values ?? {})
    .filter(([name]) => !(name in properties))
    .map(([name, value]) => ({ ...fieldOf({ type: typeOf(value) }), ...titleOf(name), name, isRequired: false }));
  return [...described, ...others];
}

/** A title that somebody wrote; the one that is made of the name says less than the name does. */
function titleOf(name, given = null) {
  const isMade = given === null || given.toLowerCase().replaceAll(" ", "_") === name.toLowerCase();
  return isMade ? parameterName(name) : { title: given, unit: "" };
}

function fieldOf(schema) {
  const options = schema.anyOf ?? schema.oneOf ?? [schema];
  const one = options.find((option) => option.type !== "null") ?? {};
  const least = one.minimum ?? (one.exclusiveMinimum === undefined ? null : one.exclusiveMinimum);
  const most = one.maximum ?? (one.exclusiveMaximum === undefined ? null : one.exclusiveMaximum);
  const choices = one.enum ?? (one.const === undefined ? null : [one.const]);
  return {
    help: schema.description ?? null,
    default: schema.default ?? null,
    canBeNull: options.some((option) => option.type === "null"),
    kind: choices !== null ? "choice" : KINDS[one.type] ?? "json",
    isWhole: one.type === "integer",
    choices, least, most,
  };
}

const KINDS = { number: "number", integer: "number", boolean: "switch", string: "text" };

function typeOf(value) {
  if (typeof value === "number") return "number";
  if (typeof value === "boolean") return "boolean";
  return typeof value === "string" ? "string" : "object";
}

/** Follow a `$ref` into the schema's own definitions. */
function resolved(given, schema) {
  const reference = given.$ref ?? given.allOf?.[0]?.$ref;
  if (reference === undefined) return given;
  const found = reference.replace(/^#\//, "").split("/").reduce((at, part) => at?.[part], schema);
  return { ...found, ...given };
}

function Field({ field, value, onChange }) {
  const id = useId();
  const title = field.unit === "" ? field.title : `${field.title} (${field.unit})`;
  const helpId = field.help === null ? null : `${id}-help`;
  const Control = CONTROLS[field.kind];
  const set = (next) => onChange(field.name, next);
  if (field.kind === "switch") {
    return html`
      <label class="check schema-check">
        <input type="checkbox" checked=${value === true} aria-describedby=${helpId}
               onChange=${(event) => set(event.target.checked)} />
        <span>${title}${field.help !== null && html` <span id=${helpId} class="quiet">${field.help}</span>`}</span>
      </label>`;
  }
  return html`
    <div class="field">
      <label for=${id}>${title}</label>
      <${Control} id=${id} helpId=${helpId} field=${field} value=${value} set=${set} />
      ${field.help !== null && html`<small id=${helpId}>${field.help}</small>`}
    </div>`;
}

// ---- numbers -----------------------------------------------------------------------------------------

/** A slider where both ends are known, and the number itself. */
function NumberField({ id, helpId, field, value, set }) {
  const [draft, setDraft] = useState(null);
  const [isWrong, setWrong] = useState(false);
  const { least, most, isWhole } = field;
  const hasRange = least !== null && most !== null;
  const shown = draft ?? (value === null || value === undefined ? "" : String(value));
  const give = (text) => {
    const number = text.trim() === "" && field.canBeNull ? null : Number(text);
    const isFine = number === null || (text.trim() !== "" && Number.isFinite(number)
      && (least === null || number >= least) && (most === null || number <= most)
      && (!isWhole || Number.isInteger(number)));
    setWrong(!isFine);
    if (isFine) set(number);
    return isFine;
  };
  const typed = (event) => setDraft(event.target.value);
  const left = () => {
    if (draft !== null && (draft === String(value ?? "") || give(draft))) setDraft(null);
  };
  const entered = (event) => {
    if (event.key === "Enter") {
      event.preventDefault();
      left();
    }
  };
  const slid = (event) => {
    setDraft(null);
    setWrong(false);
    set(Number(event.target.value));
  };
  const step = isWhole ? 1 : stepOf(least, most);
  return html`
    <div class=${hasRange ? "schema-number" : ""}>
      ${hasRange && html`
        <input type="range" min=${least} max=${most} step=${step} value=${value ?? least} tabindex="0"
               aria-label=${field.title} onInput=${slid} />`}
      <input id=${id} type="text" inputmode="decimal" class="figure" autocomplete="off" aria-describedby=${helpId}
             aria-invalid=${isWrong} title=${rangeWords(field)} value=${shown}
             onInput=${typed} onBlur=${left} onKeyDown=${entered} />
    </div>`;
}

/** A hundredth of the range or so, as a round number. */
function stepOf(least, most) {
  if (least === null || most === null) return "any";
  return 10 ** Math.floor(Math.log10((most - least) / 100));
}

function rangeWords({ least, most, isWhole }) {
  const kind = isWhole ? "A whole number" : "A number";
  if (least !== null && most !== null) return `${kind} from ${least} to ${most}`;
  if (least !== null) return `${kind}, at least ${least}`;
  return most !== null ? `${kind}, at most ${most}` : kind;
}

// ---- others ------------------------------------------------------------------------------------------

const ChoiceField = ({ id, helpId, field, value, set }) => html`
  <select id=${id} aria-describedby=${helpId} value=${String(value)}
          onChange=${(event) => set(field.choices.find((choice) => String(choice) === event.target.value))}>
    ${field.choices.map((choice) => html`<option key=${String(choice)} value=${String(choice)}>${String(choice)}</option>`)}
  </select>`;

function TextField({ id, helpId, field, value, set }) {
  const [draft, setDraft] = useState(null);
  const left = () => {
    if (draft !== null && draft !== (value ?? "")) set(draft === "" && field.canBeNull ? null : draft);
    setDraft(null);
  };
  return html`
    <input id=${id} type="text" autocomplete="off" spellcheck="false" aria-describedby=${helpId}
           value=${draft ?? value ?? ""} onInput=${(event) => setDraft(event.target.value)} onBlur=${left}
           onKeyDown=${(event) => {
             if (event.key !== "Enter") return;
             event.preventDefault();
             left();
           }} />`;
}

function JsonField({ id, helpId, value, set }) {
  const [draft, setDraft] = useState(null);
  const [isWrong, setWrong] = useState(false);
  const shown = draft ?? JSON.stringify(value ?? null);
  useEffect(() => setWrong(false), [value]);
  const left = () => {
    if (draft === null) return;
    let given;
    try {
      given = JSON.parse(draft);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      setWrong(true);
      return;
    }
    setWrong(false);
    setDraft(null);
    set(given);
  };
  return html`
    <textarea id=${id} class="mono" rows="2" spellcheck="false" aria-describedby=${helpId} aria-invalid=${isWrong}
              title="JSON" value=${shown} onInput=${(event) => setDraft(event.target.value)} onBlur=${left}></textarea>`;
}

const CONTROLS = { number: NumberField, choice: ChoiceField, text: TextField, json: JsonField };

/** What a form begins with: the defaults of the schema. */
export function defaultsOf(schema) {
  const fields = fieldsOf(schema, {});
  return Object.fromEntries(fields.filter((field) => field.default !== null).map((field) => [field.name, field.default]));
}
