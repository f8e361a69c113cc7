import { idOf, summaryId } from '../runtime/ids.js';
import type { NewEvent } from '../kernel/events.js';
import type { Instant } from '../kernel/time.js';
import { DAY } from '../kernel/time.js';
import type { DaySummaryFact } from '../sending/day-summary.js';
import { dayOf, profileStream } from '../sending/day-summary.js';
import type { AuthEvent, SendEvent } from '../sending/events.js';
import { authStream, sendStream } from '../sending/events.js';
import { normalizeAddress } from '../sending/identity.js';
import { senderIdentity, sendStreamKey } from '../sending/subjects.js';
import type { Appender } from './appender.js';
import type { ImportedDaySummaries } from './day-summaries.js';
import type { PastEvent } from './past-event.js';
import type { Sink } from './sink.js';

/** Who signs what was imported. */
export const IMPORTER = 'system:import';

export interface HistoryOptions {
  readonly appender: Appender;
  readonly days: ImportedDaySummaries;
  /** What it was read from, which the events say: `postfix-log`. */
  readonly source: string;
  /** Days that are not over by then are not summarised. */
  readonly now: Instant;
}

/**
 * Makes past events part of the store: each as it would have been recorded had it happened here, marked as imported so that
 * no window counts it and no rule acts on it; and of each sender's days the summaries, which is where baselines come from.
 *
 * Ids follow from what happened: what was imported before is not written again.
 */
export class History implements Sink {
  readonly #options: HistoryOptions;

  constructor(options: HistoryOptions) {
    this.#options = options;
  }

  write(past: PastEvent): void {
    const { appender, days, source } = this.#options;
    const { stream, event } = recordOf(past, source);
    appender.put(stream, event);
    this.#summarise(days.add(past));
  }

  room(): Promise<void> | undefined {
    return this.#options.appender.room();
  }

  finish(): Promise<void> {
    const { appender, days, now } = this.#options;
    this.#summarise(days.over(dayOf(now)));
    return appender.finish();
  }

  #summarise(facts: readonly DaySummaryFact[]): void {
    const { appender } = this.#options;
    for (const { type, data } of facts) {
      const at = (data.day + 1) * DAY;
      appender.put(profileStream(data.subject), { id: summaryId(data), type, data, at, by: IMPORTER });
    }
  }
}

/** The event as the store takes it, and its stream. */
export function recordOf(
  { id, at, correlation, event }: PastEvent,
  source: string,
): { stream: string; event: NewEvent } {
  const recorded: NewEvent = {
    ...{ id: idOf(`${source}/${event.type}/${id}`), type: event.type, at, by: IMPORTER },
    ...(correlation === undefined ? {} : { correlation }),
    data: { ...event.data, imported: source },
  };
  return { stream: streamOf(event), event: recorded };
}

function streamOf(event: SendEvent | AuthEvent): string {
  switch (event.type) {
    case 'AuthenticationFailed':
      return authStream(event.data.network);
    case 'BounceReceived':
      return sendStream(normalizeAddress(event.data.address));
    case 'MessageAccepted':
    case 'RecipientsRefused':
    case 'MessageRefused':
      return sendStream(sendStreamKey(senderIdentity(event.data)));
  }
}
