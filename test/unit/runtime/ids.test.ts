import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { v5, v7, validate, version } from 'uuid';
import { askedMessageId, idOf, newId, queuedMessageId, transactionId } from '../../../src/runtime/ids.js';
import { DAY } from '../../../src/kernel/time.js';
import { letter } from '../../support/letters.js';

test('the id of a text is the UUID of version 5 that the library makes of it: stores hold such ids', () => {
  fc.assert(
    fc.property(fc.string({ unit: letter, maxLength: 300 }), (text) => {
      assert.equal(idOf(text), v5(text, '6f1f3c4e-0d0b-4a7c-9d53-5c0f7e2b8a61'));
    }),
  );
});

test('a new id is a UUID of version 7 that begins with the time, as the library makes it, and no two are the same', () => {
  const made = new Set<string>();
  for (let count = 0; count < 2000; count += 1) {
    const before = v7().slice(0, 13);
    const id = newId();
    const after = v7().slice(0, 13);
    assert.ok(validate(id) && version(id) === 7, id);
    assert.ok(before <= id.slice(0, 13) && id.slice(0, 13) <= after, id);
    made.add(id);
  }
  assert.equal(made.size, 2000);
});

test('no id of an SMTP transaction follows from another of its session', () => {
  const made = Array.from({ length: 500 }, () => transactionId('f2unpifhbt5ql697'));
  for (const id of made) assert.match(id, /^f2unpifhbt5ql697\.[\da-f]{12}$/);
  assert.equal(new Set(made).size, 500);
  // Each digit takes each value: none counts, and none is of the time.
  for (let place = 0; place < 12; place += 1)
    assert.equal(new Set(made.map((id) => id.at(-1 - place))).size, 16, `digit ${place}`);
});

test('the id of a message is the same for the same names, another for any other, and a UUID of version 8', () => {
  const text = fc.string({ unit: letter, maxLength: 60 });
  const queueId = fc.oneof(
    text,
    fc.constantFrom('4ABC', '0F3A21B2C3', '4aBcDe12zXyZ', '1abcDE-000000001Xy-0aBC'),
  );
  fc.assert(
    fc.property(text, queueId, fc.nat(40 * DAY), (key, queued, at) => {
      const id = queuedMessageId(key, queued, at);
      assert.ok(validate(id) && version(id) === 8, id);
      assert.equal(queuedMessageId(key, queued, at - (at % DAY)), id);
      const others = [
        queuedMessageId(`${key}x`, queued, at),
        queuedMessageId(key, `${queued}0`, at),
        queuedMessageId(key, queued, at + DAY),
      ];
      const asked = askedMessageId(queued);
      assert.ok(validate(asked) && version(asked) === 8, asked);
      assert.equal(new Set([id, ...others, asked, askedMessageId(`${queued}0`)]).size, 6);
    }),
  );
});

test('ids of messages lie in the order of time, or beside others of the same queue file', () => {
  const [first, second, third] = ['6b0a8558.e7ade', '6b0a8558.e7adf', '6b0a8559.00001'].map((time) =>
    askedMessageId(`1f2e.${time}.0 192.0.2.1 192.0.2.7 45678`),
  );
  assert.equal(first!.slice(0, 13), '00006b0a-8558');
  assert.equal(first!.slice(0, 13), second!.slice(0, 13));
  assert.ok(third! > first! && third! > second!);
  const of = (queueId: string): string => queuedMessageId('alice@example.com', queueId, 0).slice(0, 13);
  assert.equal(of('0F3A21B2C3'), of('FFFFF1B2C3'));
  assert.ok(of('0F3A21B2C3') < of('0F3A21B2C4'));
  assert.ok(
    of('4aBcDe12zXyZ') < of('4aBcDf12zXyZ') && of('1abcDE-000000001Xy-0aBC') < of('1abcDF-000000001Xy-0aBC'),
  );
});
