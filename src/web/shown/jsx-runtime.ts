import { Fragment, jsx as make, jsxs as makeSeveral } from 'react/jsx-runtime';
import { printableLines } from '../../kernel/printable.js';

/*
 * What JSX becomes. A stranger chooses names, and they come in sentences, titles and labels too: so every text passes here on its way
 * to the page. What changes the direction of writing or is not seen at all shows as U+FFFD, as on the command line. Links and what is
 * sent keep the name as it is.
 */

export type { JSX } from 'react/jsx-runtime';
export { Fragment };

type Make = typeof make;

export const jsx: Make = (type, props, key) => make(type, shownProps(type, props), key);
export const jsxs: Make = (type, props, key) => makeSeveral(type, shownProps(type, props), key);

/** Attributes that people see or hear. */
const SPOKEN = ['title', 'alt', 'placeholder', 'aria-label', 'aria-description', 'aria-valuetext'] as const;

type Props = Record<string, unknown>;

/** Those of elements alone: what a component is given comes to an element in the end. */
function shownProps(type: unknown, props: unknown): unknown {
  if (typeof type !== 'string' && type !== Fragment) return props;
  const { children } = props as Props;
  const shown: Props = {};
  const kept = shownOf(children);
  if (kept !== children) shown['children'] = kept;
  for (const name of SPOKEN) {
    const text = (props as Props)[name];
    if (typeof text === 'string') shown[name] = printableLines(text);
  }
  return Object.keys(shown).length === 0 ? props : { ...(props as Props), ...shown };
}

function shownOf(child: unknown): unknown {
  if (typeof child === 'string') return printableLines(child);
  return Array.isArray(child) ? child.map(shownOf) : child;
}
