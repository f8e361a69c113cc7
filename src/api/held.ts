import { z } from 'zod';
import { settledThrough } from '../../projections/blocks/block-entry.js';
import { formatInstant } from '../kernel/time.js';
import type { MessageHeld } from '../sending/events.js';
import { heldStream, isHeldEvent } from '../sending/events.js';
import type { EventStore } from '../store/port.js';
import { entryOf } from './block-view.js';
import { BLOCKS } from './blocks.js';
import type { ApiDependencies } from './dependencies.js';
import type { Route } from './http/route.js';
import { ok, route } from './http/route.js';
import { cursorOf, instantShape, numberOfCursor, once, wholeNumber } from './shapes.js';

const heldQuery = z.strictObject({
  limit: wholeNumber(1, 500, 50),
  cursor: once.max(200).optional().meta({ description: 'What next of the page before said.' }),
});

const heldShape = z
  .object({
    queueId: z.string(),
    account: z.string().nullable(),
    returnPath: z.string().nullable(),
    recipients: z.int(),
    size: z.int(),
    at: instantShape.meta({ description: 'When it came, or was found in the queue.' }),
  })
  .meta({ id: 'HeldMessage' });

const pageShape = z.object({
  count: z.int().meta({ description: 'Messages that are held.' }),
  items: z.array(heldShape),
  next: z.string().nullable().meta({ description: 'Cursor of the next page; null at the end.' }),
});

export type HeldJson = z.infer<typeof pageShape>;

/** What mail servers hold for a block. */
export function heldRoutes(deps: ApiDependencies): readonly Route[] {
  return [
    route<z.infer<typeof heldQuery>>({
      method: 'get',
      path: `${BLOCKS}/{id}/held`,
      summary: 'List the mail that is held for a block, newest first',
      role: 'viewer',
      query: heldQuery,
      responses: { 200: { description: 'One page', schema: pageShape } },
      async handle({ params, query: { limit, cursor } }) {
        const entry = await entryOf(deps, params['id']!);
        return ok(await heldPage(deps.store, entry.id, settledThrough(entry), limit, cursor));
      },
    }),
  ];
}

/** @param settled revision of the last that is held no more */
async function heldPage(
  store: Pick<EventStore, 'readStream'>,
  block: string,
  settled: number,
  limit: number,
  cursor: string | undefined,
): Promise<HeldJson> {
  const stream = heldStream(block);
  let count = 0;
  for await (const { revision: last } of store.readStream(stream, { direction: 'backwards', limit: 1 })) {
    // What has outlived its retention is not known any more.
    for await (const { revision: first } of store.readStream(stream, { limit: 1 }))
      count = Math.max(0, last - Math.max(settled, first - 1));
  }
  const items: HeldJson['items'] = [];
  const from = cursor === undefined ? {} : { from: numberOfCursor(cursor) };
  let next: string | null = null;
  if (count === 0) return { count, items, next };
  const newest = store.readStream(stream, { direction: 'backwards', limit: limit + 1, ...from });
  let read = 0;
  for await (const event of newest) {
    if (event.revision <= settled) break;
    if (read++ === limit) {
      next = cursorOf(String(event.revision));
      break;
    }
    if (isHeldEvent(event)) items.push(heldView(event.data, event.at));
  }
  return { count, items, next };
}

function heldView(
  { transaction, account, returnPath, recipients, size }: MessageHeld,
  at: number,
): HeldJson['items'][number] {
  return {
    queueId: transaction,
    account: account ?? null,
    returnPath: returnPath ?? null,
    recipients,
    size,
    at: formatInstant(at),
  };
}
