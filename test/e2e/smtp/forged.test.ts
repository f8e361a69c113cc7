import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BlockImposed } from '../../../src/blocks/events.js';
import { ALICE, BOB, Stopgap } from '../../support/smtp/stopgap.js';

const RULES = `version: 1
rules:
  - { id: domain, per: domain, count: messages, window: 1h, limit: 3, direction: all, then: block, for: 1h }
  - { id: ehlo, per: ehlo, count: messages, window: 1h, limit: 3, direction: all, then: block, for: 1h, renewWhileTrying: true }
  - { id: bounces, per: account, count: bounces, window: 1h, limit: 2, then: block, for: 1h }
`;
const HERS = 'office.example.com';
const BOUNCE = [
  'Content-Type: multipart/report; report-type=delivery-status; boundary=b',
  '',
  '--b',
  'Content-Type: message/delivery-status',
  '',
  'Action: failed',
  '--b--',
  '',
].join('\r\n');

test('a client that only gives a name does not get the owner of that name blocked', async (t) => {
  const stopgap = await Stopgap.start(t, { rules: RULES });
  const customer = await stopgap.loggedIn(ALICE, { ehlo: HERS });
  assert.match(await customer.send(ALICE, ['one@elsewhere.test']), /^250 /);
  const stranger = await stopgap.stranger({ from: '127.0.0.66', ehlo: HERS });
  const replies: string[] = [];
  for (let n = 0; n < 6; n++) {
    replies.push((await stranger.send('x@example.com', ['bob@example.com'])).slice(0, 3));
    await stranger.say('RSET');
  }
  assert.deepEqual(replies, ['250', '250', '250', '250', '451', '451'], 'the stranger is refused');
  const imposed = await stopgap.all<BlockImposed>('BlockImposed');
  assert.deepEqual(
    imposed.map(({ data }) => `${data.subject.type} ${data.subject.value} ${data.direction}`).sort(),
    ['domain example.com inbound', `ehlo ${HERS} inbound`],
  );
  const other = await stopgap.stranger({ from: '127.0.0.67', ehlo: 'mx.far.test' });
  for (let n = 0; n < 4; n++) assert.match(await other.send('', [ALICE], BOUNCE), /^250 /);
  assert.equal((await stopgap.all('BlockProposed')).length, 1, 'bounces are for a person to judge');
  for (let n = 0; n < 2; n++) assert.match(await customer.send(ALICE, ['two@elsewhere.test']), /^250 /);
  const again = await stopgap.loggedIn(ALICE, { ehlo: HERS });
  await Promise.all([customer, stranger, other, again].map((session) => session.quit()));
});

test('a sender whose name has a star gets nobody blocked whom that would match as a pattern', async (t) => {
  const counts = 'count: messages, window: 1h, limit: 3, direction: all, then: block, for: 1h';
  const rules = `version: 1
rules:
  - { id: ehlo, per: ehlo, ${counts} }
  - { id: address, per: address, ${counts} }
  - { id: bounces, per: address, count: bounces, window: 1h, limit: 2, then: block, for: 1h }
`;
  const files = { 'senders.yaml': `${ALICE}: "*@example.com"\n` };
  const stopgap = await Stopgap.start(t, { rules, smtp: { senders: 'map:./senders.yaml' }, files });
  const thief = await stopgap.loggedIn(ALICE, { ehlo: '*' });
  const stranger = await stopgap.stranger({ ehlo: '*.test', from: '127.0.0.66' });
  for (let n = 0; n < 5; n++) {
    assert.match(await thief.send('*@example.com', ['one@elsewhere.test']), /^250 /);
    await stranger.send('"*"@far.test', [BOB]);
    await stranger.say('RSET');
  }
  for (let n = 0; n < 4; n++) assert.match(await stranger.send('', ['b*b@example.com'], BOUNCE), /^250 /);
  const other = await stopgap.stranger({ ehlo: 'mx.far.test', from: '127.0.0.67' });
  assert.match(await other.send('carol@far.test', [BOB]), /^250 /);
  const customer = await stopgap.loggedIn(BOB, { ehlo: 'laptop.example.com' });
  assert.match(await customer.send(BOB, ['two@elsewhere.test']), /^250 /);
  const decided = [...(await stopgap.all('BlockImposed')), ...(await stopgap.all('BlockProposed'))];
  assert.deepEqual(decided, []);
  const spared = new Set((await stopgap.all('ExemptionApplied')).map(({ stream }) => stream));
  assert.deepEqual(
    [...spared].sort(),
    ['address:*@example.com', 'address:*@far.test', 'address:b*b@example.com', 'ehlo:*', 'ehlo:*.test'].map(
      (subject) => `block-${subject}`,
    ),
  );
  await Promise.all([thief, stranger, other, customer].map((session) => session.quit()));
});
