import { z } from 'zod';
import { SeenIds } from '../../projections/blocks/effective-blocks.js';
import { InvalidInput } from '../kernel/errors.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { DAY, formatDuration, formatInstant, MINUTE } from '../kernel/time.js';
import type { MessageAccepted, MessageRefused, RecipientsRefused } from '../sending/events.js';
import { CLOCK_TOLERANCE, messagesOf, sendStream } from '../sending/events.js';
import type { Subject } from '../sending/subjects.js';
import { askedSubject } from '../sending/subjects.js';
import type { EventStore } from '../store/port.js';
import type { ApiDependencies } from './dependencies.js';
import type { Route } from './http/route.js';
import { ok, ownSubject, route } from './http/route.js';
import type { LongReads } from './long-reads.js';
import { durationInput, durationShape, instantInput, instantShape, subjectShape } from './shapes.js';
import { firstAfter } from './stream-order.js';

const MOST_STEPS = 1000;
const MOST_READ = 200_000;

const volumeQuery = z.strictObject({
  from: instantInput.optional().meta({ description: 'A day before `to` unless given.' }),
  to: instantInput.optional().meta({ description: 'Now unless given.' }),
  step: durationInput.default(10 * MINUTE),
});

const volumeShape = z.object({
  subject: subjectShape,
  from: instantShape,
  to: instantShape,
  step: durationShape,
  available: z.boolean(),
  note: z.string().nullable().meta({ description: 'Why it is not available; null where it is.' }),
  items: z
    .array(
      z.object({
        at: instantShape.meta({ description: 'When the step begins.' }),
        messages: z.int(),
        recipients: z.int(),
        bytes: z.int(),
        refusedRecipients: z.int().meta({ description: 'By the mail server behind.' }),
        refusals: z.int().meta({ description: 'By blocks.' }),
      }),
    )
    .meta({ description: 'One a step, oldest first, also where there was nothing.' }),
  coveredUntil: instantShape.nullable().meta({
    description:
      'Null where all is counted; else there were too many events to read, and later ones are left out.',
  }),
  keptSince: instantShape.nullable().meta({
    description: 'Null where all is kept; else what came before this instant has outlived its retention.',
  }),
});
type VolumeJson = z.infer<typeof volumeShape>;

/** What one sender sent over time, for a chart. */
export function senderVolumeRoute(
  { store, clock, retention }: ApiDependencies,
  reads: LongReads,
  mostRead = MOST_READ,
): Route {
  return route<z.infer<typeof volumeQuery>>({
    method: 'get',
    path: '/api/v1/senders/{type}/{value}/volume',
    summary: 'What an account sent over time, step by step',
    role: 'viewer',
    scope: 'own',
    query: volumeQuery,
    responses: { 200: { description: 'The series', schema: volumeShape } },
    async handle(request) {
      const { params, query, concerns } = request;
      const { to = clock.now(), from = to - DAY, step } = query;
      const subject = ownSubject(askedSubject(params['type']!, params['value']!, 'sender'), concerns);
      if (from >= to) throw new InvalidInput('from', 'must come before to');
      if ((to - from) / step > MOST_STEPS)
        throw new InvalidInput('step', `makes more than ${MOST_STEPS} steps: take a longer one`);
      const kept = clock.now() - retention.sends;
      const head = {
        subject,
        from: formatInstant(from),
        to: formatInstant(to),
        step: formatDuration(step),
        keptSince: from < kept ? formatInstant(kept) : null,
      };
      if (subject.type !== 'account') {
        const note = `sends are kept by account: there is no series of one ${subject.type}`;
        return ok({ ...head, available: false, note, items: [], coveredUntil: null } satisfies VolumeJson);
      }
      const { items, coveredUntil } = await reads.run(request, (look) =>
        seriesOf(store, subject, { from, to, step, kept }, mostRead, look),
      );
      return ok({ ...head, available: true, note: null, items, coveredUntil } satisfies VolumeJson);
    },
  });
}

interface Range {
  readonly from: Instant;
  readonly to: Instant;
  readonly step: Milliseconds;
  /** What is older goes with the next sweep. */
  readonly kept: Instant;
}

async function seriesOf(
  store: EventStore,
  { value }: Subject,
  { from, to, step, kept }: Range,
  mostRead: number,
  look: () => void,
): Promise<Pick<VolumeJson, 'items' | 'coveredUntil'>> {
  const items = Array.from({ length: Math.ceil((to - from) / step) }, (_, index) => ({
    at: formatInstant(from + index * step),
    messages: 0,
    recipients: 0,
    bytes: 0,
    refusedRecipients: 0,
    refusals: 0,
  }));
  const stream = sendStream(value);
  const begin = await firstAfter(store, stream, ({ recordedAt }) => recordedAt <= from - CLOCK_TOLERANCE);
  const seen = new SeenIds();
  let [read, last] = [0, from];
  // Also what was recorded long after the end: an import brings old sends.
  for await (const { id, at, type, data } of store.readStream(stream, { from: begin })) {
    look();
    if (read++ === mostRead) return { items, coveredUntil: last < to ? formatInstant(last) : null };
    last = Math.max(last, at);
    const item = items[Math.floor((at - from) / step)];
    if (item === undefined || at >= to || at < kept || !seen.isNew(id)) continue;
    if (type === 'MessageAccepted') {
      const { recipients, size } = data as MessageAccepted;
      item.messages += messagesOf(data as MessageAccepted);
      item.recipients += recipients;
      item.bytes += size;
    } else if (type === 'RecipientsRefused') item.refusedRecipients += (data as RecipientsRefused).count;
    else if (type === 'MessageRefused') item.refusals += (data as MessageRefused).count;
  }
  return { items, coveredUntil: null };
}
