import type { Instant, Milliseconds } from '../../src/kernel/time.js';
import { SECOND } from '../../src/kernel/time.js';
import type { Verdict } from '../../src/rules/respond.js';
import { isWanting } from '../../src/rules/respond.js';
import type { Subject } from '../../src/sending/subjects.js';
import { subjectKey } from '../../src/sending/subjects.js';
import type { ActiveBlocks } from './active-blocks.js';
import type { BlockLedger } from './block-ledger.js';
import type { Exemptions } from './exemptions.js';
import { asSender } from './exemptions.js';

/** A sender that a rule has tripped on, and that nothing stops. */
export interface Unstopped {
  readonly subject: Subject;
  readonly rule: string;
  /** When it tripped. */
  readonly at: Instant;
  /** `observe`: rules only observed then; `detector`: no detector has acted on it. */
  readonly why: 'observe' | 'detector';
}

interface Known {
  readonly ledger: BlockLedger;
  readonly activeBlocks: ActiveBlocks;
  readonly exemptions: Exemptions;
}

/** A detector answers sooner, however far away its store is. */
const ANSWERED_WITHIN: Milliseconds = 10 * SECOND;

/**
 * The senders over a limit of a rule that is to block or propose, who are not blocked, proposed or exempt, and have not been so
 * since. First those that no detector has acted on; each sender once.
 *
 * @param unanswered the verdicts that no event has answered
 */
export function unstopped(known: Known, unanswered: readonly Verdict[], now: Instant): readonly Unstopped[] {
  const found = new Map<string, Unstopped>();
  const consider = (one: Unstopped): void => {
    const key = subjectKey(one.subject);
    if (!found.has(key) && !isSettled(known, one, now)) found.set(key, one);
  };
  for (const { kind, mode, rule, subject, at } of unanswered) {
    if (kind !== 'act' || mode !== 'enforce' || at + ANSWERED_WITHIN > now) continue;
    if (isWanting({ kind, mode, rule, at }, now)) consider({ subject, rule: rule.id, at, why: 'detector' });
  }
  // Where only observing is wanted, it makes no difference whether a detector has recorded it.
  for (const { kind, mode, rule, subject, at } of unanswered) {
    const isObserved = kind === 'act' && mode === 'observe' && rule.then !== 'observe';
    if (isObserved && at + rule.window > now) consider({ subject, rule: rule.id, at, why: 'observe' });
  }
  for (const { subject, action, evidence } of known.ledger.observed.newest()) {
    const { rule, window, lastAt: at } = evidence;
    if (action !== 'observe' && at + window > now) consider({ subject, rule, at, why: 'observe' });
  }
  return [...found.values()];
}

/** Whether something stops it, or did so since, or somebody has decided. */
function isSettled(
  { ledger, activeBlocks, exemptions }: Known,
  { subject, at }: Unstopped,
  now: Instant,
): boolean {
  return (
    ledger.endOn(subject) >= at ||
    activeBlocks.find(asSender(subject), now) !== undefined ||
    exemptions.covering(subject, now) !== undefined
  );
}
