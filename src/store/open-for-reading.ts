import type { Config } from '../config/schema.js';
import { messageOf } from '../kernel/errors.js';
import type { Clock } from '../kernel/time.js';
import { AUTH_CATEGORY, SEND_CATEGORY } from '../sending/events.js';
import type { EventStore } from './port.js';

/** The part of a store that readers of its history need. */
export type ReadableStore = Pick<EventStore, 'readAll' | 'head' | 'close'>;

/** Where the store is, and how long sends are kept: as much of the configuration as another thread is handed. */
export type StoreLocation = Pick<Config, 'store'> & {
  readonly retention: Pick<Config['retention'], 'sends'>;
};

/**
 * Opens the store only to read it, also beside a running server.
 *
 * @throws StoreRefused
 */
export async function openForReading(
  { store, retention }: StoreLocation,
  clock: Clock,
  warn: (text: string) => void,
): Promise<ReadableStore> {
  if (store.kind === 'sqlite') {
    const { openSqliteForReading } = await import('./sqlite/reader.js');
    return openSqliteForReading(store.file);
  }
  const { openKurrentStore } = await import('./kurrentdb/index.js');
  const report = (problem: string, error: unknown): void => warn(`${problem}: ${messageOf(error)}`);
  const opened = await openKurrentStore({ url: store.url, clock, report });
  // The server hides what is too old only once it has been scavenged.
  for (const category of [SEND_CATEGORY, AUTH_CATEGORY]) await opened.setRetention(category, retention.sends);
  return opened;
}
