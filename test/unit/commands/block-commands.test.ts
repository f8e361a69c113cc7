import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { Act } from '../../../src/blocks/commands.js';
import { BlockCommandHandler } from '../../../src/commands/block-commands.js';
import { HOUR, MINUTE } from '../../../src/kernel/time.js';
import { newId } from '../../../src/runtime/ids.js';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { ManualClock } from '../../support/manual-clock.js';

const SUBJECT = { type: 'account', value: 'newsletter@example.com' } as const;

const tripped = (position: number, exempted: boolean): Act => ({
  kind: 'act',
  action: 'block',
  subject: SUBJECT,
  newId: newId(),
  terms: {
    direction: 'outbound',
    refusal: 'soft',
    duration: HOUR,
    escalate: undefined,
    lapse: HOUR,
    renewWhileTrying: false,
    description: 'too many',
  },
  evidence: {
    rule: 'minute',
    version: 1,
    count: 'messages',
    window: MINUTE,
    limit: 8,
    observed: 9,
    firstPosition: position,
    lastPosition: position,
    lastAt: 0,
    sentence: 'nine',
  },
  ...(exempted ? { exemptedBy: { id: 'x', reason: 'a weekly list' } } : {}),
});

test('a verdict on an account that is exempt costs the same however often its exemption was applied before', async (t) => {
  const directory = await mkdtemp(path.join(tmpdir(), 'stopgap-commands-'));
  const clock = new ManualClock();
  const store = await openSqliteStore({ file: path.join(directory, 'events.db'), clock });
  t.after(async () => {
    await store.close();
    await rm(directory, { recursive: true, force: true });
  });
  let read = 0;
  const readStream = store.readStream.bind(store);
  store.readStream = async function* (...asked) {
    for await (const event of readStream(...asked)) {
      read++;
      yield event;
    }
  };
  const commands = new BlockCommandHandler(store, clock);
  const by = { by: 'rule:minute@1' };
  for (let position = 1; position <= 300; position++) {
    read = 0;
    const { facts } = await commands.execute(SUBJECT, tripped(position, true), by);
    assert.equal(facts[0]!.type, 'ExemptionApplied');
  }
  assert.ok(read <= 2, `${read} events were read`);
  // Somebody else decides, by what is read from the beginning; the next verdict knows of it.
  const other = new BlockCommandHandler(store, clock);
  await other.execute(SUBJECT, tripped(301, false), by);
  assert.deepEqual(
    (await commands.execute(SUBJECT, tripped(301, false), by)).facts,
    [],
    'acted upon already',
  );
  assert.notEqual((await commands.execute(SUBJECT, tripped(302, false), by)).standing.block, undefined);
});
