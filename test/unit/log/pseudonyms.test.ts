import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Pseudonyms } from '../../../src/log/pseudonyms.js';
import { texts } from '../architecture/sources.js';

const names = new Pseudonyms(Buffer.alloc(32, 7));
const others = new Pseudonyms(Buffer.alloc(32, 8));
const alice = names.of('alice@example.com');

describe('a pseudonym', () => {
  test('is the same for the same name in any spelling, and another under another key', () => {
    assert.match(alice, /^h:[0-9a-f]{16}$/);
    for (const spelling of ['Alice@Example.COM', ' alice@example.com', 'alice+news@example.com']) {
      assert.equal(names.of(spelling), alice, spelling);
    }
    assert.notEqual(names.of('alicf@example.com'), alice);
    assert.notEqual(others.of('alice@example.com'), alice);
    assert.equal(names.of('2001:DB8::0:1'), names.of('2001:db8::1'));
    assert.equal(names.of('Bücher.example'), names.of('xn--bcher-kva.example'));
  });

  test('of nobody is nothing, and one of a pseudonym is itself', () => {
    assert.equal(names.of(''), '');
    assert.equal(names.of(alice), alice);
    assert.notEqual(names.of('h:scanner'), 'h:scanner');
  });
});

describe('a record', () => {
  test('has hashes in the place of names, and keeps the rest', () => {
    const record = names.record({
      level: 'info',
      correlation: 'event:17',
      rule: 'burst',
      subject: { type: 'account', value: 'alice@example.com' },
      account: 'alice@example.com',
      ip: '192.0.2.7',
      network: '2001:db8::/64',
      observed: 101,
      until: '2027-01-31T08:00:00.000Z',
      block: '01a20db0-c7a5-7429-b51e-5ef7ae52fb23',
      sentence: 'Account alice@example.com: 101 recipients within 10m; rule "burst" allows 100.',
      nothing: undefined,
    });
    assert.deepEqual(record, {
      level: 'info',
      correlation: 'event:17',
      rule: 'burst',
      subject: { type: 'account', value: alice },
      account: alice,
      ip: names.of('192.0.2.7'),
      network: names.of('2001:db8::/64'),
      observed: 101,
      until: '2027-01-31T08:00:00.000Z',
      block: '01a20db0-c7a5-7429-b51e-5ef7ae52fb23',
      sentence: `Account ${alice}: 101 recipients within 10m; rule "burst" allows 100.`,
      nothing: undefined,
    });
  });

  test('replaces in its texts every name that another field has, in any form', () => {
    const { sentence, error } = names.record({
      subject: { type: 'account', value: 'front desk' },
      sentence: 'Account front desk: 101 recipients within 10m; rule "burst" allows 100.',
      error: 'the Front Desk is at front-desk2, not front desk',
    });
    const hash = names.of('front desk');
    assert.equal(sentence, `Account ${hash}: 101 recipients within 10m; rule "burst" allows 100.`);
    assert.equal(error, `the ${hash} is at front-desk2, not ${hash}`);
  });

  test('keeps what a rule signs as, which is no address', () => {
    const { by, sentence } = names.record({
      by: 'rule:minute@1',
      sentence: 'blocked by rule:New_account-2.b@17. Not by rule:bob@example.com or rule:bob@1.example',
    });
    assert.equal(by, 'rule:minute@1');
    const [bob, other] = [names.of('bob@example.com'), names.of('bob@1.example')];
    assert.equal(sentence, `blocked by rule:New_account-2.b@17. Not by rule:${bob} or rule:${other}`);
  });

  test('says of a faulty file only the places of the faults', () => {
    const { faults } = names.record({
      what: 'users',
      faults: 'data/users.yaml:3:5: users[1].name: scanner is there twice; remove one\nscanner is gone',
    });
    assert.equal(faults, 'data/users.yaml:3:5; (left out)');
  });

  test('is looked through to its depth, lists and errors too', () => {
    const error = new TypeError('no route to 192.0.2.7');
    const { task, list, err } = names.record({
      task: { subject: { value: 'scanner' }, more: [{ text: 'mail for bob@example.com' }] },
      list: ['a@example.com'],
      err: error,
    });
    assert.ok(!/scanner|example/.test(JSON.stringify([task, list])));
    assert.ok(JSON.stringify(err).includes(`"message":"no route to ${names.of('192.0.2.7')}"`));
    let nested: Record<string, unknown> = { account: 'deep@example.com' };
    for (let depth = 0; depth < 20; depth++) nested = { nested };
    assert.ok(!JSON.stringify(names.record(nested)).includes('deep@example.com'));
  });
});

describe('a text', () => {
  const cases: readonly (readonly [text: string, clear: string])[] = [
    ['<bob@example.com>: user unknown', 'bob@example.com'],
    ['to bob@example.com.', 'bob@example.com'],
    ['"bob smith"@example.com is full', '"bob smith"@example.com'],
    ['append to send-bob@example.com: disk full', 'bob@example.com'],
    ['append to send-front desk: disk full', 'front desk'],
    ['stream block-account:front desk is at 5, not at 4', 'front desk'],
    ['the store did not answer an append to auth-192.0.2.7 within 5000 ms', '192.0.2.7'],
    ['the retention of send-scanner could not be set', 'scanner'],
    ['the last is send-scanner', 'scanner'],
    ['Return path bob@example.com: 9 bounces', 'bob@example.com'],
    ['EHLO name win-7f3a: 9 messages', 'win-7f3a'],
    ['connect ECONNREFUSED 192.0.2.7:25', '192.0.2.7'],
    ['connect ECONNREFUSED 2001:db8::7', '2001:db8::7'],
    ['from [IPv6:2001:db8::7]', '2001:db8::7'],
  ];
  for (const [text, clear] of cases) {
    test(`hides ${clear} in "${text}"`, () => {
      const hidden = names.text(text);
      assert.ok(!hidden.includes(clear), hidden);
      assert.ok(hidden.includes(names.of(clear)), `${hidden} has no ${names.of(clear)}`);
    });
  }

  test('hides the key of every category of streams that has one for each name', () => {
    const categories = texts('src').flatMap(({ text }) =>
      [...text.matchAll(/_CATEGORY = '(\w+)'/g)].map(([, name]) => name!),
    );
    // A channel of notices is named by the configuration, and names nobody.
    const keyed = categories.filter(
      (name) => !['rules', 'quarantine', 'notices', 'forgetting'].includes(name),
    );
    assert.ok(keyed.length >= 5, keyed.join());
    for (const category of keyed)
      assert.equal(
        names.text(`append to ${category}-front desk: no`),
        `append to ${category}-${names.of('front desk')}: no`,
      );
  });

  test('keeps what names nobody', () => {
    for (const text of [
      'disk full (ENOSPC) at 12:30:45',
      '01a20db0-c7a5-7429-b51e-5ef7ae52fb23',
      'connect ECONNREFUSED 127.0.0.1:2526',
      'listening on ::1',
      'KurrentDB is away; the store opens without it',
      'h:0123456789abcdef',
    ]) {
      assert.equal(names.text(text), text);
    }
  });

  test('holds no address that was in it, in any surroundings', () => {
    const part = fc.stringMatching(/^[a-z][a-z0-9._+-]{2,12}$/);
    const around = fc.string({ maxLength: 12 });
    fc.assert(
      fc.property(part, part, around, around, (local, host, before, after) => {
        const address = `${local}@${host}.example`;
        assert.ok(!names.text(`${before} ${address} ${after}`).includes(address));
      }),
    );
  });
});
