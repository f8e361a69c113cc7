import type { RecordedEvent } from '../kernel/events.js';
import type { EventStore, ReadStreamOptions } from '../store/port.js';

/**
 * The stream of a sender is in the order in which the store took its events, not in the order in which they happened: an import, a
 * mail server's late report and an outbox bring old ones after newer ones. So a reader neither begins nor ends by `at`. After the
 * end of the time that it asks for it looks through so many more events for those that came late.
 */
export const LOOKED_AT_FOR_LATE = 5000;

/**
 * The revision of the last event for which a condition holds, found by halving: an account that sends much may have thousands of
 * events since. Undefined if there is none.
 *
 * @param isBefore holds for the first events of the stream, and for none after these: it goes by position, or by `recordedAt`
 */
export async function lastBefore(
  store: Pick<EventStore, 'readStream'>,
  stream: string,
  isBefore: (event: RecordedEvent) => boolean,
): Promise<number | undefined> {
  const one = async (options: ReadStreamOptions): Promise<RecordedEvent | undefined> => {
    for await (const event of store.readStream(stream, { ...options, limit: 1 })) return event;
    return undefined;
  };
  const newest = await one({ direction: 'backwards' });
  if (newest === undefined || isBefore(newest)) return newest?.revision;
  const oldest = await one({});
  if (oldest === undefined || !isBefore(oldest)) return undefined;
  let [low, high] = [oldest.revision, newest.revision];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    const event = await one({ direction: 'backwards', from: middle });
    // What is between may be gone: events end by their age.
    if (event === undefined || isBefore(event)) low = middle;
    else high = event.revision;
  }
  return low;
}

/** The revision from which on to read for all events but those for which {@link lastBefore} holds. */
export async function firstAfter(...asked: Parameters<typeof lastBefore>): Promise<number> {
  return ((await lastBefore(...asked)) ?? -1) + 1;
}
