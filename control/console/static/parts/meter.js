// A level meter: how loud somebody is, or what they hear.

import { html, memo, useLayoutEffect, useRef } from "../preact.js";
import { drawMeter, levelOf } from "../meters.js";

/**
 * `legKey`, of one leg, or `legKeys`, of the loudest of several; `side`: "in" is what a leg says, "out" what
 * it hears. Or `read`: a function that returns dBov, asked in each frame. `label` is read out.
 */
export const Meter = memo(({ legKey = null, legKeys = null, side = "in", read = null, label }) => {
  const element = useRef();
  const keys = legKeys === null ? legKey : legKeys.join("\n");
  useLayoutEffect(() => {
    const each = (keys ?? "").split("\n");
    const loudest = () => Math.max(...each.map((key) => levelOf(key, side)));
    return drawMeter(element.current, read ?? loudest, read !== null);
  }, [keys, side, read]);
  return html`
    <div class="meter" role="meter" aria-label=${label} aria-valuemin="-60" aria-valuemax="0"
         aria-valuenow="-60" ref=${element}>
      <div class="meter-cover"></div>
      <div class="meter-peak"></div>
    </div>`;
});
