import type { Logger } from 'pino';
import { SendVolume } from '../../projections/volume/send-volume.js';
import type { Baselines } from '../../projections/baselines/sender-profiles.js';
import { isBlockEvent } from '../blocks/events.js';
import { newId } from '../runtime/ids.js';
import { messageOf } from '../kernel/errors.js';
import type { NewEvent, RecordedEvent } from '../kernel/events.js';
import type { Clock, Instant } from '../kernel/time.js';
import type { ReadModels } from './read-models.js';
import type { Verdict } from '../rules/respond.js';
import { breakerOf, mayBlock } from '../rules/respond.js';
import type { Subject } from '../sending/subjects.js';
import { subjectKey } from '../sending/subjects.js';

export interface ContainmentOptions {
  readonly models: ReadModels;
  readonly clock: Clock;
  readonly log: Logger;
  /** Whether the shared store is away, so that nobody else acts. */
  readonly away: () => boolean;
  /** The senders' baselines; undefined until they are known here. */
  readonly baselines: () => Baselines | undefined;
}

/**
 * What an SMTP node does by itself while the store is away. It goes on counting what it sees, under the last rules and
 * baselines that it knew, and refuses a sender that trips a blocking rule. It records nothing: when the store is back,
 * the waiting sends are delivered, and the detectors decide on all of them.
 *
 * Until it knows baselines, it acts like a young installation: rules that follow baselines refuse nobody, and the fixed
 * limits hold.
 */
export class LocalContainment {
  readonly #options: ContainmentOptions;
  #volume: SendVolume;
  readonly #held = new Map<string, { readonly subject: Subject; readonly breaker: string }>();

  constructor(options: ContainmentOptions) {
    this.#options = options;
    this.#volume = new SendVolume(options.models.overrides, options.baselines);
  }

  /** Subjects that only this node refuses. */
  get held(): number {
    return this.#held.size;
  }

  /** Senders with a day here that is not summarised. */
  get days(): number {
    return this.#volume.profiles.sizes.open;
  }

  /**
   * Follows the rules, the releases that empty windows, the decisions on the subjects held here, and the summaries. A
   * summary ends a day that was noted here.
   */
  follow(event: RecordedEvent): void {
    if (isBlockEvent(event)) {
      // From now on the record says who is refused: a later release must work here as everywhere.
      if (event.type === 'BlockImposed' || event.type === 'ExemptionGranted')
        this.#release(event.data.subject);
    } else if (event.type !== 'RulesChanged' && event.type !== 'SenderDaySummarised') return;
    this.#volume.apply(event);
  }

  /** Begins with the rules and the feedback of read models that begin again, or with a snapshot. */
  adopt(): void {
    const { models, baselines } = this.#options;
    const { sendVolume, overrides } = models;
    this.#volume = new SendVolume(overrides, baselines);
    this.#volume.restoreRules(sendVolume.dump());
    this.#held.clear();
  }

  /** Counts what this node has seen itself. If the store is away, a sender that trips a rule is refused at once. */
  saw(stream: string, events: readonly NewEvent[]): void {
    const { models, clock, log, away } = this.#options;
    const recordedAt = clock.now();
    for (const event of events) {
      try {
        const verdicts = this.#volume.apply({
          ...event,
          stream,
          revision: 0,
          position: models.position,
          recordedAt,
        });
        if (away()) for (const verdict of verdicts) this.#hold(verdict, recordedAt);
      } catch (error) {
        // The event is recorded by now: a fault in counting it must not look like a failure to record.
        log.error({ type: event.type, error: messageOf(error) }, 'an event could not be counted here');
      }
    }
  }

  /** The store is back and its events are folded: the senders that stay blocked are blocked by now. */
  letGo(): void {
    for (const { subject } of [...this.#held.values()]) this.#release(subject);
  }

  #release(subject: Subject): void {
    if (this.#held.delete(subjectKey(subject))) this.#options.models.refusing.withdraw(subject);
  }

  #hold(verdict: Verdict, now: Instant): void {
    const { models, log } = this.#options;
    const { kind, mode, rule, subject, evidence } = verdict;
    if (kind === 'renew' || mode !== 'enforce' || rule.then !== 'block') return;
    if (models.exemptions.covering(subject, now) !== undefined) return;
    const breaker = breakerOf(subject, rule.count, rule.direction);
    let held = 0;
    for (const other of this.#held.values()) if (other.breaker === breaker) held++;
    const { maxAutomaticBlocks } = models.sendVolume.rules;
    // A sender that has gone on is refused by now, unless too many were.
    const isHeld = this.#held.has(subjectKey(subject));
    if (kind === 'beyond' && (isHeld || held < maxAutomaticBlocks.max)) return;
    if (!mayBlock(verdict, held, maxAutomaticBlocks)) {
      log.error({ rule: rule.id, subject }, 'the store is away and too many are held already: not refused');
      return;
    }
    const until = rule.for === null ? null : now + rule.for;
    const { direction, refuse: refusal } = rule;
    models.refusing.anticipate(subject, {
      // Where there is none yet, the block gets another id than this one, or never comes to be.
      id: models.ledger.caseOn(subject, now)?.id ?? newId(),
      ...subject,
      direction,
      until,
      refusal,
      byRule: true,
    });
    this.#held.set(subjectKey(subject), { subject, breaker });
    log.warn(
      { rule: rule.id, subject, sentence: evidence.sentence },
      'refused by this node alone, the store being away',
    );
  }
}
