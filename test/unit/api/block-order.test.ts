import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlockLedger } from '../../../projections/block-ledger.js';
import { BlockOrder, beginOf } from '../../../src/api/block-order.js';
import type { BlockEvent } from '../../../src/blocks/events.js';

function imposed(id: number): BlockEvent {
  return {
    type: 'BlockImposed',
    id: `event-${id}`,
    at: id,
    by: 'admin:test',
    position: id,
    data: {
      block: `block-${id}`,
      subject: { type: 'account', value: `${id}@example.com` },
      direction: 'outbound',
      description: '',
      refusal: 'soft',
      until: null,
      origin: 'admin',
      renewWhileTrying: false,
    },
  };
}

async function walked(order: BlockOrder, how: 'newest' | 'oldest', beyond?: number): Promise<number[]> {
  const found: number[] = [];
  for await (const entry of order.walk(how, beyond)) found.push(beginOf(entry));
  return found;
}

test('walks both ways, from the ends and from any place', async () => {
  const ledger = new BlockLedger();
  const order = new BlockOrder(ledger);
  assert.deepEqual(await walked(order, 'newest'), []);
  for (const position of [10, 20, 30]) ledger.apply(imposed(position));
  assert.deepEqual(await walked(order, 'newest'), [30, 20, 10]);
  assert.deepEqual(await walked(order, 'oldest'), [10, 20, 30]);
  assert.deepEqual(await walked(order, 'newest', 20), [10]);
  assert.deepEqual(await walked(order, 'oldest', 20), [30]);
  // A place that no entry has (any more): its neighbours are what counts.
  assert.deepEqual(await walked(order, 'newest', 25), [20, 10]);
  assert.deepEqual(await walked(order, 'oldest', 25), [30]);
  assert.deepEqual(await walked(order, 'newest', 10), []);
  assert.deepEqual(await walked(order, 'oldest', 30), []);
});

test('sees what was added after it had seen everything', async () => {
  const ledger = new BlockLedger();
  const order = new BlockOrder(ledger);
  ledger.apply(imposed(1));
  assert.deepEqual(await walked(order, 'newest'), [1]);
  ledger.apply(imposed(2));
  ledger.apply({ ...imposed(1), position: 3, id: 'event-3' });
  assert.deepEqual(await walked(order, 'newest'), [2, 1]);
});
