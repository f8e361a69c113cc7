import { z } from 'zod';
import { SeenIds } from '../../projections/blocks/seen-ids.js';
import type { Instant } from '../kernel/time.js';
import { DAY, MINUTE, formatInstant } from '../kernel/time.js';
import type { MessageRefused, RecipientsRefused } from '../sending/events.js';
import { RULES_STREAM } from '../rules/model.js';
import { sendStream } from '../sending/events.js';
import type { SenderIdentity } from '../sending/subjects.js';
import type { RecordedEvent } from '../kernel/events.js';
import type { EventStore, ReadStreamOptions } from '../store/port.js';
import { StoreUnavailable } from '../store/port.js';
import type { ApiDependencies } from './dependencies.js';

/** Events of an account that are looked through. */
const EVENTS_READ = 100;
/** Events of a stream may stand so far from the order in which they happened. */
const OUT_OF_ORDER = MINUTE;

export const refusalShape = z.object({
  at: z.string(),
  stage: z.enum(['auth', 'rcpt', 'data']),
  block: z.string(),
  reply: z.string(),
  returnPath: z.string().nullable(),
  ehlo: z.string().nullable(),
  ip: z.string().nullable(),
  count: z.int().meta({ description: 'How many it stands for.' }),
});
export type RefusalJson = z.infer<typeof refusalShape>;

export const behindShape = z
  .object({
    count: z.int().meta({ description: 'Recipients.' }),
    at: z.string().meta({ description: 'When the last one was refused.' }),
    code: z.int().meta({ description: 'What the mail server answered then.' }),
  })
  .nullable()
  .meta({
    description:
      'What the mail server behind refused of this account within a day, among its last events; null where nothing was, no account is named, or the store cannot be read now.',
  });
type Behind = z.infer<typeof behindShape>;

/** What the store has of an account. */
interface Recorded {
  /** Refusals of ours, newest first. */
  readonly refusals: readonly RefusalJson[];
  readonly behind: Behind;
}

/** What was refused of an account lately; undefined without one, or where the store cannot be read. */
export async function recordedOf(
  { store }: ApiDependencies,
  { account, direction }: SenderIdentity,
  at: Instant,
): Promise<Recorded | undefined> {
  if (account === undefined) return undefined;
  const refusals: RefusalJson[] = [];
  let behind: NonNullable<Behind> | undefined;
  const seen = new SeenIds();
  try {
    const stream = sendStream(account);
    const from = await lastUpTo(store, stream, at + OUT_OF_ORDER);
    if (from === undefined) return { refusals, behind: null };
    for await (const event of store.readStream(stream, {
      direction: 'backwards',
      from,
      limit: EVENTS_READ,
    })) {
      if (event.at > at || !seen.isNew(event.id)) continue;
      const { type, data } = event;
      if ((data as { readonly direction?: unknown }).direction !== direction) continue;
      if (type === 'MessageRefused') {
        const {
          stage,
          block,
          reply,
          returnPath = null,
          ehlo = null,
          ip = null,
          count,
        } = data as MessageRefused;
        refusals.push({ at: formatInstant(event.at), stage, block, reply, returnPath, ehlo, ip, count });
      } else if (type === 'RecipientsRefused' && at - event.at <= DAY) {
        const { count, code } = data as RecipientsRefused;
        behind = { code, at: formatInstant(event.at), ...behind, count: count + (behind?.count ?? 0) };
      }
    }
  } catch (thrown) {
    // The verdict itself comes from memory and is as good without.
    if (!(thrown instanceof StoreUnavailable)) throw thrown;
    return undefined;
  }
  return { refusals, behind: behind ?? null };
}

/** Before when nothing is known of refusals. */
export interface Beginning {
  readonly at: Instant;
  /** Whether there are events of before, which another program has recorded. */
  readonly isImported: boolean;
}

/** Since when Stopgap has been in the way of mail: every start puts rules in force first, and no import does. */
export async function beginningOf({ store, models }: ApiDependencies): Promise<Beginning | undefined> {
  const first = models.sendVolume.installedAt;
  try {
    for await (const { at } of store.readStream(RULES_STREAM, { limit: 1 }))
      if (first !== undefined && at > first) return { at, isImported: true };
  } catch (thrown) {
    if (!(thrown instanceof StoreUnavailable)) throw thrown;
  }
  return first === undefined ? undefined : { at: first, isImported: false };
}

/**
 * The revision of the last event that had happened by an instant, found by halving: an account that sends much may have
 * thousands of events since. Undefined where there is none.
 */
async function lastUpTo(
  store: Pick<EventStore, 'readStream'>,
  stream: string,
  at: Instant,
): Promise<number | undefined> {
  const one = async (options: ReadStreamOptions): Promise<RecordedEvent | undefined> => {
    for await (const event of store.readStream(stream, { ...options, limit: 1 })) return event;
    return undefined;
  };
  const newest = await one({ direction: 'backwards' });
  if (newest === undefined || newest.at <= at) return newest?.revision;
  const oldest = await one({});
  if (oldest === undefined || oldest.at > at) return undefined;
  let [low, high] = [oldest.revision, newest.revision];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    const event = await one({ direction: 'backwards', from: middle });
    // What is between may be gone: events end by their age.
    if (event === undefined || event.at <= at) low = middle;
    else high = event.revision;
  }
  return low;
}

export function behindSentence({ count, at, code }: NonNullable<Behind>): string {
  const recipients = count === 1 ? '1 recipient' : `${count} recipients`;
  return `The mail server behind has refused ${recipients} of it within a day, the last at ${at} with ${code}.`;
}
