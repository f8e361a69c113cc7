import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Labels, isAftermath } from '../../../src/backtest/labels.js';
import { DAY } from '../../../src/kernel/time.js';

const START = Date.UTC(2027, 0, 4, 12);
const iso = (at: number): string => new Date(at).toISOString();
const ATTACK = {
  id: 'a0',
  kind: 'burst',
  accounts: ['Anna@Example.com'],
  start: iso(START),
  end: iso(START + 1000),
  messages: 1,
  recipients: 1,
  sent: [`Anna@Example.com ${iso(START)}`],
};

describe('labels', () => {
  test('say which message belongs to which attack, and who may send in bulk', () => {
    const labels = Labels.parse(
      JSON.stringify({ attacks: [ATTACK], bulk: ['news@example.com'], seed: 7 }),
      'labels.json',
    );
    const anna = labels.of('anna@example.com')!;
    assert.equal(anna.sent.get(START)?.attack.id, 'a0');
    assert.equal(anna.sent.get(START + 1), undefined);
    assert.equal(anna.bulk, false);
    assert.equal(labels.of('news@example.com')?.bulk, true);
    assert.equal(labels.of('bert@example.com'), undefined);
  });

  test('say how many messages they name: each once, however it is written', () => {
    const sent = [...ATTACK.sent, `anna@example.com ${iso(START)}`, `ben@example.com ${iso(START)}`];
    const labels = Labels.parse(JSON.stringify({ attacks: [{ ...ATTACK, sent }] }), 'labels.json');
    assert.deepEqual([labels.messages, labels.name], [2, 'labels.json']);
  });

  test('leave out the attack and the day after it', () => {
    const anna = Labels.parse(JSON.stringify({ attacks: [ATTACK] }), 'l').of('anna@example.com')!;
    const end = START + 1000;
    assert.deepEqual(
      [START - 1, START, end + DAY, end + DAY + 1].map((at) => isAftermath(anna, at)),
      [false, true, true, false],
    );
  });

  for (const [what, content, message] of [
    ['no JSON', '{', /^labels\.json: is no JSON/],
    ['a list', '[]', /^labels\.json: must be an object \{attacks, bulk\}$/],
    ['no attacks', '{}', /^labels\.json: attacks: must be a list of attacks$/],
    ['a time', { ...ATTACK, start: 'noon' }, /^labels\.json: attacks\[0\]\.start: must be an ISO 8601 time/],
    ['no kind', { ...ATTACK, kind: undefined }, /^labels\.json: attacks\[0\]\.kind: must be a text$/],
    [
      'what was sent',
      { ...ATTACK, sent: ['anna@example.com'] },
      /^labels\.json: attacks\[0\]\.sent\[0\]: must be an account and a time/,
    ],
  ] as const) {
    test(`are refused with the field: ${what}`, () => {
      const text = typeof content === 'string' ? content : JSON.stringify({ attacks: [content] });
      assert.throws(() => Labels.parse(text, 'labels.json'), { code: 'invalid-input', message });
    });
  }
});
