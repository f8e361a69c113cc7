import type { ReactNode } from 'react';
import { createContext, use, useSyncExternalStore } from 'react';
import { useAt } from './route.js';

const exact = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'long' });
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const day = new Intl.DateTimeFormat(undefined, {
  month: 'short',
  day: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
});
const toSecond = new Intl.DateTimeFormat(undefined, {
  month: 'short',
  day: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
});
const dated = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' });
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });

/** All that shows how long ago something was counts the same seconds. */
let now = Date.now();
const listeners = new Set<() => void>();
setInterval(() => {
  now = Date.now();
  for (const notify of listeners) notify();
}, 1000);

/** The time, every so many seconds anew. */
export function useNow(seconds = 1): number {
  const step = seconds * 1000;
  return useSyncExternalStore(
    (notify) => {
      listeners.add(notify);
      return () => listeners.delete(notify);
    },
    () => Math.floor(now / step) * step,
  );
}

const AsOf = createContext<number | undefined>(undefined);

/** Of a screen that shows a past instant: how long ago something was, and what was left, is counted from there. */
export function CountedFromThen({ children }: { children: ReactNode }) {
  const at = Date.parse(useAt() ?? '');
  return <AsOf value={Number.isNaN(at) ? undefined : at}>{children}</AsOf>;
}

/** `second`: as `short`, to the second, for evidence that is told apart by that. */
type Shape = 'short' | 'second' | 'ago' | 'left' | 'clock';

/** An instant in the viewer's zone; the exact one shows on hover, and is what a screen reader finds. */
export function Time({ at, as = 'short' }: { at: string | null | undefined; as?: Shape }) {
  useNow(as === 'ago' || as === 'left' ? 5 : 60);
  const then = use(AsOf);
  if (at === null || at === undefined) return <>–</>;
  const instant = Date.parse(at);
  return (
    <time dateTime={at} title={`${exact.format(instant)} (${at})`}>
      {textOf(instant, as, then)}
    </time>
  );
}

const INSTANT = /(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)/;

/** A sentence of the server, which writes instants in UTC: here they are in the viewer's zone, as all others on the page. */
export function InOwnZone({ text }: { text: string }) {
  return (
    <>
      {text
        .split(INSTANT)
        .map((part, index) => (index % 2 === 1 ? <Time key={index} at={part} as="second" /> : part))}
    </>
  );
}

function textOf(instant: number, as: Shape, then: number | undefined): string {
  if (as === 'clock') return clock.format(instant);
  const isNear = Math.abs(Date.now() - instant) < 300 * DAY;
  if (as === 'second') return (isNear ? toSecond : whole).format(instant);
  const isLater = as === 'ago' && then !== undefined && instant > then;
  if (as === 'short' || isLater) return isNear ? day.format(instant) : dated.format(instant);
  const from = then ?? Date.now();
  const away = as === 'ago' ? from - instant : instant - from;
  if (as === 'ago') return away < 5000 ? 'just now' : `${spanOf(coarse(away))} ago`;
  return away <= 0 ? 'over' : spanOf(away);
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Within the hour the seconds of a minute help nobody, and would change all the time. */
const coarse = (length: number): number =>
  length < MINUTE || length > HOUR ? length : length - (length % MINUTE);

/** A span of milliseconds in its two largest units, as `2h 5m`. */
export function spanOf(length: number): string {
  const units = [
    ['d', DAY],
    ['h', HOUR],
    ['m', MINUTE],
    ['s', SECOND],
  ] as const;
  const first = units.findIndex(([, unit]) => length >= unit);
  if (first < 0) return '0s';
  const [name, unit] = units[first]!;
  const whole = Math.floor(length / unit);
  const next = units[first + 1];
  const rest = next === undefined ? 0 : Math.floor((length - whole * unit) / next[1]);
  return rest === 0 || next === undefined ? `${whole}${name}` : `${whole}${name} ${rest}${next[0]}`;
}
