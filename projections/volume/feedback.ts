import type {
  BlockEvent,
  BlockImposed,
  BlockReleased,
  Evidence,
  ProposalDismissed,
} from '../../src/blocks/events.js';
import { restingUpon } from '../../src/blocks/events.js';
import type { RecordedEvent } from '../../src/kernel/events.js';
import type { Instant } from '../../src/kernel/time.js';
import type { VersionedRules } from '../../src/rules/model.js';
import { ceilingOf, isSum } from '../../src/rules/model.js';
import { dayOf, peakName } from '../../src/sending/day-summary.js';
import { effectiveAt } from '../../src/sending/events.js';
import { domainOf } from '../../src/sending/identity.js';
import type { Direction, MailDirection, Subject } from '../../src/sending/subjects.js';
import { directionsMeet, MAIL_DIRECTIONS } from '../../src/sending/subjects.js';
import type { LeastPeak } from '../baselines/learning.js';
import type { SenderProfiles } from '../baselines/sender-profiles.js';
import type { FeedbackContext, JudgedThrough } from './subject-volumes.js';
import type { Newcomers } from './newcomers.js';
import { forgetNewcomers } from './newcomers.js';
import type { Outbreaks } from './outbreak.js';

/** An open block or proposal. */
interface Open {
  readonly subject: Subject;
  /** The mail that it refuses, or would refuse. */
  readonly direction: Direction;
  /** Attempts after that say nothing of the run which was cut short. */
  readonly countedUntil: Instant;
  /** What the owner tried in vain until then. */
  readonly withheld: number;
  /** What a block rests upon: a judgement that older versions recorded may name refused attempts in its place. */
  readonly evidence?: Evidence | undefined;
  /** The accounts that came to its place, by all evidence that it ever had: what it names last may be others, or none. */
  readonly came: ReadonlySet<string>;
  /** Of a proposal about sent mail on which nobody has decided: when its first evidence began. */
  readonly proposed?: Instant;
}

/** A block or proposal that a person has decided upon. */
type Judged = Pick<ProposalDismissed, 'block' | 'evidence'> & Pick<BlockReleased, 'withheld'>;

export type FeedbackState = readonly (readonly [block: string, open: Open])[];

/**
 * A block cuts a run short: its sender would have gone on, to about twice as much at least. A dismissal cuts the count
 * short: the windows start from zero, and no day shows the run's total.
 */
const CUT_SHORT = 2;

const NOBODY: ReadonlySet<string> = new Set();

/**
 * The effect of blocks, proposals and their ends on counts: a block uses up its evidence, and contained mail does not
 * count for baselines; a release or a dismissal empties the windows; a false positive is learnt.
 */
export class Feedback {
  readonly #profiles: SenderProfiles;
  readonly #outbreaks: Outbreaks;
  readonly #newcomers: Newcomers;
  /** Proposals and blocks by id: their closing events name nothing else. */
  readonly #open = new Map<string, Open>();

  constructor(profiles: SenderProfiles, outbreaks: Outbreaks, newcomers: Newcomers) {
    this.#profiles = profiles;
    this.#outbreaks = outbreaks;
    this.#newcomers = newcomers;
  }

  /** The subject of an open block or proposal. */
  subjectOf(block: string): Subject | undefined {
    return this.#open.get(block)?.subject;
  }

  /** The owner of a blocked account tried so often, and was refused. */
  withheld(block: string, attempts: number, at: Instant): void {
    const open = this.#open.get(block);
    if (open === undefined || at > open.countedUntil) return;
    this.#open.set(block, { ...open, withheld: open.withheld + attempts });
  }

  /** How often the owner tried within one window of the rule after the block began; 0 if nobody knows. */
  withheldBy(block: string): number {
    return this.#open.get(block)?.withheld ?? 0;
  }

  /**
   * What the tripped window would have reached without a block or proposal that is called wrong; undefined if it has no peaks, or if
   * arriving mail tripped it, which says nothing of what its subject sends.
   */
  taughtBy(judged: Judged, { rules }: VersionedRules): LeastPeak | undefined {
    const { block, withheld } = judged;
    const evidence = this.#evidenceOf(judged);
    const direction = this.#open.get(block)?.direction ?? 'all';
    // A block of both directions may go by a rule on either.
    const by = rules.find(({ id }) => id === evidence?.rule);
    const isOfSent = directionsMeet(direction, 'outbound') && by?.direction !== 'inbound';
    return isOfSent ? cutShort(evidence, withheld) : undefined;
  }

  apply(event: RecordedEvent & BlockEvent, judged: FeedbackContext): void {
    switch (event.type) {
      case 'BlockProposed': {
        const { block, subject, direction, evidence } = event.data;
        const before = this.#open.get(block);
        const waits = { subject, direction, countedUntil: 0, withheld: 0, came: cameBy(evidence, before) };
        // No day will be contained by it: else each name that strangers forge would take a profile.
        if (!directionsMeet(direction, 'outbound')) {
          this.#open.set(block, waits);
          return;
        }
        const proposed = Math.min(before?.proposed ?? Infinity, beginOf(evidence));
        this.#open.set(block, { ...waits, proposed });
        for (const each of this.#concernedBy(block)) this.#profiles.propose(each, block);
        return;
      }
      case 'BlockImposed': {
        const { block, subject, evidence, direction } = event.data;
        const at = effectiveAt(event);
        this.#imposed({ block, subject, evidence, direction }, at, judged);
        const came = cameBy(evidence, this.#open.get(block));
        const begun = { subject, direction, came, ...attemptsFrom(at, evidence), evidence };
        // Of sent mail nothing is decided by a block of arriving mail, which may come to stop that too.
        const proposed = directionsMeet(direction, 'outbound') ? undefined : this.#open.get(block)?.proposed;
        if (proposed === undefined) this.#decided(block);
        this.#open.set(block, proposed === undefined ? begun : { ...begun, proposed });
        return;
      }
      case 'BlockExtended': {
        const { block, direction, evidence } = event.data;
        const open = this.#open.get(block);
        if (open === undefined) return;
        const { subject } = open;
        const added = addedBy(direction, open.direction);
        const at = effectiveAt(event);
        const came = cameBy(evidence, open);
        const rests = restingUpon(open.evidence, evidence);
        if (added === undefined) {
          // What it stops was contained when it began, but for those who are named only now.
          this.#contain(newcomersOf(evidence), { block, evidence }, at, judged);
          this.#open.set(block, { ...open, came, evidence: rests });
          return;
        }
        // Of this mail it is a block from now on.
        this.#imposed({ block, subject, evidence, direction: added }, at, judged);
        if (added === 'inbound') {
          this.#open.set(block, { ...open, direction, came, evidence: rests });
          return;
        }
        this.#decided(block);
        this.#open.set(block, { subject, direction, came, ...attemptsFrom(at, evidence), evidence: rests });
        return;
      }
      case 'BlockReleased':
      case 'ProposalDismissed': {
        const { block } = event.data;
        const open = this.#open.get(block);
        const evidence = this.#evidenceOf(event.data);
        const least = this.taughtBy(event.data, judged.rules);
        this.#decided(block);
        this.#open.delete(block);
        if (open === undefined) return;
        const { subject } = open;
        const by = event.type === 'BlockReleased' ? 'release' : 'dismissal';
        const { falsePositive = false } = event.data;
        const came = cameBy(evidence, open);
        if (falsePositive) {
          this.#profiles.pardon(subject, block, least);
          for (const account of accountsOf(came)) this.#profiles.pardon(account, block);
        }
        const judgement = { by, falsePositive, at: effectiveAt(event), position: event.position } as const;
        const ofNewcomers = came.size > 0;
        this.#forget(subject, ofNewcomers ? { ...judgement, ofNewcomers } : judgement, judged);
        return;
      }
      case 'BlockExpired':
      case 'ProposalLapsed': {
        const subject = this.subjectOf(event.data.block);
        this.#decided(event.data.block);
        this.#open.delete(event.data.block);
        if (subject !== undefined) judged.volumes[subject.type].resume(subject.value, effectiveAt(event));
        return;
      }
      case 'ProposalApproved':
      case 'BlockShortened':
      case 'ExemptionGranted':
      case 'ExemptionRevoked':
      case 'ExemptionApplied':
      case 'RuleObserved':
      case 'HeldMailDecided':
      case 'HookRan':
        return;
    }
  }

  #evidenceOf({ block, evidence }: Judged): Evidence | undefined {
    return restingUpon(this.#open.get(block)?.evidence, evidence);
  }

  /** The opposite of {@link restore}. */
  dump(): FeedbackState {
    return [...this.#open];
  }

  /** Takes over what {@link dump} gave. */
  restore(state: FeedbackState): void {
    for (const [block, open] of state) this.#open.set(block, open);
  }

  #imposed(
    {
      block,
      subject,
      evidence,
      direction,
    }: Pick<BlockImposed, 'block' | 'subject' | 'evidence' | 'direction'>,
    at: Instant,
    context: FeedbackContext,
  ): void {
    const { volumes } = context;
    // A person's block rests upon no evidence.
    if (evidence !== undefined) volumes[subject.type].contain(subject.value, at, direction);
    // What is sent goes on, and only that is learnt: else strangers could keep anybody from being known.
    if (!directionsMeet(direction, 'outbound')) return;
    if (subject.type === 'account') this.#outbreaks.forget(subject.value);
    // Without the newcomers the thief's place would be known to them from tomorrow on.
    const concerned = [subject, ...newcomersOf(evidence), ...this.#concernedBy(block)];
    this.#contain(concerned, { block, evidence }, at, context);
  }

  /** What these did does not count for their baselines, since the evidence began. */
  #contain(
    concerned: readonly Subject[],
    { block, evidence }: Pick<BlockImposed, 'block' | 'evidence'>,
    at: Instant,
    { rules }: FeedbackContext,
  ): void {
    const by = rules.rules.find((rule) => rule.id === evidence?.rule);
    // A rule with `teaches` says "too much for now", not "wrong".
    if (by?.teaches === true) return;
    // A proposal that waited may have newer evidence than that of the day on which it was made.
    const proposed = this.#open.get(block)?.proposed ?? Infinity;
    const since = dayOf(Math.min(proposed, evidence === undefined ? at : beginOf(evidence)));
    for (const each of concerned) this.#profiles.contain(each, block, since, dayOf(at));
  }

  /** Whom a proposal concerns that waits. */
  #concernedBy(block: string): readonly Subject[] {
    const open = this.#open.get(block);
    return open?.proposed === undefined ? [] : [open.subject, ...accountsOf(open.came)];
  }

  /** A proposal no longer waits, if there was one. */
  #decided(block: string): void {
    for (const each of this.#concernedBy(block)) this.#profiles.decide(each, block);
  }

  /** Sends up to here no longer count: neither for the subject nor, if it is an account, for its domain. */
  #forget(subject: Subject, judgement: JudgedThrough, judged: FeedbackContext): void {
    const { volumes } = judged;
    const domain = subject.type === 'account' ? domainOf(subject.value) : undefined;
    if (domain !== undefined) volumes.domain.subtract(domain, volumes.account, subject.value);
    volumes[subject.type].forget(subject.value, judgement);
    forgetNewcomers(this.#newcomers, subject, judged);
    if (subject.type !== 'account') return;
    this.#outbreaks.forget(subject.value, judgement.falsePositive);
    this.#newcomers.forget(subject.value);
  }
}

/**
 * What a window would have reached; undefined if none has peaks. Each attempt of the owner was a message to
 * somebody; but a mail program may try one message many times, so attempts say no more than that it was far beyond.
 */
function cutShort(evidence: Evidence | undefined, withheld = 0): LeastPeak | undefined {
  if (evidence === undefined || !isSum(evidence.count)) return undefined;
  const { count, window, leaveOut = 0, observed, limit, lastAt } = evidence;
  const tried = count === 'messages' || count === 'recipients' ? observed + withheld : observed;
  const value = Math.max(CUT_SHORT * observed, Math.min(tried, ceilingOf(limit)));
  return { day: dayOf(lastAt), peak: peakName(count, leaveOut, window), value };
}

/** From a block of sent mail on, its owner's attempts count for one window of the rule. */
function attemptsFrom(at: Instant, evidence: Evidence | undefined): Pick<Open, 'countedUntil' | 'withheld'> {
  return { countedUntil: evidence === undefined ? 0 : at + evidence.window, withheld: 0 };
}

/** The mail that a block refuses now and did not before; undefined if there is none. */
function addedBy(direction: Direction, before: Direction): MailDirection | undefined {
  return MAIL_DIRECTIONS.find((mail) => directionsMeet(direction, mail) && !directionsMeet(before, mail));
}

function beginOf({ lastAt, window }: Evidence): Instant {
  return lastAt - window;
}

/** The accounts that came to a place, by this evidence or earlier. */
function cameBy(evidence: Evidence | undefined, before: Open | undefined): ReadonlySet<string> {
  const { accounts } = evidence ?? {};
  if (accounts === undefined) return before?.came ?? NOBODY;
  return new Set([...(before?.came ?? NOBODY), ...accounts]);
}

function newcomersOf(evidence: Evidence | undefined): readonly Subject[] {
  return accountsOf(evidence?.accounts ?? []);
}

function accountsOf(accounts: Iterable<string>): readonly Subject[] {
  return Array.from(accounts, (value) => ({ type: 'account', value }));
}
