import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import ipaddr from 'ipaddr.js';
import { effectiveAt } from '../../../src/sending/events.js';
import {
  clientNetwork,
  domainOf,
  isIp,
  isLoopback,
  isPrivateIp,
  isWithin,
  normalizeAccount,
  normalizeAddress,
  normalizeDomain,
  normalizeEhlo,
  normalizeIp,
  readIpv6,
} from '../../../src/sending/identity.js';
import { letter } from '../../support/letters.js';

/** Names with everything that has a way to be written twice: case, marks, other dots, spaces, full width. */
const odd = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        'a',
        'B',
        'ß',
        'İ',
        'Σ',
        'J\u030c',
        'e\u0301',
        'É',
        'ﬁ',
        'Ａ',
        'ｘ',
        '１',
        '+',
        '@',
        '.',
        '。',
        '．',
        '｡',
        '*',
        '-',
        '_',
      ),
      fc.constantFrom(
        ' ',
        '\t',
        '\u00a0',
        '\u200b',
        '\u00ad',
        '[',
        ']',
        ':',
        '/',
        '%41',
        '?',
        '#',
        '\\',
        '"',
        'xn--',
        'mail',
        '…',
      ),
      fc.string({ unit: letter, maxLength: 2 }),
    ),
    { maxLength: 8 },
  )
  .map((parts) => parts.join(''));

describe('normal forms', () => {
  for (const [name, normalize] of Object.entries({
    normalizeDomain,
    normalizeAddress,
    normalizeAccount,
    normalizeEhlo,
  })) {
    test(`${name} leaves alone what it has made`, () => {
      fc.assert(
        fc.property(odd, (text) => {
          const once = normalize(text);
          assert.equal(normalize(once), once, JSON.stringify(text));
        }),
        { numRuns: 20_000 },
      );
    });
  }

  test('an EHLO name that is no name has one, or nothing could be new about it', () => {
    for (const raw of ['.', '...', ' . ', ' ']) assert.equal(normalizeEhlo(raw), '.');
    assert.equal(normalizeEhlo(''), '', 'it is not known');
  });

  for (const [raw, normal] of [
    ['EXAMPLE.com', 'example.com'],
    ['example.com...', 'example.com'],
    [' example.com ', 'example.com'],
    ['müller.example', 'xn--mller-kva.example'],
    ['MU\u0308LLER.example', 'xn--mller-kva.example'],
    ['example。com。', 'example.com'],
    ['[192.0.2.1]', '[192.0.2.1]'],
    ['[IPv6:2001:DB8::1]', '[ipv6:2001:db8::1]'],
    ['victim.example/x', 'victim.example/x'],
    ['victim.example:25', 'victim.example:25'],
    ['victim.ex%61mple', 'victim.ex%61mple'],
    ['under_score.example', 'under_score.example'],
    ['', ''],
  ] as const) {
    test(`of the domain "${raw}" is "${normal}"`, () => assert.equal(normalizeDomain(raw), normal));
  }
  for (const [raw, normal] of [
    ['Alice@Example.COM.', 'alice@example.com'],
    ['alice+tag@example.com', 'alice@example.com'],
    ['alice+a+b@example.com', 'alice@example.com'],
    ['+alice@example.com', '+alice@example.com'],
    ['"a@b"@example.com', '"a@b"@example.com'],
    ['"Alice"@example.com', 'alice@example.com'],
    ['"al\\ice+tag"@example.com', 'alice@example.com'],
    ['"john\\ doe+x"@example.com', '"john doe+x"@example.com'],
    ['"a\\"b"@example.com', '"a\\"b"@example.com'],
    ['".alice"@example.com', '".alice"@example.com'],
    ['""@example.com', '""@example.com'],
    ['E\u0301ric@example.com', 'éric@example.com'],
    ['postmaster', 'postmaster'],
    ['', ''],
  ] as const) {
    test(`of the address "${raw}" is "${normal}"`, () => assert.equal(normalizeAddress(raw), normal));
  }
  test('of an account keeps the tag, which is part of a login’s name', () => {
    assert.equal(normalizeAccount(' Alice+Tag@Example.com '), 'alice+tag@example.com');
    assert.equal(normalizeAccount('ALICE'), 'alice');
  });
  for (const [raw, normal] of [
    ['192.0.2.7', '192.0.2.7'],
    [' 192.0.2.7 ', '192.0.2.7'],
    ['::FFFF:192.0.2.7', '192.0.2.7'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['fe80::1%eth0', 'fe80::1'],
    ['010.0.0.1', undefined],
    ['127.1', undefined],
    ['1', undefined],
    ['192.0.2.256', undefined],
    ['192.0.2.7.', undefined],
    ['x', undefined],
    ['', undefined],
  ] as const) {
    test(`of the IP "${raw}" is ${normal}`, () => assert.equal(normalizeIp(raw), normal));
  }

  test('is there for every address, and for nothing else', () => {
    const spoilt = fc
      .tuple(
        fc.oneof(
          fc.ipV4(),
          fc.ipV6(),
          fc.ipV4().map((ip) => `::ffff:${ip}`),
        ),
        fc.nat(40),
        fc.constantFrom('', ':', '.', '9', 'g', '%', ' '),
      )
      .map(([ip, place, other]) => `${ip.slice(0, place)}${other}${ip.slice(place + 1)}`);
    fc.assert(
      fc.property(fc.oneof(spoilt, fc.ipV4(), fc.ipV6(), fc.string()), (raw) => {
        assert.equal(isIp(raw), normalizeIp(raw) !== undefined, raw);
      }),
      { numRuns: 5000 },
    );
  });
});

describe('IPv6', () => {
  test('is read as the library reads it, and nothing else is', () => {
    const group = fc.stringMatching(/^[0-9a-fA-F]{1,4}$/);
    const text = fc.oneof(
      fc
        .tuple(fc.array(group, { maxLength: 8 }), fc.array(group, { maxLength: 8 }))
        .map(([a, b]) => `${a.join(':')}::${b.join(':')}`),
      fc.array(group, { minLength: 7, maxLength: 9 }).map((groups) => groups.join(':')),
      fc.stringMatching(/^[0-9a-fg:]{0,12}$/),
    );
    const parts = new Uint16Array(8);
    let valid = 0;
    fc.assert(
      fc.property(text, (ip) => {
        const read = readIpv6(ip, parts);
        // The library takes `::` for no group at all too; RFC 4291 has it for one or more.
        const groups = ip.split(':').filter((each) => each !== '').length;
        const known = ipaddr.IPv6.isValid(ip) && !(ip.includes('::') && groups === 8);
        assert.equal(read, known, ip);
        if (!read) return;
        valid++;
        assert.deepEqual([...parts], ipaddr.IPv6.parse(ip).parts);
      }),
      { numRuns: 5000 },
    );
    assert.ok(valid > 500, String(valid));
  });

  test('a client’s network is its /64, as the library writes it', () => {
    const part = fc.oneof(fc.constant(0), fc.nat(0xffff));
    fc.assert(
      fc.property(fc.array(part, { minLength: 8, maxLength: 8 }), (parts) => {
        if (parts.slice(0, 5).every((each) => each === 0)) return;
        const ip = new ipaddr.IPv6(parts).toString();
        assert.equal(clientNetwork(ip), `${ipaddr.IPv6.networkAddressFromCIDR(`${ip}/64`).toString()}/64`);
      }),
    );
  });
  test('a client that is IPv4 in truth is that address; what is no address is its own network', () => {
    assert.equal(clientNetwork('::ffff:192.0.2.7'), '192.0.2.7');
    assert.equal(clientNetwork('::ffff:c000:207'), '192.0.2.7');
    assert.equal(clientNetwork('192.0.2.7'), '192.0.2.7');
    assert.equal(clientNetwork('fe80::1%eth0'), 'fe80::/64');
    assert.equal(clientNetwork('::1'), '::/64');
    assert.equal(clientNetwork('no:address'), 'no:address');
  });
});

describe('what an address is', () => {
  test('its domain', () => {
    assert.deepEqual(['a@b.c', '"a@b"@c', 'a', 'a@', ''].map(domainOf), [
      'b.c',
      'c',
      undefined,
      undefined,
      undefined,
    ]);
  });
  test('within a network, or not', () => {
    for (const [ip, network, within] of [
      ['192.0.2.7', '192.0.2.0/24', true],
      ['::ffff:192.0.2.7', '192.0.2.0/24', true],
      ['192.0.3.7', '192.0.2.0/24', false],
      ['192.0.2.7', '192.0.2.7', true],
      ['192.0.2.8', '192.0.2.7', false],
      ['2001:db8:1::7', '2001:db8::/32', true],
      ['2001:db9::7', '2001:db8::/32', false],
      ['192.0.2.7', '2001:db8::/32', false],
      ['127.0.0.1', 'private', true],
      ['::1', 'private', true],
      ['10.1.2.3', 'private', true],
      ['192.0.2.7', 'private', false],
      ['', '192.0.2.0/24', false],
    ] as const)
      assert.equal(isWithin(ip, network), within, `${ip} in ${network}`);
  });

  test('private, loopback or neither', () => {
    const kinds = [
      '10.1.2.3',
      '127.0.0.1',
      '::1',
      'fd00::1',
      'fe80::/64',
      '192.168.0.0/16',
      '8.8.8.8',
      '2001:4860::1',
      'x',
    ];
    assert.deepEqual(kinds.map(isPrivateIp), [true, true, true, true, true, true, false, false, false]);
    assert.deepEqual(kinds.map(isLoopback), [false, true, true, false, false, false, false, false, false]);
  });
  test('happened by its own clock, within five minutes of the store’s', () => {
    const minute = 60_000;
    for (const [at, effective] of [
      [0, 0],
      [5 * minute, 5 * minute],
      [9 * minute, 5 * minute],
      [-9 * minute, -5 * minute],
    ] as const) {
      const sent = { at: 1e12 + at, recordedAt: 1e12, data: {} };
      assert.equal(effectiveAt(sent), 1e12 + effective);
    }
  });
});
