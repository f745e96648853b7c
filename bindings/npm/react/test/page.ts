import { JSDOM } from 'jsdom';

/** A document for React to draw into. It must be there before React is imported. */
const { window } = new JSDOM('<!doctype html><div id="root"></div>');
for (const [name, value] of Object.entries({ window, document: window.document, navigator: window.navigator, IS_REACT_ACT_ENVIRONMENT: true })) {
  Object.defineProperty(globalThis, name, { value, configurable: true });
}

export const root = window.document.getElementById('root')!;
