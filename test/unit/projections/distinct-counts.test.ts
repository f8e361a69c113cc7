import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { DistinctCells, DistinctCounts } from '../../../projections/volume/distinct-counts.js';
import { HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import { DISTINCT_MAX } from '../../../src/rules/model.js';
import type { DistinctCount } from '../../../src/rules/model.js';
import { parseRules } from '../../../src/rules/parse.js';
import type { MessageAccepted } from '../../../src/sending/events.js';
import { sent } from '../../support/sends.js';

const START = Date.UTC(2026, 0, 1);

describe('different ones', () => {
  test('are counted once each, and only those seen after an instant', () => {
    const ones = new DistinctCells();
    ones.note(0, 7, START + SECOND);
    ones.note(0, 7, START + 5 * SECOND);
    ones.note(0, 8, START + 3 * SECOND);
    assert.equal(ones.count(0, START), 2);
    assert.equal(ones.count(0, START + 3 * SECOND), 1);
    assert.equal(ones.count(0, START + 5 * SECOND), 0);
    assert.equal(ones.count(1, START), 0, 'of another row');
    assert.equal(ones.count(5_000, START), 0, 'of one that nothing was noted for');
  });

  test('are the newest sixteen, as a list of all of them says', () => {
    const note = fc.record({
      hash: fc.integer({ min: 1, max: 40 }),
      pause: fc.integer({ min: 1, max: 30 }),
      late: fc.oneof(fc.constant(0), fc.nat(60)),
    });
    fc.assert(
      fc.property(fc.array(note, { maxLength: 120 }), fc.nat(300), (notes, window) => {
        const ones = new DistinctCells();
        const last = new Map<number, number>();
        let now = START;
        for (const { hash, pause, late } of notes) {
          now += pause * SECOND;
          const at = now - late * SECOND;
          ones.note(3, hash, at);
          last.set(hash, Math.max(at, last.get(hash) ?? 0));
          const since = now - window * SECOND;
          const true_ = [...last.values()].filter((each) => each > since).length;
          const counted = ones.count(3, since);
          assert.ok(counted <= true_, 'never too many');
          // One that is pushed out and comes back late is the only way to lose any of fewer than sixteen.
          if (notes.every((each) => each.late === 0)) assert.equal(counted, Math.min(true_, DISTINCT_MAX));
        }
      }),
    );
  });

  test('are not pushed out by one that comes late and was seen before all of them', () => {
    const ones = new DistinctCells();
    for (let hash = 1; hash <= DISTINCT_MAX; hash++) ones.note(0, hash, START + hash * SECOND);
    ones.note(0, 99, START);
    assert.equal(ones.count(0, START), DISTINCT_MAX);
    ones.note(0, 99, START + MINUTE);
    assert.equal(ones.count(0, START + SECOND), DISTINCT_MAX, 'the oldest makes room');
  });

  test('with hashes above 2^31 are told apart', () => {
    const ones = new DistinctCells();
    for (const hash of [0xffffffff, 0x80000000, 0x7fffffff, 1]) {
      ones.note(0, hash, START);
      ones.note(0, hash, START);
    }
    assert.equal(ones.count(0, START - SECOND), 4);
  });

  test('of a row are emptied, taken over and dumped without touching others', () => {
    const ones = new DistinctCells();
    for (const row of [0, 1, 255, 256, 700]) {
      for (let hash = 1; hash <= 1 + (row % 7); hash++) ones.note(row, hash, START);
    }
    const counts = (which: DistinctCells): readonly number[] =>
      [0, 1, 255, 256, 700, 900].map((row) => which.count(row, START - SECOND));
    const before = counts(ones);
    const dump = ones.dump();
    ones.clear(1);
    ones.clear(100_000);
    ones.copy(900, ones, 256);
    ones.copy(901, ones, 100_000);
    assert.deepEqual(counts(ones), [before[0], 0, ...before.slice(2, 5), before[3]]);
    const restored = new DistinctCells();
    restored.restore(dump);
    assert.deepEqual(counts(restored), before);
    restored.note(700, 99, START);
    assert.equal(restored.count(700, START - SECOND), before[4]! + 1);
  });
});

describe('what is told apart of messages', () => {
  const rule = (more: string, count = 'messages'): string =>
    `  - { id: r${more.length}${count}, per: account, count: ${count}, window: 10m, limit: 5, then: observe${more} }\n`;
  const diversities = (...rules: readonly string[]): DistinctCounts =>
    new DistinctCounts('account', parseRules(`version: 1\nrules:\n${rules.join('')}`).rules, 3);
  const message = (more: Partial<MessageAccepted>): MessageAccepted =>
    sent(START, 1, more).data as MessageAccepted;
  const count = (which: DistinctCounts, kind: DistinctCount): number =>
    which.count(kind, 0, START, 10 * MINUTE, 0);

  test('is what any rule asks for: by its count, its conditions or its signals', () => {
    assert.equal(diversities(rule('')).any, false);
    const signals = ', score: { threshold: 1, signals: [{ points: 1, distinct: { recipientDomains: 3 } }] }';
    const asked = diversities(
      rule('', 'networks'),
      rule(', when: { distinct: { ehlos: 2 } }'),
      rule(signals),
    );
    asked.note(0, message({}), START);
    assert.deepEqual(
      (['networks', 'ehlos', 'returnPaths', 'recipientDomains'] as const).map((kind) => count(asked, kind)),
      [1, 1, 0, 1],
    );
    assert.deepEqual(
      asked.watches.map(({ kind, index }) => [kind, index]),
      [['networks', 3]],
      'only a count has a limit of its own',
    );
  });

  test('is compared in normal form', () => {
    const all = diversities(
      ...(['networks', 'ehlos', 'returnPaths', 'recipientDomains'] as const).map((kind) => rule('', kind)),
    );
    for (const more of [
      { ip: '2001:db8::1', ehlo: 'PC.example.com', returnPath: 'Alice+news@Example.com' },
      { ip: '2001:db8::2', ehlo: 'pc.example.com.', returnPath: 'alice@example.com' },
      { ip: '', ehlo: '', returnPath: '' },
    ]) {
      all.note(0, message({ ...more, recipientDomains: ['example.org', 'example.net'] }), START);
    }
    assert.deepEqual(
      (['networks', 'ehlos', 'returnPaths', 'recipientDomains'] as const).map((kind) => count(all, kind)),
      [1, 1, 1, 2],
    );
  });

  test('is counted within a window, and since it last was evidence', () => {
    const asked = diversities(rule('', 'networks'));
    for (let index = 0; index < 6; index++) {
      asked.note(0, message({ ip: `192.0.2.${index}` }), START + index * MINUTE);
    }
    const at = START + 5 * MINUTE;
    assert.equal(asked.count('networks', 0, at, HOUR, 0), 6);
    assert.equal(asked.count('networks', 0, at, 3 * MINUTE, 0), 3, 'a window leaves out its first moment');
    assert.equal(asked.count('networks', 0, at, HOUR, START + 4 * MINUTE), 1);
  });
});
