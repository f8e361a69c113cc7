import assert from 'node:assert/strict';
import test from 'node:test';
import { formatListen } from '../../../src/config/listening.js';
import { DAY } from '../../../src/kernel/time.js';
import type { Parser } from '../../../src/config/values.js';
import {
  asCount,
  asDovecot,
  asDomains,
  asDuration,
  asFlag,
  asHook,
  asHostName,
  asHttpUrl,
  asListen,
  asPath,
  asPolicyListen,
  asSize,
  asText,
  WrongValue,
} from '../../../src/config/values.js';

const good: Array<[name: string, parser: Parser<unknown>, raw: unknown, wanted: unknown]> = [
  ['size by thousands', asSize, '50MB', 50_000_000],
  ['size by 1024', asSize, '10MiB', 10 * 1024 * 1024],
  ['size in lower case with a space', asSize, '512 kb', 512_000],
  ['fraction of a size', asSize, '1.5GB', 1_500_000_000],
  ['size in bytes', asSize, 2048, 2048],
  ['size in bytes as text', asSize, '2048', 2048],
  ['listen host and port', asListen, '127.0.0.1:2587', { host: '127.0.0.1', port: 2587 }],
  ['listen IPv6', asListen, '[::1]:2587', { host: '::1', port: 2587 }],
  ['listen port alone', asListen, 2587, { host: '127.0.0.1', port: 2587 }],
  ['listen port as text', asListen, '2587', { host: '127.0.0.1', port: 2587 }],
  ['listen on all', asListen, ':2587', { host: undefined, port: 2587 }],
  ['listen on all by star', asListen, '*:25', { host: undefined, port: 25 }],
  ['listen by name', asListen, 'LocalHost:25', { host: 'localhost', port: 25 }],
  ['listen on any free port', asListen, '127.0.0.1:0', { host: '127.0.0.1', port: 0 }],
  ['duration', asDuration, '35d', 35 * DAY],
  ['host name', asHostName, 'MX.Example.COM.', 'mx.example.com'],
  ['host name in Unicode', asHostName, 'müller.example', 'xn--mller-kva.example'],
  ['domains as a list', asDomains, ['Example.com', 'example.com', 'b.example'], ['example.com', 'b.example']],
  ['domains as text', asDomains, 'a.example, b.example', ['a.example', 'b.example']],
  ['path', asPath, './x/../users.yaml', '/etc/stopgap/users.yaml'],
  ['absolute path', asPath, '/srv/users.yaml', '/srv/users.yaml'],
  ['flag', asFlag, true, true],
  ['flag as text', asFlag, 'false', false],
  ['count as text', asCount(1, 10), '7', 7],
  ['web address', asHttpUrl, 'https://stopgap.example.com/', 'https://stopgap.example.com'],
];

for (const [name, parser, raw, wanted] of good) {
  test(`a parser reads a ${name}`, () => assert.deepEqual(parser(raw, '/etc/stopgap'), wanted));
}

const bad: Array<[name: string, parser: Parser<unknown>, raw: unknown, says: RegExp]> = [
  ['size of an unknown unit', asSize, '50XB', /"50XB" is no size; use a size such as 50MB/],
  ['negative size', asSize, -1, /no size/],
  ['size below a KiB', asSize, 10, /use 1KiB to 2047MiB$/],
  ['size of 2 GiB', asSize, '2GiB', /use 1KiB to 2047MiB$/],
  ['size that is a list', asSize, ['50MB'], /no size/],
  ['port beyond 65535', asListen, '127.0.0.1:70000', /port 70000 does not exist/],
  ['IPv6 without brackets', asListen, '::1:2587', /use host:port/],
  ['brackets around IPv4', asListen, '[127.0.0.1]:25', /use host:port/],
  ['address that is none', asListen, '300.1.1.1:25', /use host:port/],
  ['address without a port', asListen, 'localhost', /use host:port/],
  ['address with a path', asListen, 'localhost:25/x', /use host:port/],
  ['policy socket without its scheme', asPolicyListen, '/run/x/policy', /or unix:\/run\/stopgap\/policy$/],
  [
    'Dovecot socket without its scheme',
    asDovecot,
    '/run/x',
    /names no server; use unix:\/run\/dovecot\/auth-client/,
  ],
  ['Dovecot by the name of a socket', asDovecot, 'systemd:x', /names no server; use unix:/],
  ['listen flag', asListen, true, /use host:port/],
  ['duration without a unit', asDuration, '35', /use a duration such as/],
  ['duration as a number', asDuration, 35, /use a duration such as/],
  ['duration of nothing', asDuration, '0d', /use a duration such as/],
  ['duration beyond a hundred years', asDuration, '9999999w', /at most 36500d/],
  ['host name with a space', asHostName, 'mx example', /no host name/],
  ['host name with a dash at its end', asHostName, 'mx-', /no host name/],
  ['domain with a wildcard', asDomains, ['*.example.com'], /no domain/],
  ['empty list of domains', asDomains, [], /at least one domain/],
  ['domain that is a number', asDomains, [5], /no text/],
  ['flag that is a word', asFlag, 'yes', /use true or false/],
  ['count with a fraction', asCount(1, 10), 1.5, /whole number from 1 to 10/],
  ['count out of range', asCount(1, 10), 11, /whole number from 1 to 10/],
  ['count that is a word', asCount(1, 10), 'many', /whole number from 1 to 10/],
  ['text with control characters', asText, 'a\nb', /control characters/],
  ['text that is a number', asText, 5, /no text; write one/],
  [
    'hook that is a list',
    asHook,
    ['/bin/hold', '-v'],
    /is a list; write the program and its arguments in one line/,
  ],
  ['web address of another scheme', asHttpUrl, 'ftp://x.example', /no web address/],
  ['web address with a password', asHttpUrl, 'https://u:p@x.example', /password/],
  ['web address with a query', asHttpUrl, 'https://x.example/?a=1', /no query/],
];

for (const [name, parser, raw, says] of bad) {
  test(`a parser refuses a ${name}`, () => {
    assert.throws(
      () => parser(raw, '/'),
      (thrown) => {
        assert.ok(thrown instanceof WrongValue, String(thrown));
        assert.match(thrown.message, says);
        return true;
      },
    );
  });
}

test('a listen address is written the way it is read', () => {
  for (const text of ['127.0.0.1:2587', '[::1]:2587', '*:2587']) {
    assert.equal(formatListen(asListen(text, '/')), text);
  }
});
