import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { normalizeIp } from '../../../src/sending/identity.js';
import type { ProxyHeader } from '../../../src/smtp/proxy-header.js';
import { readProxyHeader } from '../../../src/smtp/proxy-header.js';

const SIGNATURE = '0d0a0d0a000d0a515549540a';

/** Version 2. @param rest addresses and TLVs, in hexadecimal */
function binary(command: string, family: string, rest: string, length = rest.length / 2): Buffer {
  return Buffer.from(`${SIGNATURE}${command}${family}${length.toString(16).padStart(4, '0')}${rest}`, 'hex');
}

const line = (text: string): Buffer => Buffer.from(text, 'latin1');

function clientOf(header: ProxyHeader): unknown {
  assert.ok(typeof header === 'object', 'it is no header');
  return header.client === undefined ? undefined : [normalizeIp(header.client.ip), header.client.port];
}

/** 192.0.2.7:4711 to 198.51.100.1:587, and 2001:db8::7 to 2001:db8::1. */
const V4 = 'c0000207c63364011267024b';
const V6 = '20010db800000000000000000000000720010db80000000000000000000000011267024b';
const CRC_AND_NOOP = '030004deadbeef0400020000';
/** PP2_TYPE_SSL of a client with TLS and no certificate, with the version in it. */
const TLS = '20000f0100000000210007544c5376312e33';

const GOOD: readonly (readonly [name: string, header: Buffer, client: unknown])[] = [
  ['TCP over IPv4 as text', line('PROXY TCP4 192.0.2.7 198.51.100.1 4711 587\r\n'), ['192.0.2.7', 4711]],
  ['TCP over IPv6 as text', line('PROXY TCP6 2001:db8::7 ::1 4711 587\r\n'), ['2001:db8::7', 4711]],
  [
    'the longest line of IPv4 (section 2.1)',
    line('PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n'),
    ['255.255.255.255', 65_535],
  ],
  [
    'the longest line of IPv6',
    line(`PROXY TCP6 ${'ffff:'.repeat(7)}ffff ${'ffff:'.repeat(7)}ffff 65535 65535\r\n`),
    ['ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 65_535],
  ],
  ['an unknown connection as text', line('PROXY UNKNOWN\r\n'), undefined],
  [
    'the longest line there is, whose addresses are ignored',
    line(`PROXY UNKNOWN ${'ffff:'.repeat(7)}ffff ${'ffff:'.repeat(7)}ffff 65535 65535\r\n`),
    undefined,
  ],
  ['TCP over IPv4', binary('21', '11', V4), ['192.0.2.7', 4711]],
  ['TCP over IPv6', binary('21', '21', V6), ['2001:db8::7', 4711]],
  [
    'what the client has agreed with the proxy',
    binary('21', '11', V4 + CRC_AND_NOOP + TLS),
    ['192.0.2.7', 4711],
  ],
  ['TLVs after the addresses', binary('21', '11', V4 + CRC_AND_NOOP), ['192.0.2.7', 4711]],
  [
    'an IPv4 address in IPv6 form',
    binary('21', '21', `${'0'.repeat(20)}ffffc0000207${V6.slice(32)}`),
    ['192.0.2.7', 4711],
  ],
  ['a UNIX socket', binary('21', '31', '00'.repeat(216)), undefined],
  ["the proxy's own connection", binary('20', '00', ''), undefined],
  ["the proxy's own connection, with addresses that are ignored", binary('20', '11', V4), undefined],
  ['an unspecified family', binary('21', '00', CRC_AND_NOOP), undefined],
  ['the most that is read', binary('21', '11', V4 + '00'.repeat(2048 - 12)), ['192.0.2.7', 4711]],
];

const BAD: readonly (readonly [name: string, header: Buffer])[] = [
  ['what a client says', line('EHLO pc.example.com\r\n')],
  ['a TLS handshake', Buffer.from('16030100', 'hex')],
  ['lower case', line('proxy TCP4 192.0.2.7 198.51.100.1 4711 587\r\n')],
  ['two spaces', line('PROXY  TCP4 192.0.2.7 198.51.100.1 4711 587\r\n')],
  ['a family of its own', line('PROXY UDP4 192.0.2.7 198.51.100.1 4711 587\r\n')],
  ['UNKNOWN with more letters', line('PROXY UNKNOWNX\r\n')],
  ['IPv6 called IPv4', line('PROXY TCP4 ::1 ::1 4711 587\r\n')],
  ['a zone', line('PROXY TCP6 fe80::1%eth0 ::1 4711 587\r\n')],
  ['a name', line('PROXY TCP4 localhost 198.51.100.1 4711 587\r\n')],
  ['a port too large', line('PROXY TCP4 192.0.2.7 198.51.100.1 65536 587\r\n')],
  ['a port with a zero before it', line('PROXY TCP4 192.0.2.7 198.51.100.1 04711 587\r\n')],
  ['a missing port', line('PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n')],
  ['one word more', line('PROXY TCP4 192.0.2.7 198.51.100.1 4711 587 x\r\n')],
  ['a line end alone within a line', line('PROXY TCP4 192.0.2.7\nPROXY 198.51.100.1 4711 587\r\n')],
  ['a line without end', line(`PROXY UNKNOWN ${'x'.repeat(200)}`)],
  ['a line one octet too long', line(`PROXY UNKNOWN ${'x'.repeat(92)}\r\n`)],
  ['version 1 in binary', binary('11', '11', V4)],
  ['another version', binary('31', '11', V4)],
  ['another command', binary('22', '11', V4)],
  ['UDP', binary('21', '12', V4)],
  ['another family', binary('21', '41', V4)],
  ['a UNIX datagram', binary('21', '32', '00'.repeat(216))],
  ['addresses cut short', binary('21', '11', V4.slice(2))],
  ['IPv6 with the length of IPv4', binary('21', '21', V4)],
  ['a length beyond what is read', binary('21', '11', V4, 2049)],
];

describe('the PROXY header', () => {
  for (const [name, header, client] of GOOD)
    test(`is read: ${name}`, () => {
      const read = readProxyHeader(Buffer.concat([header, Buffer.from('EHLO x\r\n')]));
      assert.deepEqual(clientOf(read), client);
      assert.ok(typeof read === 'object');
      assert.equal(read.bytes, header.length);
    });

  for (const [name, header] of BAD)
    test(`is refused: ${name}`, () => assert.equal(readProxyHeader(header), 'malformed'));

  test('is the same however its bytes are split: incomplete up to its last byte', () => {
    for (const [name, header] of GOOD)
      for (let length = 0; length < header.length; length++)
        assert.equal(readProxyHeader(header.subarray(0, length)), 'incomplete', `${name}, ${length} bytes`);
  });

  test('says whether the client uses TLS by its TLVs alone, and only where they are whole', () => {
    const usesTls = (header: Buffer): unknown => {
      const read = readProxyHeader(header);
      assert.ok(typeof read === 'object');
      return read.client?.usesTls;
    };
    for (const [family, addresses] of [
      ['11', V4],
      ['21', V6],
    ] as const) {
      assert.equal(usesTls(binary('21', family, addresses)), false);
      assert.equal(usesTls(binary('21', family, addresses + CRC_AND_NOOP)), false);
      assert.equal(usesTls(binary('21', family, addresses + TLS)), true);
      assert.equal(usesTls(binary('21', family, addresses + CRC_AND_NOOP + TLS + CRC_AND_NOOP)), true);
      for (let cut = 2; cut < TLS.length; cut += 2)
        assert.equal(usesTls(binary('21', family, addresses + TLS.slice(0, -cut))), false, `without ${cut}`);
      // The client itself sends what follows.
      const injected = Buffer.concat([binary('21', family, addresses), Buffer.from(TLS, 'hex')]);
      assert.equal(usesTls(injected), false);
    }
    const [withoutTls, empty, withinAnother] = ['2000050000000000', '200000', `050012${TLS}`];
    for (const tlvs of [withoutTls, empty, withinAnother])
      assert.equal(usesTls(binary('21', '11', V4 + tlvs)), false, tlvs);
    assert.equal(usesTls(line('PROXY TCP4 192.0.2.7 198.51.100.1 4711 587\r\n')), false);
    assert.equal(usesTls(binary('20', '11', V4 + TLS)), undefined);
  });

  test('never changes its mind, and is never waited for beyond its bound, whatever comes', () => {
    const start = fc.constantFrom(...[...GOOD, ...BAD].map(([, header]) => header), Buffer.alloc(0));
    const bytes = fc.uint8Array({ maxLength: 64 });
    const broken = fc
      .tuple(start, fc.nat(40), bytes)
      .map(([header, at, junk]) => Buffer.concat([header.subarray(0, at), junk, header.subarray(at)]));
    fc.assert(
      fc.property(broken, (data) => {
        let decided: ProxyHeader = 'incomplete';
        for (let length = 0; length <= Math.min(data.length, 300); length++) {
          const now = readProxyHeader(data.subarray(0, length));
          if (decided === 'incomplete') decided = now;
          assert.deepEqual(now, decided);
        }
        const filled = Buffer.concat([data, Buffer.alloc(16 + 2048)]);
        assert.notEqual(readProxyHeader(filled), 'incomplete');
      }),
      { numRuns: 200 },
    );
  });
});
