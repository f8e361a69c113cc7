import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Through } from '../../../src/metrics/containment.js';
import { ThroughCounts } from '../../../src/metrics/containment.js';
import { MINUTE, SECOND } from '../../../src/kernel/time.js';
import { parseRules } from '../../../src/rules/parse.js';
import type { Verdict } from '../../../src/rules/respond.js';
import type { Subject } from '../../../src/sending/subjects.js';
import { ALICE, T0, evidence } from '../../support/given.js';
import { event, sent } from '../../support/sends.js';

const [RULE] = parseRules(`version: 1
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 5, then: block, for: 1h, direction: outbound }
`).rules;
const LATER = T0 + MINUTE;

function verdict(position: number, subject: Subject = ALICE, id = 'burst'): Verdict {
  return {
    kind: 'act',
    rule: { ...RULE!, id },
    mode: 'enforce',
    subject,
    evidence: evidence({ rule: id, lastPosition: position }),
    at: T0,
  };
}

const told = (messages: number, recipients: number, position = 10): Through => ({
  decidedBy: 'rule',
  position,
  messages,
  recipients,
});

/** Blocked by this process. */
function block(counts: ThroughCounts, { subject, evidence: proof }: Verdict, at = T0): void {
  counts.blocked(subject, at);
  counts.decided(subject, proof, 'rule');
}

describe('what got through', () => {
  test('is what was accepted after the send that tripped the rule, until ten seconds after the block', () => {
    const counts = new ThroughCounts();
    counts.fold(sent(T0, 9));
    const tripped = verdict(10);
    counts.begin(tripped);
    counts.fold(sent(T0, 10, { recipients: 6 }));
    counts.fold(sent(T0, 11, { recipients: 2 }));
    counts.fold(
      event('MessageAccepted', { ...(sent(T0, 11).data as object), imported: 'postfix-log' }, T0, 11),
    );
    block(counts, tripped, T0 + SECOND);
    counts.fold(sent(T0 + 2 * SECOND, 12, { recipients: 3 }));
    assert.deepEqual(counts.settle(T0 + 10 * SECOND), []);
    assert.deepEqual(counts.settle(T0 + 11 * SECOND), [told(2, 5)]);
    assert.deepEqual(counts.settle(LATER), [], 'told once');
    assert.equal(counts.size, 0);
  });

  test('has recipients that were told of later, and no other message for them', () => {
    const counts = new ThroughCounts();
    const tripped = verdict(10);
    counts.begin(tripped);
    counts.fold(sent(T0, 11));
    counts.fold(sent(T0, 12, { recipients: 4, size: 0, further: true }));
    block(counts, tripped);
    assert.deepEqual(counts.settle(LATER), [told(1, 5)]);
  });

  test('of a domain counts a message once whose login and return path are both in it', () => {
    const counts = new ThroughCounts();
    const tripped = verdict(10, { type: 'domain', value: 'example.com' });
    counts.begin(tripped);
    counts.fold(sent(T0, 11, { returnPath: 'office@example.com', recipients: 2 }));
    block(counts, tripped);
    assert.deepEqual(counts.settle(LATER), [told(1, 2)]);
  });

  test('is what the subject sent, in the direction of the rule', () => {
    const counts = new ThroughCounts();
    const domain = verdict(10, { type: 'domain', value: 'example.com' });
    counts.begin(domain);
    counts.fold(sent(T0, 11));
    counts.fold(sent(T0, 12, { account: 'bob@example.com', returnPath: 'bob@example.com' }));
    counts.fold(sent(T0, 13, { account: 'eve@example.net', returnPath: 'eve@example.net' }));
    counts.fold(sent(T0, 14, { direction: 'inbound' }));
    block(counts, domain);
    assert.deepEqual(counts.settle(LATER), [told(2, 2)]);
  });

  test('is told of the evidence that led to the block, even if other rules tripped', () => {
    const counts = new ThroughCounts();
    counts.begin(verdict(10, ALICE, 'hint'));
    counts.fold(sent(T0, 11));
    const tripped = verdict(12);
    counts.begin(tripped);
    counts.fold(sent(T0, 13));
    block(counts, tripped);
    assert.deepEqual(counts.settle(LATER), [told(1, 1, 12)]);
    assert.equal(counts.size, 0);
  });

  test('is not told if another process blocked, nor if nothing came of the verdict', () => {
    const counts = new ThroughCounts();
    counts.begin(verdict(10));
    counts.blocked(ALICE, T0);
    assert.deepEqual(counts.settle(LATER), []);
    assert.equal(counts.size, 0);
    const tripped = verdict(20);
    counts.begin(tripped);
    counts.drop(ALICE, tripped.evidence);
    assert.equal(counts.size, 0);
  });

  test('is told early if the block ends early', () => {
    const counts = new ThroughCounts();
    const tripped = verdict(10);
    counts.begin(tripped);
    counts.fold(sent(T0, 11));
    block(counts, tripped);
    assert.deepEqual(counts.end(ALICE), [told(1, 1)]);
    assert.deepEqual(counts.settle(LATER), []);
  });

  test('of a block whose evidence is not known here is not known', () => {
    const counts = new ThroughCounts();
    block(counts, verdict(10));
    assert.deepEqual(counts.settle(LATER), []);
    assert.deepEqual(counts.end(ALICE), []);
  });

  test('takes bounded memory: the oldest subjects go first', () => {
    const counts = new ThroughCounts();
    for (let index = 0; index < 1500; index++)
      counts.begin(verdict(index, { type: 'account', value: `user${index}@example.com` }));
    assert.equal(counts.size, 1000);
    const newest = verdict(1499, { type: 'account', value: 'user1499@example.com' });
    block(counts, newest);
    assert.deepEqual(counts.settle(LATER), [told(0, 0, 1499)]);
    const oldest = verdict(0, { type: 'account', value: 'user0@example.com' });
    block(counts, oldest);
    assert.deepEqual(counts.settle(2 * LATER), []);
  });

  test('passes over events whose data are not what their type promises', () => {
    const counts = new ThroughCounts();
    const tripped = verdict(10);
    counts.begin(tripped);
    for (const data of [
      { account: 'alice@example.com', direction: 'outbound', recipients: 'many' },
      { account: 7, direction: 'outbound', recipients: 1 },
      { account: 'alice@example.com', direction: 'sideways', recipients: 1 },
    ])
      counts.fold(event('MessageAccepted', data, T0, 11));
    block(counts, tripped);
    assert.deepEqual(counts.settle(LATER), [told(0, 0)]);
  });
});
