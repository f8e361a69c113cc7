import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BlockImposed } from '../../../src/blocks/events.js';
import { ALICE, Stopgap } from '../../support/smtp/stopgap.js';

const RULES = `version: 1
rules:
  - { id: domain, per: domain, count: messages, window: 1h, limit: 3, direction: all, then: block, for: 1h }
  - { id: ehlo, per: ehlo, count: messages, window: 1h, limit: 3, direction: all, then: block, for: 1h, renewWhileTrying: true }
  - { id: bounces, per: account, count: bounces, window: 1h, limit: 2, then: block, for: 1h }
`;
const HERS = 'office.example.com';
const BOUNCE = [
  'Content-Type: multipart/report; report-type=delivery-status; boundary=b',
  ...['', '--b', 'Content-Type: message/delivery-status', '', 'Action: failed', '--b--', ''],
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
