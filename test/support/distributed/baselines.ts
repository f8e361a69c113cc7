import { summaryId } from '../../../src/runtime/ids.js';
import type { Clock } from '../../../src/kernel/time.js';
import { dayOf, profileStream } from '../../../src/sending/day-summary.js';
import { openKurrentStore } from '../../../src/store/kurrentdb/index.js';
import { summary } from '../days.js';

/** One rule that follows baselines: who is known may send twice of what is usual, who is not known eight messages an hour. */
export const HABIT_RULES = `version: 1
rules:
  - id: hour
    per: account
    count: messages
    window: 1h
    limit: { baseline: 2x, record: 2x, floor: 5, start: 8 }
    then: block
    for: 1h
`;

/** Seven weeks. */
export const DAYS_KNOWN = 49;

/** Writes down that an account sent on each of the last {@link DAYS_KNOWN} days, so many messages in its busiest hour. */
export async function writeHabits(url: string, clock: Clock, account: string, hourly: number): Promise<void> {
  const store = await openKurrentStore({ url, clock });
  const today = dayOf(clock.now());
  const subject = { type: 'account', value: account } as const;
  try {
    const events = Array.from({ length: DAYS_KNOWN }, (_, index) => {
      const messages = 2 * hourly;
      const data = summary(today - DAYS_KNOWN + index, {
        subject,
        messages,
        peaks: { 'messages/1h': hourly },
      });
      return {
        id: summaryId(data),
        type: 'SenderDaySummarised',
        data,
        at: clock.now(),
        by: 'system:profiles',
      };
    });
    await store.append(profileStream(subject), events, 'any');
  } finally {
    await store.close();
  }
}
