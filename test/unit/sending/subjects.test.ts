import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { InvalidInput } from '../../../src/kernel/errors.js';
import {
  DIRECTIONS,
  SUBJECT_TYPES,
  directionsMeet,
  namedFirst,
  askedSubject,
  parseSubject,
  parsePattern,
  sendStreamKey,
  senderIdentity,
  subjectKey,
  subjectOfKey,
  uniteDirections,
} from '../../../src/sending/subjects.js';

test('accounts are named first, then addresses and domains, and last what strangers change as they please', () => {
  const given = [...SUBJECT_TYPES, ...SUBJECT_TYPES].map((type, value) => ({ type, value }));
  const named = given.toReversed().toSorted(namedFirst);
  assert.deepEqual(
    named.map(({ type }) => type),
    ['account', 'address', 'domain', 'ip', 'ehlo'].flatMap((type) => [type, type]),
  );
  assert.deepEqual(
    named.filter(({ type }) => type === 'ip').map(({ value }) => value),
    [9, 4],
  );
});

describe('a subject that a person wrote', () => {
  for (const [type, raw, value] of [
    ['account', 'Alice@Example.com', 'alice@example.com'],
    ['account', 'alice', 'alice'],
    ['address', 'Alice+x@Example.com', 'alice@example.com'],
    ['address', '*@Example.com', '*@example.com'],
    ['address', 'Bulk-*@Müller.example', 'bulk-*@xn--mller-kva.example'],
    ['address', 'bulk+*@example.com', 'bulk@example.com'],
    ['domain', '@example.com.', 'example.com'],
    ['ehlo', '*.Dyn.example.net', '*.dyn.example.net'],
    ['ehlo', 'localhost', 'localhost'],
    ['ip', '::ffff:192.0.2.7', '192.0.2.7'],
    ['ip', '192.0.2.7/24', '192.0.2.0/24'],
    ['ip', '192.0.2.7/32', '192.0.2.7'],
    ['ip', '2001:DB8::1/64', '2001:db8::/64'],
    ['ip', '2001:db8::1/128', '2001:db8::1'],
    ['ip', '::ffff:192.0.2.7/120', '192.0.2.0/24'],
  ] as const) {
    test(`${type} ${raw} is ${value}`, () => assert.deepEqual(parseSubject(type, raw), { type, value }));
  }
  for (const [type, raw] of [
    ['ehlo', 'w?n'],
    ['ehlo', 'win-????.*'],
    ['address', 'bulk-?@example.com'],
  ] as const) {
    test(`${type} "${raw}" is no pattern to block by, though it can be asked about`, () => {
      assert.throws(() => parsePattern(type, raw, 'who'), /\? is no wildcard/);
      assert.equal(parseSubject(type, raw).value, raw);
    });
  }
  for (const [type, raw, says] of [
    ['user', 'x', /no subject type: use account/],
    ['account', '*@example.com', /no wildcards/],
    ['account', '', /1 to 320 characters/],
    ['account', 'a b', /without spaces/],
    ['account', 'x'.repeat(321), /1 to 320 characters/],
    ['address', 'alice', /no address/],
    ['address', '@example.com', /no address/],
    ['address', 'x@*.example.com', /before the @ only/],
    ['address', '*+spam@example.com', /tag is dropped/],
    ['domain', 'com', /no domain/],
    ['domain', 'a@b.c', /no domain/],
    ['domain', 'ex*.com', /no domain/],
    ['domain', '*.Example.com', /would be example\.com too: write example\.com/],
    ['ehlo', '*.a', /three characters/],
    ['ehlo', 'mü*.example.net', /A-label/],
    ['ip', '10', /no IP address/],
    ['ip', '10/8', /no network/],
    ['ip', '010.0.0.0/8', /no network/],
    ['ip', '192.0.2.0/33', /no network/],
    ['ip', '192.0.2.0/', /no network/],
    ['ip', '192.0.2.0/-1', /no network/],
    ['ip', '192.0.0.0/7', /too wide/],
    ['ip', '2001::/15', /too wide/],
    ['ip', '::ffff:0:0/96', /too wide/],
  ] as const) {
    test(`${type} "${raw.slice(0, 30)}" is refused`, () => {
      assert.throws(
        () => parseSubject(type, raw, 'who'),
        (error) => {
          assert.ok(error instanceof InvalidInput);
          assert.match(error.message, says);
          assert.match(error.field, /^who\.(type|value)$/);
          return true;
        },
      );
    });
  }

  for (const [type, raw, value] of [
    ['account', ' A B@Example.com ', 'a b@example.com'],
    ['account', '<script>@c.example', '<script>@c.example'],
    ['account', 'a*b', 'a*b'],
    ['account', 'x'.repeat(1024), 'x'.repeat(1024)],
    ['address', 'a b+c@Example.com', 'a b@example.com'],
    ['address', 'root', 'root'],
    ['domain', 'Localhost', 'localhost'],
    ['ehlo', 'My PC', 'my pc'],
  ] as const) {
    test(`${type} "${raw.slice(0, 30)}" can be asked about, since a sender may be called so`, () => {
      assert.deepEqual(askedSubject(type, raw), { type, value });
      assert.deepEqual(askedSubject(type, value), { type, value });
    });
  }
  for (const [type, raw] of [
    ['account', ' '],
    ['account', 'a\nb'],
    ['account', 'x'.repeat(1025)],
    ['ip', 'unknown'],
    ['user', 'x'],
  ] as const)
    test(`${type} ${JSON.stringify(raw.slice(0, 30))} cannot be asked about: no event holds it`, () =>
      assert.throws(() => askedSubject(type, raw), InvalidInput));

  test('parsed again is the same', () => {
    const text = fc.stringMatching(/^[a-zA-Z0-9.@*+:/é。-]{1,20}$/);
    fc.assert(
      fc.property(fc.constantFrom(...SUBJECT_TYPES), text, (type, raw) => {
        let subject;
        try {
          subject = parseSubject(type, raw);
        } catch (error) {
          assert.ok(error instanceof InvalidInput, String(error));
          return;
        }
        assert.deepEqual(parseSubject(type, subject.value), subject);
        assert.deepEqual(subjectOfKey(subjectKey(subject)), subject);
      }),
      { numRuns: 10_000 },
    );
  });
  test('no key of another kind is taken for one', () => {
    for (const key of ['', 'alice', 'user:alice', ':x']) assert.equal(subjectOfKey(key), undefined);
  });
});

describe('directions', () => {
  test('meet if one holds the other, and unite to what holds both', () => {
    for (const a of DIRECTIONS) {
      for (const b of DIRECTIONS) {
        assert.equal(directionsMeet(a, b), a === b || a === 'all' || b === 'all');
        assert.equal(uniteDirections(a, b), a === b ? a : 'all');
      }
    }
  });
});

describe('a sender', () => {
  test('is known by what the client gave, in normal form; what it did not give is unknown', () => {
    assert.deepEqual(
      senderIdentity({ account: '', returnPath: '', ehlo: '', ip: 'junk', direction: 'inbound' }),
      { account: undefined, address: '', ehlo: undefined, ip: 'junk', direction: 'inbound' },
    );
    assert.deepEqual(
      senderIdentity({
        account: 'A@B.C',
        returnPath: 'D+e@F.G',
        ehlo: 'H.I.',
        ip: '::FFFF:1.2.3.4',
        direction: 'outbound',
      }),
      { account: 'a@b.c', address: 'd@f.g', ehlo: 'h.i', ip: '1.2.3.4', direction: 'outbound' },
    );
  });
  test('has its sends in the stream of the account, else the return path, else the network', () => {
    const key = (raw: object): string => sendStreamKey(senderIdentity({ direction: 'inbound', ...raw }));
    assert.equal(key({ account: 'a@b.c', returnPath: 'd@e.f', ip: '1.2.3.4' }), 'a@b.c');
    assert.equal(key({ returnPath: 'd@e.f', ip: '1.2.3.4' }), 'd@e.f');
    assert.equal(key({ returnPath: '', ip: '2001:db8::9' }), '2001:db8::/64');
    assert.equal(key({}), 'unknown');
  });
});
