import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Exemptions } from '../../../projections/blocks/exemptions.js';
import { SendVolume } from '../../../projections/volume/send-volume.js';
import { SECOND } from '../../../src/kernel/time.js';
import type { Room } from '../../../src/recording/room.js';
import { roomOf } from '../../../src/recording/room.js';
import { NOON } from '../../support/manual-clock.js';
import { rulesChanged, sent } from '../../support/sends.js';

const rule = (id: string, count: string, limit: number, then = 'block'): string =>
  `  - { id: ${id}, per: account, count: ${count}, window: 10m, limit: ${limit}, then: ${then}, for: 1h }\n`;

/** What alice may still send after one message to five. */
function roomUnder(rules: string): Room {
  const sendVolume = new SendVolume();
  const exemptions = new Exemptions();
  const changed = rulesChanged(rules, NOON, 1);
  sendVolume.apply(changed);
  exemptions.useRules(sendVolume.rules);
  sendVolume.apply(sent(NOON + SECOND, 2, { recipients: 5 }));
  return roomOf({ sendVolume, exemptions }, 'alice@example.com', NOON + 2 * SECOND);
}

const ENDLESS = { messages: Infinity, recipients: Infinity };

test('the room of an account is what the tightest rules that block still allow', () => {
  const rules =
    rule('messages', 'messages', 50) +
    rule('many', 'recipients', 3000) +
    rule('few', 'recipients', 1000) +
    rule('proposal', 'recipients', 10, 'propose');
  assert.deepEqual(roomUnder(rules), { messages: 49, recipients: 995 });
  assert.deepEqual(roomUnder(rule('few', 'recipients', 1000)), { messages: Infinity, recipients: 995 });
});

test('the room is endless where no rule may block the account', () => {
  assert.deepEqual(roomUnder(rule('proposal', 'recipients', 10, 'propose')), ENDLESS);
  const whole = `version: 1\nrules:\n${rule('few', 'recipients', 10)}`;
  assert.deepEqual(roomUnder(whole.replace('rules:', 'mode: observe\nrules:')), ENDLESS);
  const exempt =
    'exempt:\n  - { subject: { type: account, value: alice@example.com }, reason: a newsletter }\n';
  assert.deepEqual(roomUnder(whole + exempt), ENDLESS);
});

test('rules on other things than volume leave room, and one on bytes none beyond the usual', () => {
  assert.deepEqual(roomUnder(rule('networks', 'networks', 4)), ENDLESS);
  const bytes = rule('many', 'recipients', 3000) + rule('bytes', 'bytes', 1_000_000);
  assert.deepEqual(roomUnder(bytes), { messages: 0, recipients: 0 });
});

test('the rules of a domain, and those that cannot trip now, take no room of an account', () => {
  const together =
    '  - { id: together, per: domain, count: accounts, window: 30m, limit: 4, then: block, for: 1h, ' +
    'turned: { count: messages, window: 30m, limit: { baseline: 1x, floor: 2 }, alarm: 30m } }\n';
  const learnt = rule('learnt', 'messages', 1).replace('then:', 'when: { learning: false }, then:');
  assert.deepEqual(roomUnder(together + learnt + rule('few', 'recipients', 1000)), {
    messages: Infinity,
    recipients: 995,
  });
});
