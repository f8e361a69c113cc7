import { z } from 'zod';
import type { BlockEntry } from '../../projections/blocks/block-entry.js';
import type { RecordedEvent } from '../kernel/events.js';
import { keyOf } from '../kernel/events.js';
import { MINUTE } from '../kernel/time.js';
import { isRefusal, SEND_CATEGORY, senderOf, sendStream } from '../sending/events.js';
import type { EventStore } from '../store/port.js';
import { BLOCKS, findEntry } from './blocks.js';
import { refusalShape, refusalView } from './check-findings.js';
import type { ApiDependencies } from './dependencies.js';
import type { Route } from './http/route.js';
import { ok, route } from './http/route.js';
import type { LongReads } from './long-reads.js';
import { cursorOf, listOf, numberOfCursor, once, wholeNumber } from './shapes.js';
import { firstAfter, LOOKED_AT_FOR_LATE } from './stream-order.js';

/** Events that are read for one page. */
const MOST_READ = 20_000;
/** How long after the end of a block its refusals are recorded. */
const LATE = MINUTE;

const refusalsQuery = z.strictObject({
  limit: wholeNumber(1, 500, 50),
  cursor: once.max(200).optional().meta({ description: 'What next of the page before said.' }),
});

const listedRefusal = refusalShape.extend({ account: z.string().nullable() }).meta({ id: 'Refusal' });

/** What a block has refused, one by one. */
export function blockRefusalsRoute(deps: ApiDependencies, reads: LongReads, mostRead = MOST_READ): Route {
  return route<z.infer<typeof refusalsQuery>>({
    method: 'get',
    path: `${BLOCKS}/{id}/refusals`,
    summary: 'List what a block refused, oldest first; a page may be short, and still have a next',
    role: 'viewer',
    scope: 'own',
    query: refusalsQuery,
    responses: { 200: { description: 'One page', schema: listOf(listedRefusal) } },
    async handle(request) {
      const { params, query, concerns } = request;
      const { limit, cursor } = query;
      const entry = await findEntry(deps, params['id']!, concerns);
      const from = cursor === undefined ? undefined : numberOfCursor(cursor);
      return reads.run(request, async (look) => {
        const items: z.infer<typeof listedRefusal>[] = [];
        let [read, beyond] = [0, 0];
        for await (const event of await eventsOf(deps.store, entry, from)) {
          look();
          if (event.at > (entry.endedAt ?? Infinity) + LATE) {
            if (++beyond > LOOKED_AT_FOR_LATE) break;
            continue;
          }
          if (items.length === limit || read === mostRead)
            return ok({ items, next: cursorOf(String(placeOf(entry, event))) });
          read++;
          if (isRefusal(event) && event.data.block === entry.id && concerns(senderOf(keyOf(event.stream))))
            items.push({ ...refusalView(event.data, event.at), account: event.data.account ?? null });
        }
        return ok({ items, next: null });
      });
    },
  });
}

/** By what a page begins: an account has a stream of its own. */
function placeOf({ subject }: BlockEntry, { position, revision }: RecordedEvent): number {
  return subject.type === 'account' ? revision : position;
}

async function eventsOf(
  store: EventStore,
  { subject, history }: BlockEntry,
  from: number | undefined,
): Promise<AsyncIterable<RecordedEvent>> {
  const begin = history[0]!.position;
  if (subject.type !== 'account') return store.readAll({ from: from ?? begin, categories: [SEND_CATEGORY] });
  const stream = sendStream(subject.value);
  const first = from ?? (await firstAfter(store, stream, ({ position }) => position < begin));
  return store.readStream(stream, { from: first });
}
