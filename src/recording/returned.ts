import type { Instant, Milliseconds } from '../kernel/time.js';
import { DAY } from '../kernel/time.js';
import { idOf } from '../runtime/ids.js';
import type { BounceReceived, MessageAccepted, SendEvent } from '../sending/events.js';
import { isImported, sendStream } from '../sending/events.js';
import { normalizeAccount, normalizeAddress } from '../sending/identity.js';
import type { EventStore } from '../store/port.js';

/** Longer than mail servers try, five days as a rule. */
const OLDEST: Milliseconds = 7 * DAY;
/** Of all senders that one report names. */
const MOST_LOOKED_AT = 20_000;

/** What a report says of a message that was sent: nothing of it is believed. */
export interface ReturnedReport {
  readonly kind: 'failed' | 'complaint';
  readonly status?: string | undefined;
  readonly ids: readonly string[];
  readonly senders: readonly string[];
}

/** Where the record of it goes. */
export interface PlacedReturn {
  readonly id: string;
  readonly stream: string;
  /** The id of the message that came back. */
  readonly correlation: string;
  readonly fact: SendEvent;
}

/**
 * Finds the send that a report is about. A report can be forged, and its sender named falsely; an id that we have recorded for
 * a message of that very sender is known only to those whom the message has reached.
 *
 * They could refuse it as well as report that it was refused. So a message counts once, however many reports tell of it: a
 * forged one can do no more than a refusal.
 *
 * @param look called at each event: it throws when nobody waits any more
 * @returns undefined where no send proves it; `known` where it counts already
 * @throws StoreUnavailable
 */
export async function placeReturned(
  store: Pick<EventStore, 'readStream'>,
  { kind, status, ids, senders }: ReturnedReport,
  now: Instant,
  look: () => void,
): Promise<PlacedReturn | 'known' | undefined> {
  const wanted = new Set(ids);
  const streams = new Set(
    senders.flatMap((name) => [sendStream(normalizeAccount(name)), sendStream(normalizeAddress(name))]),
  );
  let left = MOST_LOOKED_AT;
  for (const stream of streams) {
    if (left <= 0) return undefined;
    const counted = new Set<string>();
    for await (const event of store.readStream(stream, { direction: 'backwards', limit: left })) {
      look();
      left--;
      if (event.recordedAt < now - OLDEST) break;
      if (event.type === 'BounceReceived') counted.add(event.id);
      if (event.type !== 'MessageAccepted' || isImported(event)) continue;
      const send = event.data as MessageAccepted;
      // What others sent and came back says nothing of ours. A message comes back once, whenever its recipients were recorded.
      if (send.further === true || send.direction !== 'outbound' || !wanted.has(send.transaction)) continue;
      const id = idOf(`returned/${event.id}`);
      if (counted.has(id)) return 'known';
      const data = dataOf(send, event.id, kind, status);
      return { id, stream, correlation: send.transaction, fact: { type: 'BounceReceived', data } };
    }
  }
  return undefined;
}

function dataOf(
  { account, returnPath = '', entitled }: MessageAccepted,
  send: string,
  kind: ReturnedReport['kind'],
  status: string | undefined,
): BounceReceived {
  return {
    address: returnPath === '' ? (account ?? '') : returnPath,
    ...(account === undefined ? {} : { account }),
    entitled,
    send,
    kind,
    ...(status === undefined ? {} : { status }),
  };
}
