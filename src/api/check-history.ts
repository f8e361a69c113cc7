import { z } from 'zod';
import { SeenIds } from '../../projections/blocks/effective-blocks.js';
import type { Instant } from '../kernel/time.js';
import { DAY, formatInstant } from '../kernel/time.js';
import type { MessageRefused, RecipientsRefused } from '../sending/events.js';
import { sendStream } from '../sending/events.js';
import type { SenderIdentity } from '../sending/subjects.js';
import { StoreUnavailable } from '../store/port.js';
import type { ApiDependencies } from './dependencies.js';

/** Events of an account that are looked through. */
const EVENTS_READ = 100;

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
    const newest = store.readStream(sendStream(account), { direction: 'backwards', limit: EVENTS_READ });
    for await (const event of newest) {
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

export function behindSentence({ count, at, code }: NonNullable<Behind>): string {
  const recipients = count === 1 ? '1 recipient' : `${count} recipients`;
  return `The mail server behind has refused ${recipients} of it within a day, the last at ${at} with ${code}.`;
}
