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

test('there is no room beyond the usual where rules that block count something else', () => {
  assert.deepEqual(roomUnder(rule('networks', 'networks', 4)), { messages: 0, recipients: 0 });
});
