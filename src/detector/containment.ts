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
  /** What senders usually do; undefined as long as that is not known here. */
  readonly baselines: () => Baselines | undefined;
}

/**
 * What an SMTP node does for itself while the store is away: it goes on counting what it sees with its own eyes,
 * under the last rules and by the last baselines that it knew, and refuses who trips a blocking one. Nothing of it is recorded:
 * once the store is back, the sends that waited are delivered, and the detectors decide on all of them.
 *
 * As long as it knows no baselines it is like a young installation to it, in which nobody is known: rules that follow baselines
 * refuse nobody, and the fixed limits hold.
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

  /** Senders that have a day here that is not summarised. */
  get days(): number {
    return this.#volume.profiles.sizes.open;
  }

  /**
   * Follows the rules, the releases that empty windows, and what is decided on those that are held; and the summaries, by
   * which the days are over that it has noted of whom it saw.
   */
  follow(event: RecordedEvent): void {
    if (isBlockEvent(event)) {
      // From here on the record says who is refused: a release that follows must work here as everywhere.
      if (event.type === 'BlockImposed' || event.type === 'ExemptionGranted')
        this.#release(event.data.subject);
    } else if (event.type !== 'RulesChanged' && event.type !== 'SenderDaySummarised') return;
    this.#volume.apply(event);
  }

  /** Begins with the rules, and what people have judged, of read models that begin anew, or with a snapshot. */
  adopt(): void {
    const { models, baselines } = this.#options;
    const { sendVolume, overrides } = models;
    this.#volume = new SendVolume(overrides, baselines);
    this.#volume.restoreRules(sendVolume.dump());
    this.#held.clear();
  }

  /** Counts what this node has seen itself; what it trips is refused at once where the store is away. */
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
        // It is recorded by now: what goes wrong in counting it must not look like a failure to record.
        log.error({ type: event.type, error: messageOf(error) }, 'an event could not be counted here');
      }
    }
  }

  /** The store is back and its events are folded: who is to stay blocked is blocked by now. */
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
    // What has gone on is refused by now, unless too many were.
    const isHeld = this.#held.has(subjectKey(subject));
    if (kind === 'beyond' && (isHeld || held < maxAutomaticBlocks.max)) return;
    if (!mayBlock(verdict, held, maxAutomaticBlocks)) {
      log.error({ rule: rule.id, subject }, 'the store is away and too many are held already: not refused');
      return;
    }
    const until = rule.for === null ? null : now + rule.for;
    const { direction, refuse: refusal } = rule;
    models.refusing.anticipate(subject, {
      id: newId(),
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
