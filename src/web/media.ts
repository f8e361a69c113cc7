import { useCallback, useSyncExternalStore } from 'react';

/** Whether a media query matches, as `(min-width: 64rem)`. */
export function useMedia(query: string): boolean {
  const follow = useCallback(
    (notify: () => void) => {
      const list = matchMedia(query);
      list.addEventListener('change', notify);
      return () => list.removeEventListener('change', notify);
    },
    [query],
  );
  return useSyncExternalStore(follow, () => matchMedia(query).matches);
}
