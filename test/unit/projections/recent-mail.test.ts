import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AutomaticBlocks } from '../../../projections/blocks/rule-precision.js';
import { RecentMail } from '../../../projections/volume/recent-mail.js';
import type { BlockEvent } from '../../../src/blocks/events.js';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import { HOUR, MINUTE } from '../../../src/kernel/time.js';
import { T0 } from '../../support/given.js';

/** The beginning of a minute. */
const M0 = Math.floor(T0 / MINUTE) * MINUTE;

function refused(at: number, count = 1, account = 'bob@own.example', more: object = {}): RecordedEvent {
  const sender = { account, returnPath: account, ip: '192.0.2.1', direction: 'outbound' };
  const data = { ...sender, stage: 'rcpt', block: 'b1', reply: '550', count, since: at, ...more };
  return {
    id: `${at} ${account}`,
    type: 'MessageRefused',
    stream: `send-${account}`,
    by: 'smtp:test',
    position: 1,
    revision: 0,
    at,
    recordedAt: at,
    data,
  };
}

function folded(...events: readonly RecordedEvent[]): RecentMail {
  const mail = new RecentMail();
  for (const event of events) mail.apply(event);
  return mail;
}

const filled = (counts: readonly number[]): Readonly<Record<number, number>> =>
  Object.fromEntries(counts.flatMap((count, index) => (count === 0 ? [] : [[index, count]])));

describe('the mail of the last hour', () => {
  test('counts refusals by the minute, also those that come late, and forgets them after an hour', () => {
    const mail = folded(
      refused(M0),
      refused(M0 + 2 * MINUTE, 5),
      refused(M0 + MINUTE + 1, 2),
      refused(M0 + 1, 3),
    );
    assert.deepEqual(filled(mail.refusals(M0 + 2 * MINUTE)), { 57: 4, 58: 2, 59: 5 });
    assert.deepEqual(filled(mail.refusals(M0 + 60 * MINUTE)), { 0: 2, 1: 5 });
    assert.deepEqual(filled(mail.refusals(M0 + 3 * HOUR)), {});
  });

  test('tells the refusals of some domains from all', () => {
    const mail = folded(refused(M0, 3), refused(M0, 4, 'eve@foreign.example'));
    assert.deepEqual(filled(mail.refusals(M0)), { 59: 7 });
    assert.deepEqual(filled(mail.refusals(M0, (domain) => domain === 'own.example')), { 59: 3 });
  });

  test('knows when mail was last seen, and takes nothing that was imported for it', () => {
    assert.equal(folded().lastAt, undefined);
    const imported = refused(M0 + HOUR, 1, 'old@own.example', { imported: 'postfix-log' });
    const mail = folded(refused(M0), imported);
    assert.equal(mail.lastAt, M0);
    assert.deepEqual(filled(mail.refusals(M0 + HOUR)), {});
  });

  test('goes on from what it was, and what was dumped does not change any more', () => {
    const before = folded(refused(M0, 3));
    const dumped = before.dump();
    before.apply(refused(M0 + 1, 9));
    const after = new RecentMail();
    after.restore(dumped);
    after.apply(refused(M0 + MINUTE, 1));
    assert.deepEqual(filled(after.refusals(M0 + MINUTE)), { 58: 3, 59: 1 });
    assert.equal(after.lastAt, M0 + MINUTE);
  });

  test('stays small however many domains are refused, and whatever the clocks say', () => {
    const mail = new RecentMail();
    for (let index = 0; index < 3000; index++) mail.apply(refused(M0, 1, `a@d${index}.example`));
    for (let index = 0; index < 500; index++) mail.apply(refused(M0 + index * MINUTE));
    const { minutes } = mail.dump();
    assert.equal(minutes.length, 120);
    assert.ok(minutes.every(({ domains }) => domains.size <= 1000));
  });
});

describe('a circuit breaker', () => {
  const imposed = (at: number): BlockEvent =>
    ({
      type: 'BlockImposed',
      at,
      by: 'rule:burst@1',
      data: { subject: { type: 'account', value: 'a@own.example' }, direction: 'outbound' },
    }) as unknown as BlockEvent;
  const limits = { max: 3, window: HOUR };

  test('is open since the block that filled it, and until enough of its blocks are old', () => {
    const blocks = new AutomaticBlocks();
    for (const minute of [0, 10]) blocks.apply(imposed(T0 + minute * MINUTE));
    const now = T0 + 30 * MINUTE;
    assert.equal(blocks.open('account by sends', limits, now), undefined);
    blocks.apply(imposed(T0 + 20 * MINUTE));
    const opened = { since: T0 + 20 * MINUTE, until: T0 + HOUR };
    assert.deepEqual(blocks.open('account by sends', limits, now), opened);
    assert.equal(blocks.open('account by sends', limits, T0 + HOUR), undefined);
  });

  test('that never closed in between is open since it first opened', () => {
    const blocks = new AutomaticBlocks();
    for (const minute of [0, 10, 20, 50, 65]) blocks.apply(imposed(T0 + minute * MINUTE));
    const { since, until } = blocks.open('account by sends', limits, T0 + 66 * MINUTE)!;
    // It still held three at minute 60, and until 70; the block of minute 65 keeps it open until 80.
    assert.deepEqual([since, until], [T0 + 20 * MINUTE, T0 + 80 * MINUTE]);
    for (const minute of [200, 201, 202]) blocks.apply(imposed(T0 + minute * MINUTE));
    assert.equal(blocks.open('account by sends', limits, T0 + 203 * MINUTE)!.since, T0 + 202 * MINUTE);
  });
});
