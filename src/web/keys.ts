import { useEffect, useRef } from 'react';

/** Those that go through a list, and may be held down. */
const HELD: readonly string[] = ['j', 'k'];

/**
 * A key of the whole page. It means nothing while someone types, or a dialog is open.
 *
 * @param act undefined while it does nothing: then it is left to what else has the same key
 */
export function useKey(key: string, act: (() => void) | undefined): void {
  const latest = useRef(act);
  latest.current = act;
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      if (event.key !== key || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented)
        return;
      // The next one that shows would be decided on by the same press.
      if (event.repeat && !HELD.includes(key)) return;
      const now = latest.current;
      if (now === undefined) return;
      const target = event.target as HTMLElement;
      if (target.closest('input:not([type=checkbox]), textarea, select, dialog') !== null) return;
      if (document.querySelector('dialog[open]') !== null) return;
      event.preventDefault();
      now();
    };
    addEventListener('keydown', press);
    return () => removeEventListener('keydown', press);
  }, [key]);
}
