import { isPseudonym } from '../../src/kernel/pseudonym.js';
import type { Instant, Milliseconds } from '../../src/kernel/time.js';
import { SECOND } from '../../src/kernel/time.js';
import type { Action, RuleSet } from '../../src/rules/model.js';
import { FAR_BEYOND } from '../../src/rules/model.js';
import type { Verdict } from '../../src/rules/respond.js';
import { breakerOf, isWanting, mayBlock } from '../../src/rules/respond.js';
import type { Direction, MailDirection, Subject } from '../../src/sending/subjects.js';
import { subjectKey, trippedBy } from '../../src/sending/subjects.js';
import type { SendVolume } from '../volume/send-volume.js';
import type { ActiveBlock, ActiveBlocks } from './active-blocks.js';
import type { BlockLedger } from './block-ledger.js';
import type { Exemptions } from './exemptions.js';
import { asSender } from './exemptions.js';
import type { PastBlocks } from './past-blocks.js';
import type { AutomaticBlocks } from './rule-precision.js';

/** A sender that a rule has tripped on or that is blocked, and that nothing stops. */
export interface Unstopped {
  readonly subject: Subject;
  /** Undefined for a block without one. */
  readonly rule: string | undefined;
  /** When it tripped, or when mail last went past the block. */
  readonly at: Instant;
  /**
   * `observe`: rules only observed then; `direction`: the block that it has is of mail of the other direction; `detector`: no
   * detector has acted on it; `past`: mail goes past its block.
   */
  readonly why: 'observe' | 'direction' | 'detector' | 'past';
  /** The id of the block that mail goes past. */
  readonly block?: string;
}

interface Known {
  readonly ledger: BlockLedger;
  readonly activeBlocks: ActiveBlocks;
  readonly exemptions: Exemptions;
  readonly pastBlocks: PastBlocks;
  readonly automaticBlocks: AutomaticBlocks;
  readonly sendVolume: Pick<SendVolume, 'readings'> & {
    readonly rules: Pick<RuleSet, 'maxAutomaticBlocks' | 'rules'>;
  };
}

/** A detector answers sooner, however far away its store is. */
const ANSWERED_WITHIN: Milliseconds = 10 * SECOND;

/**
 * The senders over a limit of a rule in force that is to block or propose, who are not blocked, proposed or exempt, and have not been
 * so since; and those whose mail goes past their block. First those that no detector has acted on; each sender once.
 *
 * @param unanswered the verdicts that no event has answered
 */
export function unstopped(known: Known, unanswered: readonly Verdict[], now: Instant): readonly Unstopped[] {
  const found = new Map(undetected(known, unanswered, now).map((one) => [subjectKey(one.subject), one]));
  const consider = (
    one: Unstopped,
    action: Action,
    observed: number,
    direction: Direction | undefined,
  ): void => {
    const key = subjectKey(one.subject);
    if (found.has(key) || direction === undefined) return;
    if (isSettled(known, one, trippedBy(direction), now, () => action === 'propose')) return;
    if (isAllowed(known, one, observed, now)) return;
    const isBlocked = known.ledger.caseOn(one.subject, now)?.state === 'active';
    found.set(key, isBlocked ? { ...one, why: 'direction' } : one);
  };
  const directionOf = (rule: string): Direction | undefined =>
    known.sendVolume.rules.rules.find(({ id }) => id === rule)?.direction;
  // Where only observing is wanted, it makes no difference whether a detector has recorded it.
  for (const { kind, mode, rule, subject, at, evidence } of unanswered) {
    const isObserved = kind === 'act' && mode === 'observe' && rule.then !== 'observe';
    if (isObserved && at + rule.window > now)
      consider({ subject, rule: rule.id, at, why: 'observe' }, rule.then, evidence.observed, rule.direction);
  }
  for (const { subject, action, evidence, direction } of known.ledger.observed.newest()) {
    const { rule, window, lastAt: at, observed } = evidence;
    if (action !== 'observe' && at + window > now)
      consider({ subject, rule, at, why: 'observe' }, action, observed, direction ?? directionOf(rule));
  }
  for (const { block, lastAt: at } of known.pastBlocks.lately(now, known.activeBlocks)) {
    const subject = { type: block.type, value: block.value };
    const rule = known.ledger.ruleOf(block.id);
    found.set(subjectKey(subject), { subject, rule, at, why: 'past', block: block.id });
  }
  return [...found.values()];
}

/** Those of {@link unstopped} that no detector has acted on. */
export function undetected(known: Known, unanswered: readonly Verdict[], now: Instant): readonly Unstopped[] {
  const found = new Map<string, Unstopped>();
  for (const verdict of unanswered) {
    const { kind, mode, rule, subject, at } = verdict;
    if (kind !== 'act' || mode !== 'enforce' || at + ANSWERED_WITHIN > now || !isWanting(verdict, now))
      continue;
    const one: Unstopped = { subject, rule: rule.id, at, why: 'detector' };
    const key = subjectKey(subject);
    const mail = trippedBy(rule.direction);
    if (!found.has(key) && !isSettled(known, one, mail, now, () => onlyProposes(known, verdict)))
      found.set(key, one);
  }
  return [...found.values()];
}

/**
 * Whether something stops it, or did so since, or somebody has decided. A proposal that waits stops nobody: it settles what came
 * before it, and what would be proposed itself. Otherwise a thief has himself proposed, and then floods under its cover.
 *
 * @param mail what tripped: a block of the other direction does not stop it
 * @param onlyProposes whether a proposal is all that is to come of it
 */
function isSettled(
  { ledger, activeBlocks, exemptions }: Known,
  { subject, at }: Unstopped,
  mail: MailDirection,
  now: Instant,
  onlyProposes: () => boolean,
): boolean {
  const { decided, proposed } = ledger.answerOn(subject, mail);
  return (
    // Nobody sends by that name.
    isPseudonym(subject.value) ||
    decided >= at ||
    (proposed >= at && onlyProposes()) ||
    activeBlocks.find({ ...asSender(subject), direction: mail }, now, (block) => isOfAll(block, subject)) !==
      undefined ||
    exemptions.covering(subject, now) !== undefined
  );
}

/** Whether the rules in force allow what was observed: somebody has changed them since, or set an override. */
function isAllowed(
  { sendVolume }: Known,
  { subject, rule }: Unstopped,
  observed: number,
  now: Instant,
): boolean {
  if (!sendVolume.rules.rules.some(({ id, then }) => id === rule && then !== 'observe')) return true;
  // The limit of a rule that counts accounts is not of what one of them does.
  const reading = sendVolume
    .readings(subject, now)
    .find((one) => one.rule === rule && one.outbreak === undefined);
  // It may go on since, and what has tripped a rule counts for no other trip.
  return reading !== undefined && Math.max(observed, reading.inWindow ?? reading.observed) <= reading.limit;
}

/** Whether a block is of all that the subject is: one of the first network within it is found too. */
function isOfAll(block: ActiveBlock, { type, value }: Subject): boolean {
  return type !== 'ip' || prefixOf(block.value) <= prefixOf(value);
}

/** The length of the prefix; of an address more than any network has. */
function prefixOf(network: string): number {
  const slash = network.indexOf('/');
  return slash < 0 ? Infinity : Number(network.slice(slash + 1));
}

/**
 * Whether a detector proposes and does not block, as while the circuit breaker is open. Blocks that came later count too: a
 * detector that made these has acted on this verdict before.
 */
function onlyProposes({ automaticBlocks, sendVolume }: Known, verdict: Verdict): boolean {
  const { rule, subject, at } = verdict;
  if (rule.then !== 'block') return true;
  const { maxAutomaticBlocks } = sendVolume.rules;
  const { max, window } = maxAutomaticBlocks;
  const breaker = breakerOf(subject, rule.count, rule.direction);
  return !mayBlock(
    verdict,
    automaticBlocks.within(breaker, window, at, FAR_BEYOND * max),
    maxAutomaticBlocks,
  );
}
