import { escaped } from '../kernel/printable.js';

/** What stands at the beginning of a line, or is said there in words. */
const HEAD = new Set(['time', 'level', 'component', 'msg']);

/** A line of JSON as one for people: `2027-01-31T08:00:00.000Z info  rules: a rule tripped rule=burst …` (logfmt). */
export function asText(line: string): string {
  const record = JSON.parse(line) as Record<string, unknown>;
  const { time, level, component, msg } = record as Record<string, string | undefined>;
  const who = component === undefined ? '' : `${component}: `;
  const fields = Object.entries(record)
    .filter(([key]) => !HEAD.has(key))
    .map(([key, value]) => ` ${key}=${shown(value)}`);
  return `${escaped(`${time} ${(level ?? '').padEnd(5)} ${who}${msg ?? ''}${fields.join('')}`)}\n`;
}

function shown(value: unknown): string {
  if (typeof value !== 'string') return JSON.stringify(value);
  return /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
}
