import { COUNTS } from '../src/rules/model.js';
import type { Count, Rule } from '../src/rules/model.js';
import type { Verdict } from '../src/rules/verdict.js';
import type { Milliseconds } from '../src/kernel/time.js';
import type { Direction, MailDirection, SubjectType } from '../src/sending/subjects.js';
import { directionsMeet } from '../src/sending/subjects.js';

/** What windows hold: the counts that rules name, and refused attempts for rules that renew while trying. */
export type CountOrAttempts = Count | 'attempts';

/** Their order gives each its place. */
export const HELD: readonly CountOrAttempts[] = [...COUNTS, 'attempts'];

/** What one event adds, by the place of the count. One is filled anew for each event: a send costs no object. */
export class Amounts {
  readonly values = new Float64Array(HELD.length);
  /** One bit a count that is not zero. */
  mask = 0;

  clear(): void {
    this.values.fill(0);
    this.mask = 0;
  }

  /** Leaves out what is no number above zero, as only a damaged event has it. */
  set(count: CountOrAttempts, amount: number): void {
    if (!(amount > 0)) return;
    const index = HELD.indexOf(count);
    this.values[index] = Math.min(amount, Number.MAX_SAFE_INTEGER);
    this.mask |= 1 << index;
  }
}

/** A rule that looks at a window. */
export interface Watch {
  readonly rule: Rule;
  /** Place among the rules of this subject type: indexes what a row remembers of it. */
  readonly index: number;
  readonly kind: Verdict['kind'];
}

/** One sliding window that every subject of a type has. */
export interface Window {
  /** Place of its count among those held. */
  readonly count: number;
  readonly window: Milliseconds;
  readonly direction: Direction;
  readonly wide: boolean;
  /** The lowest limit of those who watch it. */
  readonly least: number;
  readonly watches: readonly Watch[];
}

/** Limits are tripled at times: 16 bits must hold that in one bucket. */
const NARROW_LIMIT = 21_845;

/** Whether two windows hold the same, in cells of whatever width. */
export function isSame(a: Window, b: Window): boolean {
  return a.count === b.count && a.window === b.window && a.direction === b.direction;
}

/** The columns that mail of a direction goes to, and the counts that they hold as bits. */
export function planOf(
  windows: readonly Window[],
  direction: MailDirection,
): { columns: readonly number[]; mask: number } {
  const columns = windows.flatMap((window, column) =>
    directionsMeet(window.direction, direction) ? [column] : [],
  );
  return { columns, mask: columns.reduce((mask, column) => mask | (1 << windows[column]!.count), 0) };
}

/** The windows that the rules need for one subject type: rules that count the same share one. */
export function windowsOf(type: SubjectType, rules: readonly Rule[]): readonly Window[] {
  const windows: { -readonly [Key in keyof Window]: Window[Key] }[] = [];
  let index = 0;
  const need = (rule: Rule, counted: CountOrAttempts, kind: Verdict['kind'] | undefined): void => {
    const { window, direction } = rule;
    const count = HELD.indexOf(counted);
    let found = windows.find((other) => isSame(other, { ...other, count, window, direction }));
    if (found === undefined) {
      windows.push((found = { count, window, direction, wide: false, least: Infinity, watches: [] }));
    }
    found.wide ||= rule.count === 'bytes' || rule.limit > NARROW_LIMIT;
    if (kind === undefined) return;
    found.watches = [...found.watches, { rule, index: index++, kind }];
    found.least = Math.min(found.least, rule.limit);
  };
  for (const rule of rules) {
    if (rule.per === type) {
      need(rule, rule.count, 'act');
      if (rule.renewWhileTrying && rule.for !== null) need(rule, 'attempts', 'renew');
    } else if (type === 'account' && rule.per === 'domain') {
      // Kept so that a released account's sends can be taken out of its domain's windows.
      need(rule, rule.count, undefined);
    }
  }
  return windows;
}
