import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { normalizeAddress } from '../../../src/sending/identity.js';
import { asPostfixSends } from '../../../src/sending/postfix-address.js';

describe('the address that Postfix makes of a name', () => {
  // As Postfix 3.7 gave the left ones to its policy service, and sent the right ones out.
  for (const [raw, sent] of [
    ['eve@example.com', 'eve@example.com'],
    ['eve%example.com', 'eve@example.com'],
    ['example.com!eve', 'eve@example.com'],
    ['eve+tag%example.com', 'eve+tag@example.com'],
    ['Eve%EXAMPLE.com', 'Eve@EXAMPLE.com'],
    ['a%b%example.com', 'a%b@example.com'],
    ['example.com!a!b', 'a!b@example.com'],
    ['example.com!a%c.test', 'a%c.test@example.com'],
    ['%example.com', '@example.com'],
    ['example.com!', '@example.com'],
    ['éve%example.com', 'éve@example.com'],
    ['eve\u00a0%example.com', 'eve\u00a0@example.com'],
    ['eve%example.com@other.test', 'eve%example.com@other.test'],
    ['example.com!eve@other.test', 'example.com!eve@other.test'],
    ['eve%localhost', 'eve@localhost'],
    ['', ''],
    ['@', '@'],
    ['@example.com', '@example.com'],
    ['@a.test:', '@a.test:'],
    ['@a.test:eve@example.com', 'eve@example.com'],
    ['@a.test,@b.test:eve@example.com', 'eve@example.com'],
    ['@a.test:eve%example.com', 'eve@example.com'],
    ['@a.test:example.com!eve', 'eve@example.com'],
    ['@a.test:eve%example.com@other.test', 'eve%example.com@other.test'],
    ['@a.test:@example.com', '@example.com'],
    ['@a.test:eve@[IPv6:::1]', 'eve@[IPv6:::1]'],
    ['@a.test:eve x@example.com', 'eve x@example.com'],
  ] as const)
    test(`"${raw}" becomes "${sent}"`, () => assert.equal(asPostfixSends(raw), sent));

  for (const raw of [
    'eve x%example.com',
    'eve:x%example.com',
    'eve%example.com.',
    '.eve%example.com',
    'a..b%example.com',
    'eve%[127.0.0.1]',
    '"eve%example.com"',
    '"eve"%example.com',
  ])
    test(`"${raw}" stays, since Postfix puts it into quotes`, () => assert.equal(asPostfixSends(raw), raw));

  test('"www-data" stays without a domain, since that is not known here', () => {
    assert.equal(asPostfixSends('www-data'), 'www-data');
  });

  // Of these Postfix sends `<eve@example.com >` out, or leaves a route to the next mail server.
  for (const raw of [
    '@a.test:@b.test:eve@example.com',
    '@a.test:@b.test:eve%example.com',
    '@a.test:@b.test:@c.test:eve@example.com',
    '@[IPv6:::1]:eve@example.com',
    '@[IPv6:::1]:eve%example.com',
  ])
    test(`"${raw}" loses all its routes`, () => assert.equal(asPostfixSends(raw), 'eve@example.com'));

  test('is the same if it is made again, and an address that begins like one stays as it is', () => {
    const name = fc.string({ unit: fc.constantFrom('a', '%', '!', '@', ':', '.', '"', ' ') });
    fc.assert(
      fc.property(name, (raw) => {
        const once = asPostfixSends(raw);
        if (raw.includes('@') && !raw.startsWith('@')) assert.equal(once, raw);
        if (once.includes('@') && !once.startsWith('@')) assert.equal(asPostfixSends(once), once);
        assert.doesNotThrow(() => normalizeAddress(once));
      }),
    );
  });

  test('takes time in proportion to its length', () => {
    for (const piece of ['@a:', 'a.', '%', '!', '@', ':', '.']) {
      const raw = piece.repeat(1_000_000);
      const began = process.cpuUsage();
      asPostfixSends(raw);
      asPostfixSends(`${raw}\u0001"`);
      assert.ok(process.cpuUsage(began).user < 2_000_000, piece);
    }
  });
});
