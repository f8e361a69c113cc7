import type { Until } from '../blocks/events.js';
import type { Instant } from '../kernel/time.js';
import { formatInstant } from '../kernel/time.js';
import type { BacktestCase } from './cases.js';

/** One decision, as a line of JSON says it; a block is told once it is over, with the end that it came to have. */
export interface Decision {
  readonly time: string;
  readonly action: 'propose' | 'block' | 'release';
  readonly type: string;
  readonly value: string;
  /** Of a block: when it ends; null is never. */
  readonly until: string | null;
  readonly rule: string;
  readonly sentence: string;
}

/** What a case comes to, in the order in which it was decided. */
export function decisionsOf(one: BacktestCase): readonly Decision[] {
  const { subject, rule, evidence, proposedAt, blockedAt, until, ended, endedAt } = one;
  const decision = (action: Decision['action'], time: Instant, end: Until): Decision => ({
    time: formatInstant(time),
    action,
    ...{ type: subject.type, value: subject.value },
    until: end === null ? null : formatInstant(end),
    ...{ rule, sentence: evidence.sentence },
  });
  return [
    ...(proposedAt === null ? [] : [decision('propose', proposedAt, null)]),
    ...(blockedAt === null ? [] : [decision('block', blockedAt, until)]),
    ...(ended === 'released' ? [decision('release', endedAt!, null)] : []),
  ];
}
