import type { Day, SenderDaySummarised } from '../../src/sending/day-summary.js';
import { dayOf } from '../../src/sending/day-summary.js';

/* Summaries of days, for tests of what is folded from them. */

/** A Thursday: weeks since the epoch begin on one. */
export const DAY_0: Day = dayOf(Date.UTC(2026, 0, 1));

/** A day on which alice sent a message to one recipient, unless said otherwise. */
export function summary(day: Day, more: Partial<SenderDaySummarised> = {}): SenderDaySummarised {
  return {
    subject: { type: 'account', value: 'alice@example.com' },
    day,
    messages: 1,
    recipients: 1,
    refusedRecipients: 0,
    bounces: 0,
    largest: 1,
    peaks: {},
    networks: [],
    ehlos: [],
    hours: 0,
    contained: [],
    ...more,
  };
}
