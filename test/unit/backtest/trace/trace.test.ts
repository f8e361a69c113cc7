import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { LineReader } from '../../../../src/backtest/trace/trace.js';
import type { MessageAccepted } from '../../../../src/sending/events.js';

const TIME = '2027-01-04T09:39:38.771Z';
const FULL = {
  time: TIME,
  account: 'anna@example.com',
  returnPath: 'news@example.com',
  ehlo: 'pc.example.com',
  ip: '192.0.2.7',
  country: 'FR',
  asn: 4_200_000_000,
  recipients: 30,
  size: 2000,
  recipientDomains: ['example.org'],
  direction: 'inbound',
  entitled: true,
};

function read(line: object | string): MessageAccepted {
  const text = typeof line === 'string' ? line : JSON.stringify(line);
  return new LineReader('trace.ndjson').read(text)!.data as MessageAccepted;
}

describe('a line of a trace', () => {
  test('is one accepted message', () => {
    const activity = new LineReader('t').read(JSON.stringify({ ...FULL, attack: 'a7', more: { x: 1 } }))!;
    const { time: _, ...data } = FULL;
    assert.deepEqual(activity.data, { ...data, transaction: '' });
    assert.deepEqual([activity.type, activity.at], ['MessageAccepted', Date.parse(TIME)]);
  });

  test('may leave out what is not known', () => {
    assert.deepEqual(read({ time: TIME, ip: '192.0.2.7', recipients: 1 }), {
      account: undefined,
      returnPath: undefined,
      ehlo: undefined,
      ip: '192.0.2.7',
      country: undefined,
      asn: undefined,
      direction: 'outbound',
      transaction: '',
      recipients: 1,
      size: 0,
      recipientDomains: [],
      entitled: true,
    });
    const { returnPath, country, asn } = read({ ...FULL, returnPath: null, country: null, asn: null });
    assert.deepEqual([returnPath, country, asn], [undefined, undefined, undefined]);
  });

  test('speaks for a return path that is its account’s own, unless it says otherwise', () => {
    const of = (more: object): boolean =>
      read({ time: TIME, account: 'anna@example.com', recipients: 1, ...more }).entitled;
    assert.equal(of({ returnPath: 'anna@example.com' }), true);
    assert.equal(of({ returnPath: 'Anna+list@Example.com' }), true);
    assert.equal(of({ returnPath: '' }), true);
    assert.equal(of({ returnPath: 'x7@example.com' }), false);
    assert.equal(of({ returnPath: 'x7@example.com', entitled: true }), true);
  });

  test('has a time in any form of ISO 8601', () => {
    const at = (time: string): number => new LineReader('t').read(JSON.stringify({ ...FULL, time }))!.at;
    assert.equal(at('2027-01-04T09:39:38Z'), Date.UTC(2027, 0, 4, 9, 39, 38));
    assert.equal(at('2027-01-04T10:39:38.771+01:00'), Date.parse(TIME));
    assert.equal(at('2028-02-29T00:00:00.000Z'), Date.UTC(2028, 1, 29));
  });

  for (const ip of ['192.0.2.7', '2001:db8::7', '2001:DB8:0::7', '::', '::ffff:192.0.2.7', 'fe80::1%eth0']) {
    test(`takes an address as a socket gives it: ${ip}`, () => assert.equal(read({ ...FULL, ip }).ip, ip));
  }

  for (const [what, line, message] of [
    ['no JSON', '{"time":', /^trace\.ndjson:1: is no JSON: one object \{"time","account",…\} a line$/],
    ['a list', [], /^trace\.ndjson:1: is no JSON object/],
    ['a number', '7', /^trace\.ndjson:1: is no JSON object/],
    ['no time', { ...FULL, time: undefined }, /:1: time: must be an ISO 8601 time such as .*, not missing$/],
    ['a number for a time', { ...FULL, time: 1451900378 }, /:1: time: .*, not 1451900378$/],
    [
      'no such day',
      { ...FULL, time: '2027-02-31T00:00:00.000Z' },
      /:1: time: .*, not "2027-02-31T00:00:00.000Z"$/,
    ],
    ['no such month', { ...FULL, time: '2027-13-01T00:00:00.000Z' }, /:1: time: /],
    [
      'nobody',
      { time: TIME, recipients: 1 },
      /:1: says not who sent: account, returnPath or ip must be there$/,
    ],
    ['an empty account', { time: TIME, account: '', recipients: 1 }, /:1: says not who sent/],
    ['an account that is no text', { ...FULL, account: 7 }, /:1: account: must be a text, not 7$/],
    [
      'no address',
      { ...FULL, ip: '999.1.1.1' },
      /:1: ip: must be an address such as 192\.0\.2\.7 or 2001:db8::7, not "999\.1\.1\.1"$/,
    ],
    ['a part of an address', { ...FULL, ip: '192.0.2' }, /:1: ip: must be an address/],
    ['a network', { ...FULL, ip: '192.0.2.0/24' }, /:1: ip: must be an address/],
    ['a name for an address', { ...FULL, ip: 'pc.example.com' }, /:1: ip: must be an address/],
    ['IPv6 of nine groups', { ...FULL, ip: '1:2:3:4:5:6:7:8:9' }, /:1: ip: must be an address/],
    ['IPv4 in IPv6 that is none', { ...FULL, ip: '::ffff:999.1.1.1' }, /:1: ip: must be an address/],
    ['a number for an address', { ...FULL, ip: 7 }, /:1: ip: must be a text, not 7$/],
    [
      'a country by its name',
      { ...FULL, country: 'France' },
      /:1: country: must be two capital letters of ISO 3166-1 such as FR, not "France"$/,
    ],
    ['a country in small letters', { ...FULL, country: 'fr' }, /:1: country: .*, not "fr"$/],
    ['an empty country', { ...FULL, country: '' }, /:1: country: .*, not ""$/],
    [
      'an autonomous system as a text',
      { ...FULL, asn: 'AS64500' },
      /:1: asn: must be a number from 1 to 4294967295, not "AS64500"$/,
    ],
    ['no autonomous system', { ...FULL, asn: 0 }, /:1: asn: .*, not 0$/],
    ['half an autonomous system', { ...FULL, asn: 1.5 }, /:1: asn: .*, not 1\.5$/],
    ['too large an autonomous system', { ...FULL, asn: 2 ** 32 }, /:1: asn: .*, not 4294967296$/],
    [
      'no recipients',
      { ...FULL, recipients: undefined },
      /:1: recipients: must be a whole number of at least 1, not missing$/,
    ],
    [
      'recipients as a list',
      { ...FULL, recipients: ['a@example.com'] },
      /:1: recipients: .*, not \["a@example\.com"\]$/,
    ],
    ['zero recipients', { ...FULL, recipients: 0 }, /:1: recipients: .*, not 0$/],
    ['half a recipient', { ...FULL, recipients: 1.5 }, /:1: recipients: .*, not 1\.5$/],
    ['a negative size', { ...FULL, size: -1 }, /:1: size: must be a whole number of at least 0, not -1$/],
    [
      'no direction',
      { ...FULL, direction: 'sideways' },
      /:1: direction: must be outbound or inbound, not "sideways"$/,
    ],
    ['a word for entitled', { ...FULL, entitled: 'yes' }, /:1: entitled: must be true or false, not "yes"$/],
    [
      'one recipient domain',
      { ...FULL, recipientDomains: 'example.org' },
      /:1: recipientDomains: must be a list of domains/,
    ],
  ] as const) {
    test(`is refused with its place: ${what}`, () => {
      assert.throws(() => read(line), { code: 'invalid-input', message });
    });
  }

  test('is refused if it is too long', () => {
    assert.throws(() => new LineReader('t').read(undefined), /^StopgapError: t:1: is longer than 64 KiB$/);
  });

  test('shows no more of a wrong value than is needed', () => {
    assert.throws(
      () => read({ ...FULL, account: { x: 'y'.repeat(5000) } }),
      ({ message }: Error) => message.length < 150,
    );
  });
});

describe('a trace', () => {
  const at = (second: number): string =>
    JSON.stringify({ ...FULL, time: new Date(second * 1000).toISOString() });

  test('may be five minutes out of order, and no more', () => {
    const reader = new LineReader('t');
    reader.read(at(1000));
    const late = reader.read(at(700))!;
    assert.deepEqual([late.at, late.recordedAt], [700_000, 1_000_000], 'it is recorded when the newest was');
    assert.throws(
      () => reader.read(at(699)),
      /t:3: time: .* is more than 5 minutes before .*: sort the trace by time/,
    );
  });
});
