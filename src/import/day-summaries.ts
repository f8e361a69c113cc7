import { SendVolume } from '../../projections/volume/send-volume.js';
import type { Instant } from '../kernel/time.js';
import { DAY } from '../kernel/time.js';
import type { RulesChanged } from '../rules/model.js';
import { RULES_STREAM } from '../rules/model.js';
import type { Day, DaySummaryFact } from '../sending/day-summary.js';
import { dayOf } from '../sending/day-summary.js';
import type { PastEvent } from './past-event.js';

/**
 * What senders did on the days of the past, as it would have been summarised had it happened here: the very same
 * projection counts, in the time of the events, and what rules would have said of it is not asked.
 */
export class ImportedDaySummaries {
  readonly #volume = new SendVolume();
  #day: Day = -Infinity;
  #position = 0;

  /** @param rules whose windows are counted */
  constructor(rules: RulesChanged) {
    this.#fold({ type: 'RulesChanged', data: rules }, 0, RULES_STREAM);
  }

  /**
   * Counts one event; they come in the order of time.
   *
   * @returns the summaries of the days that are over by it
   */
  add({ at, event }: PastEvent): readonly DaySummaryFact[] {
    const day = dayOf(at);
    const over = day > this.#day ? this.over(day) : [];
    this.#day = Math.max(this.#day, day);
    this.#fold(event, at, '');
    return over;
  }

  /** The summaries of all days before this one that were not given yet. */
  over(before: Day): readonly DaySummaryFact[] {
    const facts = [...this.#volume.profiles.due(before)];
    // Folded like any other: the day is closed, and a sender's next window knows nothing of it any more.
    for (const fact of facts) this.#fold(fact, (fact.data.day + 1) * DAY, '');
    return facts;
  }

  #fold({ type, data }: { type: string; data: unknown }, at: Instant, stream: string): void {
    const position = ++this.#position;
    const envelope = {
      id: String(position),
      at,
      recordedAt: at,
      by: 'system:import',
      stream,
      revision: 0,
      position,
    };
    this.#volume.apply({ type, data, ...envelope });
  }
}
