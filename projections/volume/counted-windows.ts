import { SUMS, isSum } from '../../src/rules/model.js';
import type { Baseline, Rule, Sum } from '../../src/rules/model.js';
import type { Verdict } from '../../src/rules/respond.js';
import type { Milliseconds } from '../../src/kernel/time.js';
import { peakName } from '../../src/sending/day-summary.js';
import type { MailDirection, SubjectType } from '../../src/sending/subjects.js';

/** What windows add up: the sums that rules name, and refused attempts for rules that renew while trying. */
export type SumOrAttempts = Sum | 'attempts';

/** Their order gives each its place. */
export const HELD: readonly SumOrAttempts[] = [...SUMS, 'attempts'];

const PLACES = new Map(HELD.map((count, place) => [count, place]));

/** What one event adds, by the place of the sum. One is filled anew for each event: a send costs no object. */
export class Amounts {
  readonly values = new Float64Array(HELD.length);
  /** One bit a sum that is not zero. */
  mask = 0;

  clear(): void {
    this.values.fill(0);
    this.mask = 0;
  }

  /** Leaves out what is no number above zero, as only a damaged event has it. */
  set(count: SumOrAttempts, amount: number): void {
    if (!(amount > 0)) return;
    const index = PLACES.get(count)!;
    this.values[index] = Math.min(amount, Number.MAX_SAFE_INTEGER);
    this.mask |= 1 << index;
  }
}

/** How many of the largest messages a watch leaves out. */
export type LeftOut = 0 | 1 | 2;

/** Somebody who looks at a window: a rule, or a rule that asks of each account of a domain whether it has turned. */
export interface Watch {
  readonly rule: Rule;
  /** Place among the watches of this subject type: indexes what a row remembers of it. */
  readonly index: number;
  readonly kind: Verdict['kind'] | 'turn';
  readonly leaveOut: LeftOut;
  readonly limit: number;
  readonly baseline: Baseline | undefined;
  /** Which peaks its baseline follows. */
  readonly peak: string;
}

/** What is kept of each day for profiles: how much a window held, the largest messages left out or not. */
export interface Peak {
  readonly name: string;
  readonly leaveOut: LeftOut;
  /** Whether a limit follows it. */
  readonly followed: boolean;
}

/** One sliding window that every subject of a type has. */
export interface Window {
  /** Place of its sum among those held. */
  readonly count: number;
  readonly window: Milliseconds;
  readonly direction: MailDirection;
  readonly wide: boolean;
  /** The lowest limit of those who watch it. */
  readonly least: number;
  readonly watches: readonly Watch[];
  /** How many of its largest messages it tells apart. */
  readonly largest: LeftOut;
  readonly peaks: readonly Peak[];
}

/** Limits are tripled at times: 16 bits must hold that in one bucket. */
const NARROW_LIMIT = 21_845;

/** Whether two windows hold the same, in cells of whatever width. */
export function isSame(
  a: Pick<Window, 'count' | 'window' | 'direction'>,
  b: Pick<Window, 'count' | 'window' | 'direction'>,
): boolean {
  return a.count === b.count && a.window === b.window && a.direction === b.direction;
}

/** The windows that mail of a direction goes to, and the sums that they hold as bits. */
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
 * What a rule counts apart, and as which rule. Mail that arrives is by anybody who gives a name: it counts for itself, and
 * what it trips refuses nothing but mail that arrives. Of an account there is none, and nor is there of what is held
 * against those who send.
 */
function sidesOf(type: SubjectType, rule: Rule): readonly { rule: Rule; direction: MailDirection }[] {
  const { direction, count } = rule;
  if (direction !== 'all') return [{ rule, direction }];
  const sent = { rule, direction: 'outbound' } as const;
  if (type === 'account' || count === 'bounces' || count === 'authFailures') return [sent];
  return [sent, { rule: { ...rule, direction: 'inbound' }, direction: 'inbound' }];
}

/** The direction whose windows a rule looks into: see {@link sidesOf}. */
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
    // Baselines are those of who sends: of what comes in there are none.
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
      if (type !== 'account') continue;
      const { turned } = rule;
      const draft = need(turned!.count, turned!.window, direction);
      const { baseline } = turned!;
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
      // Rows live as long as a window holds something: so what is told apart for so long needs one.
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

/** What the shares that a rule asks for are shares of. */
function sharesOf({ when, score }: Rule): readonly Sum[] {
  return [when, ...(score?.signals ?? [])].flatMap((each) =>
    each?.share === undefined ? [] : [each.share.of],
  );
}

function isProfiled(type: SubjectType): boolean {
  return type === 'account' || type === 'domain';
}
