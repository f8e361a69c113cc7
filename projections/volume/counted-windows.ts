import { SUMS, isSum } from '../../src/rules/model.js';
import type { Baseline, Rule, Sum } from '../../src/rules/model.js';
import type { Verdict } from '../../src/rules/respond.js';
import type { Milliseconds } from '../../src/kernel/time.js';
import { peakName } from '../../src/sending/day-summary.js';
import type { MailDirection, SubjectType } from '../../src/sending/subjects.js';

/** What windows sum up: the sums that rules name, and refused attempts for rules that renew while trying. */
export type SumOrAttempts = Sum | 'attempts';

/** Their order gives each its index. */
export const HELD: readonly SumOrAttempts[] = [...SUMS, 'attempts'];

const PLACES = new Map(HELD.map((count, place) => [count, place]));

/** What one event adds, by the place of the sum. One object is reused for all events: a send allocates none. */
export class Amounts {
  readonly values = new Float64Array(HELD.length);
  /** One bit a sum that is not zero. */
  mask = 0;

  clear(): void {
    this.values.fill(0);
    this.mask = 0;
  }

  /** Ignores what is no number above zero, as in a damaged event. */
  set(count: SumOrAttempts, amount: number): void {
    if (!(amount > 0)) return;
    const index = PLACES.get(count)!;
    this.values[index] = Math.min(amount, Number.MAX_SAFE_INTEGER);
    this.mask |= 1 << index;
  }
}

/** How many of the largest messages a watch leaves out. */
export type LeftOut = 0 | 1 | 2;

/** A user of a window: a rule, or a rule that checks whether each account of a domain has turned abnormal. */
export interface Watch {
  readonly rule: Rule;
  /** Index among the watches of this subject type, also in what a row remembers of it. */
  readonly index: number;
  readonly kind: Verdict['kind'] | 'turn';
  readonly leaveOut: LeftOut;
  readonly limit: number;
  readonly baseline: Baseline | undefined;
  /** The peaks that its baseline follows. */
  readonly peak: string;
}

/** A peak that is kept of each day for profiles: how much a window held, with or without the largest messages. */
export interface Peak {
  readonly name: string;
  readonly leaveOut: LeftOut;
  /** Whether a limit follows it. */
  readonly followed: boolean;
}

/** One sliding window that every subject of a type has. */
export interface Window {
  /** Index of its sum among those held. */
  readonly count: number;
  readonly window: Milliseconds;
  readonly direction: MailDirection;
  readonly wide: boolean;
  /** The lowest limit of its watches. */
  readonly least: number;
  readonly watches: readonly Watch[];
  /** How many of its largest messages it tells apart. */
  readonly largest: LeftOut;
  readonly peaks: readonly Peak[];
}

/** Limits are sometimes tripled: 16 bits must hold that in one bucket. */
const NARROW_LIMIT = 21_845;

/** Whether two windows hold the same, regardless of the width of their cells. */
export function isSame(
  a: Pick<Window, 'count' | 'window' | 'direction'>,
  b: Pick<Window, 'count' | 'window' | 'direction'>,
): boolean {
  return a.count === b.count && a.window === b.window && a.direction === b.direction;
}

/** The windows that mail of a direction goes to, and their sums as bits. */
export interface Plan {
  readonly windows: readonly number[];
  readonly mask: number;
}

export function planOf(windows: readonly Window[], direction: MailDirection): Plan {
  const chosen = windows.flatMap((window, index) => (window.direction === direction ? [index] : []));
  return { windows: chosen, mask: chosen.reduce((mask, index) => mask | (1 << windows[index]!.count), 0) };
}

type Draft = { -readonly [Key in keyof Window]: Window[Key] };

/**
 * The directions that a rule counts apart, and the rule for each. Anybody can send inbound mail under any name: it
 * counts separately, and what it trips refuses only inbound mail. Accounts have no inbound mail, and counts that are
 * held against senders have none either.
 */
function sidesOf(type: SubjectType, rule: Rule): readonly { rule: Rule; direction: MailDirection }[] {
  const { direction, count } = rule;
  if (direction !== 'all') return [{ rule, direction }];
  const sent = { rule, direction: 'outbound' } as const;
  if (type === 'account' || count === 'bounces' || count === 'authFailures') return [sent];
  return [sent, { rule: { ...rule, direction: 'inbound' }, direction: 'inbound' }];
}

/** The direction whose windows a rule uses: see {@link sidesOf}. */
export function countedBy({ direction }: Rule): MailDirection {
  return direction === 'inbound' ? 'inbound' : 'outbound';
}

/** The windows that the rules need for one subject type: rules that count the same share one. */
export function windowsOf(type: SubjectType, rules: readonly Rule[]): readonly Window[] {
  const windows: Draft[] = [];
  let index = 0;
  const need = (counted: SumOrAttempts, window: Milliseconds, direction: MailDirection): Draft => {
    const count = HELD.indexOf(counted);
    const wanted = { count, window, direction };
    const found = windows.find((other) => isSame(other, wanted));
    if (found !== undefined) return found;
    const made = { ...wanted, wide: false, least: Infinity, watches: [], largest: 0, peaks: [] } as const;
    windows.push({ ...made });
    return windows.at(-1)!;
  };
  const watch = (draft: Draft, each: Omit<Watch, 'index' | 'peak'>): void => {
    const sum = HELD[draft.count]!;
    draft.wide ||= sum === 'bytes' || Math.max(each.limit, each.baseline?.ceiling ?? 0) > NARROW_LIMIT;
    draft.largest = Math.max(draft.largest, each.leaveOut) as LeftOut;
    draft.least = Math.min(draft.least, each.limit);
    const peak = peakName(sum, each.leaveOut, draft.window);
    // Only senders have baselines: inbound mail has none.
    if (each.kind !== 'renew' && draft.direction === 'outbound' && isProfiled(type)) {
      const known = draft.peaks.find((other) => other.name === peak);
      const followed = each.baseline !== undefined || known?.followed === true;
      const others = draft.peaks.filter((other) => other !== known);
      draft.peaks = [...others, { name: peak, leaveOut: each.leaveOut, followed }];
    }
    draft.watches = [...draft.watches, { ...each, index: index++, peak }];
  };
  for (const { rule, direction } of rules.flatMap((each) => sidesOf(type, each))) {
    const { count, window } = rule;
    if (count === 'accounts') {
      const { turned } = rule;
      // A place is no row of any window.
      if (type !== 'account' || turned === undefined) continue;
      const draft = need(turned.count, turned.window, direction);
      const { baseline } = turned;
      watch(draft, {
        rule,
        kind: 'turn',
        leaveOut: 0,
        limit: Math.min(baseline.floor, baseline.start),
        baseline,
      });
    } else if (rule.per === type) {
      if (isSum(count)) {
        const { limit, baseline, leaveOut = 0 } = rule;
        watch(need(count, window, direction), { rule, kind: 'act', leaveOut, limit, baseline });
        if (rule.renewWhileTrying && rule.for !== null) {
          const attempts = need('attempts', window, direction);
          attempts.wide ||= rule.limit > NARROW_LIMIT;
          watch(attempts, { rule, kind: 'renew', leaveOut: 0, limit, baseline: undefined });
        }
      }
      // A row lives while a window holds something, so distinct values need a window of that length.
      if (!isSum(count)) need('messages', window, direction);
      for (const of of sharesOf(rule)) {
        need(of, window, direction);
        need('recipients', window, direction);
      }
    } else if (type === 'account' && rule.per === 'domain' && isSum(count)) {
      // Kept so that a released account's sends can be taken out of its domain's windows.
      need(count, window, direction).wide ||= rule.count === 'bytes' || rule.limit > NARROW_LIMIT;
    }
  }
  return windows;
}

/** The sums that a rule's shares refer to. */
function sharesOf({ when, score }: Rule): readonly Sum[] {
  return [when, ...(score?.signals ?? [])].flatMap((each) =>
    each?.share === undefined ? [] : [each.share.of],
  );
}

function isProfiled(type: SubjectType): boolean {
  return type === 'account' || type === 'domain';
}
