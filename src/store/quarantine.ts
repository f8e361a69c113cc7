import { StopgapError } from '../kernel/errors.js';
import type { NewEvent, RecordedEvent } from '../kernel/events.js';
import type { Clock, Instant } from '../kernel/time.js';
import type { EventStore } from './port.js';

/** The store on a node's own disk, which holds what is on its way to the shared one, and nothing else. */
export interface LocalStore extends EventStore {
  /** Deletes these events at once. @throws StoreUnavailable */
  remove(positions: readonly number[]): Promise<void>;
  /** How many events each stream holds. @throws StoreUnavailable */
  countByStream(): AsyncIterable<{ readonly stream: string; readonly events: number }>;
}

/** Of this category of the local store is nothing but the stream below. */
const QUARANTINE_CATEGORY = 'quarantine';
export const QUARANTINE_STREAM = `${QUARANTINE_CATEGORY}-outbox`;

/** The type of an entry there. */
export const QUARANTINED = 'OutboxRefused';

/** An event that the shared store refuses for a reason of its own. */
export interface Quarantined {
  /** Where it was to be recorded. */
  readonly stream: string;
  readonly event: NewEvent;
  /** What the store said. */
  readonly reason: string;
  readonly refusedAt: Instant;
  /** Of the entry in the local store. */
  readonly position: number;
}

interface Entry {
  readonly stream: string;
  readonly event: NewEvent;
  readonly reason: string;
}

/** Keeps an event until somebody has looked at it; resolves when that is durable. @throws StoreUnavailable */
export async function quarantine(
  local: LocalStore,
  clock: Clock,
  stream: string,
  event: NewEvent,
  reason: string,
): Promise<void> {
  const data: Entry = { stream, event, reason };
  // An id of its own for each refusal: the entry of an earlier one may be about to go, the event being tried once more.
  const entry = {
    id: crypto.randomUUID(),
    type: QUARANTINED,
    at: clock.now(),
    by: 'system:outbox',
    data,
  };
  await local.append(QUARANTINE_STREAM, [entry], 'any');
}

/** What is in quarantine, the oldest refusal first. */
export async function* quarantined(local: Pick<EventStore, 'readAll'>): AsyncGenerator<Quarantined> {
  for await (const entry of local.readAll({ categories: [QUARANTINE_CATEGORY] })) {
    const { position, at: refusedAt, data } = entry as RecordedEvent<string, Entry>;
    yield { ...data, position, refusedAt };
  }
}

/**
 * Takes events out of quarantine.
 *
 * @param ids of these events; of all where it is left out
 * @param keep makes an event wait for the store once more; it leaves the quarantine when that is durable
 * @param gone told of each that has left it
 * @returns how many there were
 * @throws StopgapError `not-found` for an id that is not in quarantine; StoreUnavailable
 */
export async function release(
  local: LocalStore,
  ids: readonly string[] | undefined,
  keep: (stream: string, event: NewEvent) => Promise<unknown>,
  gone: () => void = () => undefined,
): Promise<number> {
  const wanted = new Set(ids);
  let released = 0;
  for await (const { stream, event, position } of quarantined(local)) {
    if (ids !== undefined && !wanted.delete(event.id)) continue;
    await keep(stream, event);
    await local.remove([position]);
    gone();
    released++;
  }
  const [missing] = wanted;
  if (missing !== undefined) throw new StopgapError('not-found', `no event ${missing} is in quarantine`);
  return released;
}
