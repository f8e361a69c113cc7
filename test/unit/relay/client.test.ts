import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { heloName, xclient, xforward } from '../../../src/smtp/relay/client.js';
import { parseCapabilities } from '../../../src/smtp/relay/commands.js';
import type { RelayClient } from '../../../src/smtp/relay/port.js';
import { letter } from '../../support/letters.js';

/** As Postfix offers them. */
const ALL = parseCapabilities([
  'mx',
  'XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT',
  'XCLIENT NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT',
]);
const CLIENT: RelayClient = {
  ip: '192.0.2.7',
  port: 4711,
  protocol: 'ESMTP',
  helo: 'pc.example.com',
  login: 'alice@example.com',
  ident: 'abc.1',
};

describe('what an upstream is told of the client', () => {
  it('is everything that XFORWARD takes, in one command where it is short', () => {
    assert.deepEqual(xforward(ALL, CLIENT), [
      'XFORWARD NAME=[UNAVAILABLE] ADDR=192.0.2.7 PORT=4711 PROTO=ESMTP HELO=pc.example.com IDENT=abc.1 SOURCE=REMOTE',
    ]);
    const local = { ...CLIENT, ip: '::1', helo: '' };
    assert.deepEqual(xforward(ALL, local), [
      'XFORWARD NAME=[UNAVAILABLE] ADDR=IPV6:::1 PORT=4711 PROTO=ESMTP HELO=[UNAVAILABLE] IDENT=abc.1 SOURCE=LOCAL',
    ]);
  });

  it('is nothing that the upstream does not take', () => {
    assert.deepEqual(xforward(parseCapabilities(['mx', 'PIPELINING']), CLIENT), []);
    assert.deepEqual(xforward(parseCapabilities(['mx', 'XFORWARD ADDR TTL']), CLIENT), [
      'XFORWARD ADDR=192.0.2.7',
    ]);
  });

  it('is address and login by XCLIENT, the same for each connection of the client', () => {
    const line = 'XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.7 LOGIN=alice@example.com';
    assert.deepEqual(xclient(ALL, CLIENT), [line]);
    assert.deepEqual(xclient(ALL, { ...CLIENT, port: 4712, ident: 'x.2' }), [line]);
    assert.deepEqual(xclient(ALL, { ...CLIENT, login: undefined }), [
      'XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.7 LOGIN=[UNAVAILABLE]',
    ]);
  });

  it('is never more than commands of a known length, whatever the client calls itself', () => {
    const hostile = fc.oneof(
      fc.string({ unit: letter, maxLength: 400 }),
      fc.constantFrom('a\r\nMAIL FROM:<b>', 'x LOGIN=root', '+', '='.repeat(600), 'ü'.repeat(300)),
    );
    fc.assert(
      fc.property(hostile, hostile, (helo, login) => {
        const client = { ...CLIENT, helo, login };
        for (const line of [...xforward(ALL, client), ...xclient(ALL, client)]) {
          assert.ok(line.length <= 510);
          assert.match(line, /^X(?:FORWARD|CLIENT)(?: [A-Z]+=(?:[!-*,-<>-~]|\+[0-9A-F]{2}){1,255})+$/);
        }
        assert.match(`EHLO ${heloName(client) ?? 'unknown'}`, /^EHLO [!-~]{1,255}$/);
      }),
    );
  });

  it('cuts a long value between two characters', () => {
    const [, helo] = / HELO=(\S+)/.exec(xforward(ALL, { ...CLIENT, helo: `x${'='.repeat(254)}` })[0]!)!;
    assert.equal(helo, `x${'+3D'.repeat(84)}`);
  });
});
