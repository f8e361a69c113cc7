import type { Block } from '../api.js';

type Evidence = NonNullable<Block['evidence']>;

const COUNTS: Readonly<Record<string, string>> = {
  ehlos: 'EHLO names',
  refusedRecipients: 'refused recipients',
  authFailures: 'failed logins',
};

/** What a rule counts, as a person says it. */
export const countName = (count: string): string =>
  COUNTS[count] ?? count.replace(/([A-Z])/g, (letter) => ` ${letter.toLowerCase()}`);

/** `101 of 100 recipients in 10m`. */
export const tripOf = ({ observed, limit, count, window }: Evidence): string =>
  `${observed.toLocaleString()} of ${limit.toLocaleString()} ${countName(count)} in ${window}`;

/** `7 × usual`, where it is known what is. */
export function timesUsual({ observed, habit }: Evidence): string | undefined {
  if (habit === undefined || habit.typical <= 0) return undefined;
  const times = observed / habit.typical;
  return `${times >= 10 ? Math.round(times).toLocaleString() : times.toFixed(1)} × usual`;
}

const UNITS = { w: 604_800_000, d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000 } as const;

/** Milliseconds of `1h30m`. */
export function lengthOf(span: string): number {
  let length = 0;
  for (const [, digits, unit] of span.matchAll(/(\d{1,9})([wdhms])/g))
    length += Number(digits) * UNITS[unit as keyof typeof UNITS];
  return length;
}

/** `1 message`, `2 messages`. */
export const plural = (count: number, one: string, many = `${one}s`): string =>
  `${count.toLocaleString()} ${count === 1 ? one : many}`;

/** So many bytes as a person reads them. */
export function bytesOf(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  const power = bytes < 1 ? 0 : Math.min(Math.floor(Math.log10(bytes) / 3), units.length - 1);
  const value = bytes / 1000 ** power;
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[power]}`;
}
