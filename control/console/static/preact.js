// The one place that knows where the library is. No build step: these are plain modules.

import { Component, createContext, createElement, render } from "./vendor/preact.js";
import {
  useCallback, useContext, useEffect, useId, useLayoutEffect, useMemo, useRef, useState,
} from "./vendor/hooks.js";
import htm from "./vendor/htm.js";

export const html = htm.bind(createElement);

/** A component that is drawn again only when one of its properties is another (Object.is). */
export function memo(draw) {
  class Memo extends Component {
    shouldComponentUpdate(next) {
      const names = Object.keys(next);
      return names.length !== Object.keys(this.props).length
        || names.some((name) => !Object.is(next[name], this.props[name]));
    }

    render(properties) {
      return createElement(draw, properties);
    }
  }
  return Memo;
}

export {
  Component, createContext, render,
  useCallback, useContext, useEffect, useId, useLayoutEffect, useMemo, useRef, useState,
};
