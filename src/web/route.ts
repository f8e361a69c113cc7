import { useCallback, useMemo, useSyncExternalStore } from 'react';

/**
 * The place within the page is the part of the URL after `#`. Browsers do not send it: no proxy's log holds the address of
 * a sender, and the page works behind any prefix.
 */
const placeOf = (): string => location.hash.slice(1) || '/';
const pathNow = (): string => placeOf().split('?')[0]!;
/** For the router, which decodes what it is given: its parts are to be decoded once, when they are apart. */
const pathForRouter = (): string => pathNow().replaceAll('%', '%25');
const searchNow = (): string => placeOf().split('?')[1] ?? '';

function onChange(notify: () => void): () => void {
  addEventListener('hashchange', notify);
  return () => removeEventListener('hashchange', notify);
}

/** @param to a path, with or without `?` */
export function navigate(to: string, { replace = false }: { replace?: boolean } = {}): void {
  if (!replace) location.hash = to;
  else {
    history.replaceState(null, '', `#${to}`);
    dispatchEvent(new HashChangeEvent('hashchange'));
  }
}

/** For wouter's Router. */
export function useHashPath(): [string, typeof navigate] {
  return [useSyncExternalStore(onChange, pathForRouter), navigate];
}

export type Query = Readonly<Record<string, string | undefined>>;

/** The query of this place, and a function that changes some of it. An empty value leaves it. */
export function useQuery(): [Readonly<Record<string, string>>, (change: Query) => void] {
  const search = useSyncExternalStore(onChange, searchNow);
  const query = useMemo(() => Object.fromEntries(new URLSearchParams(search)), [search]);
  const change = useCallback((some: Query) => {
    const next = { ...Object.fromEntries(new URLSearchParams(searchNow())), ...some };
    navigate(pathNow() + searchOf(next), { replace: true });
  }, []);
  return [query, change];
}

export function searchOf(query: Query): string {
  const given = Object.entries(query).filter((pair): pair is [string, string] => Boolean(pair[1]));
  return given.length === 0 ? '' : `?${new URLSearchParams(given)}`;
}

/**
 * The past instant that the page shows, as ISO 8601; undefined for now, and where the place names no instant. It goes along
 * from screen to screen.
 */
export function useAt(): string | undefined {
  const [{ at }] = useQuery();
  return at === undefined || Number.isNaN(Date.parse(at)) ? undefined : at;
}

/** A path to another screen that keeps the past instant. */
export function useHref(): (path: string, query?: Query) => string {
  const at = useAt();
  return useCallback((path, query = {}) => path + searchOf({ ...query, at }), [at]);
}

/** Where a sender, and one block, is shown. */
export const senderPath = ({ type, value }: { type: string; value: string }): string =>
  `/senders/${type}/${encodeURIComponent(value)}`;
export const blockPath = (id: string): string => `/blocks/${id}`;

/** A part of a path as it was before it was encoded. */
export function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export const proposalPath = (id: string): string => `/proposals/${id}`;
