import type { Logger } from 'pino';
import { SendVolume } from '../projections/send-volume.js';
import { newId } from './ids.js';
import type { RecordedEvent } from './kernel/events.js';
import type { Clock, Instant } from './kernel/time.js';
import type { ReadModels } from './read-models.js';
import type { Verdict } from './rules/verdict.js';
import type { MessageAccepted } from './sending/events.js';
import type { Subject } from './sending/subjects.js';
import { subjectKey } from './sending/subjects.js';

export interface ContainmentOptions {
  readonly models: ReadModels;
  readonly clock: Clock;
  readonly log: Logger;
  /** Whether the shared store is away, so that nobody else acts. */
  readonly away: () => boolean;
}

/**
 * What an SMTP node does for itself while the store is away: it goes on counting what it sees with its own eyes,
 * under the last rules it knew, and refuses who trips a blocking one. Nothing of it is recorded: once the store is
 * back, the sends that waited are delivered, and the detectors decide on all of them.
 */
export class LocalContainment {
  readonly #options: ContainmentOptions;
  readonly #volume = new SendVolume();
  readonly #held = new Map<string, Subject>();

  constructor(options: ContainmentOptions) {
    this.#options = options;
  }

  /** Subjects that only this node refuses. */
  get held(): number {
    return this.#held.size;
  }

  /** Follows the rules, and the releases that empty windows. */
  follow(event: RecordedEvent): void {
    if (event.type !== 'MessageAccepted') this.#volume.apply(event);
  }

  /** Counts a message that this node has accepted; what it trips is refused at once where the store is away. */
  sent(data: MessageAccepted): void {
    const { models, clock, away } = this.#options;
    const at = clock.now();
    const envelope = { id: data.transaction, at, recordedAt: at, by: 'smtp:local', stream: '', revision: 0 };
    const verdicts = this.#volume.apply({
      ...envelope,
      type: 'MessageAccepted',
      data,
      position: models.position,
    });
    if (away()) for (const verdict of verdicts) this.#hold(verdict, at);
  }

  /** The store is back and its events are folded: whoever is to stay blocked is so by now. */
  letGo(): void {
    for (const subject of this.#held.values()) this.#options.models.activeBlocks.withdraw(subject);
    this.#held.clear();
  }

  #hold({ kind, mode, rule, subject, evidence }: Verdict, now: Instant): void {
    const { models, log } = this.#options;
    if (kind !== 'act' || mode !== 'enforce' || rule.then !== 'block') return;
    if (models.exemptions.covering(subject, now) !== undefined) return;
    const { max } = models.sendVolume.rules.maxAutomaticBlocks;
    if (this.#held.size >= max) {
      log.error({ subject, rule: rule.id }, 'the store is away and too many are held already: not refused');
      return;
    }
    const until = rule.for === null ? null : now + rule.for;
    const { direction, refuse: refusal } = rule;
    models.activeBlocks.anticipate(subject, {
      id: newId(),
      ...subject,
      direction,
      until,
      refusal,
      byRule: true,
    });
    this.#held.set(subjectKey(subject), subject);
    log.warn(
      { subject, rule: rule.id },
      `refused by this node alone, the store being away: ${evidence.sentence}`,
    );
  }
}
