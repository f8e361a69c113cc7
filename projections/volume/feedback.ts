import type { BlockEvent, Evidence } from '../../src/blocks/events.js';
import type { RecordedEvent } from '../../src/kernel/events.js';
import type { Instant } from '../../src/kernel/time.js';
import { isSum } from '../../src/rules/model.js';
import { dayOf, peakName } from '../../src/sending/day-summary.js';
import { effectiveAt } from '../../src/sending/events.js';
import { domainOf } from '../../src/sending/identity.js';
import type { Subject } from '../../src/sending/subjects.js';
import type { LeastPeak } from '../baselines/learning.js';
import type { SenderProfiles } from '../baselines/sender-profiles.js';
import type { FeedbackContext, JudgedThrough } from './subject-volumes.js';
import type { Newcomers } from './newcomers.js';
import { forgetNewcomers } from './newcomers.js';
import type { Outbreaks } from './outbreak.js';

export type FeedbackState = readonly (readonly [block: string, subject: Subject])[];

/**
 * A block cuts a run short: its sender would have gone on, to about twice as much. A dismissal cuts the count short:
 * the windows start from zero, and no day shows the run's total.
 */
const CUT_SHORT = 2;

/**
 * The effect of blocks, proposals and their ends on counts: a block uses up its evidence, and contained mail does not
 * count for baselines; a release or a dismissal empties the windows; a false positive is learnt.
 */
export class Feedback {
  readonly #profiles: SenderProfiles;
  readonly #outbreaks: Outbreaks;
  readonly #newcomers: Newcomers;
  /** Proposals and blocks by id: their closing events name nothing else. */
  readonly #subjects = new Map<string, Subject>();

  constructor(profiles: SenderProfiles, outbreaks: Outbreaks, newcomers: Newcomers) {
    this.#profiles = profiles;
    this.#outbreaks = outbreaks;
    this.#newcomers = newcomers;
  }

  /** The subject of an open block or proposal. */
  subjectOf(block: string): Subject | undefined {
    return this.#subjects.get(block);
  }

  apply(event: RecordedEvent & BlockEvent, judged: FeedbackContext): void {
    switch (event.type) {
      case 'BlockProposed':
        this.#subjects.set(event.data.block, event.data.subject);
        return;
      case 'BlockImposed': {
        const { block, subject, evidence } = event.data;
        this.#subjects.set(block, subject);
        this.#imposed(block, subject, evidence, effectiveAt(event), judged);
        return;
      }
      case 'BlockReleased':
      case 'ProposalDismissed': {
        const { block } = event.data;
        const subject = this.#subjects.get(block);
        this.#subjects.delete(block);
        if (subject === undefined) return;
        const by = event.type === 'BlockReleased' ? 'release' : 'dismissal';
        const { falsePositive = false, evidence } = event.data;
        if (falsePositive) {
          this.#profiles.pardon(subject, block, this.#cutShort(evidence));
          for (const account of newcomersOf(evidence)) this.#profiles.pardon(account, block);
        }
        const { position } = event;
        this.#forget(subject, { by, falsePositive, at: effectiveAt(event), position }, judged);
        return;
      }
      case 'BlockExpired':
      case 'ProposalLapsed':
        this.#subjects.delete(event.data.block);
        return;
      case 'ProposalApproved':
      case 'BlockExtended':
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

  /** The opposite of {@link restore}. */
  dump(): FeedbackState {
    return [...this.#subjects];
  }

  /** Takes over what {@link dump} gave. */
  restore(state: FeedbackState): void {
    for (const [block, subject] of state) this.#subjects.set(block, subject);
  }

  #imposed(
    block: string,
    subject: Subject,
    evidence: Evidence | undefined,
    at: Instant,
    { rules, volumes }: FeedbackContext,
  ): void {
    // A person's block rests upon no evidence.
    if (evidence !== undefined) volumes[subject.type].contain(subject.value, at);
    if (subject.type === 'account') this.#outbreaks.forget(subject.value);
    const by = rules.rules.find((rule) => rule.id === evidence?.rule);
    // A rule with `teaches` says "too much for now", not "wrong".
    if (by?.teaches === true) return;
    const since = evidence === undefined ? at : evidence.lastAt - evidence.window;
    this.#profiles.contain(subject, block, dayOf(since));
    // Else the thief's place would be known to them from tomorrow on.
    for (const account of newcomersOf(evidence)) this.#profiles.contain(account, block, dayOf(since));
  }

  /** Sends up to here no longer count: neither for the subject nor, if it is an account, for its domain. */
  #forget(subject: Subject, judgement: JudgedThrough, judged: FeedbackContext): void {
    const { volumes } = judged;
    const domain = subject.type === 'account' ? domainOf(subject.value) : undefined;
    if (domain !== undefined) volumes.domain.subtract(domain, volumes.account, subject.value);
    volumes[subject.type].forget(subject.value, judgement);
    forgetNewcomers(this.#newcomers, subject, judged);
    if (subject.type !== 'account') return;
    this.#outbreaks.forget(subject.value);
    this.#newcomers.forget(subject.value);
  }

  /** What the tripped window would have reached; undefined if none has peaks. */
  #cutShort(evidence: Evidence | undefined): LeastPeak | undefined {
    if (evidence === undefined || !isSum(evidence.count)) return undefined;
    const { count, window, leaveOut = 0, observed, lastAt } = evidence;
    return { day: dayOf(lastAt), peak: peakName(count, leaveOut, window), value: CUT_SHORT * observed };
  }
}

function newcomersOf(evidence: Evidence | undefined): readonly Subject[] {
  return evidence?.accounts?.map((value) => ({ type: 'account', value })) ?? [];
}
