import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { redactedConfig } from '../../../src/config.js';
import { KEY } from '../../support/notices/channels.js';
import { load, problemsOf, RELAY } from './helpers.js';

const yamlOf = (...channels: readonly object[]): string =>
  `${RELAY}notices: ${JSON.stringify({ channels })}\n`;
const WEBHOOK = { name: 'ops', type: 'webhook', url: 'https://h.example/x', secret: KEY };
const MAIL = { name: 'ops', type: 'mail', to: 'p@x.example' };

describe('notices.channels', () => {
  for (const [what, channel, problem] of [
    [
      'a channel without a name',
      { ...WEBHOOK, name: undefined },
      /name: is missing; for instance name: operators/,
    ],
    ['a name that is none', { ...WEBHOOK, name: 'Ops!' }, /must be 1 to 32 of a-z, 0-9 and -/],
    ['an unknown type', { ...WEBHOOK, type: 'pager' }, /"pager" is not known; use webhook, slack/],
    [
      'a channel without a URL',
      { name: 'ops', type: 'slack' },
      /url: is missing, and a channel of type slack needs it/,
    ],
    ['what is no web address', { ...WEBHOOK, url: 'ftp://h.example/s3cret' }, /url: is no web address/],
    ['a URL with a password', { ...WEBHOOK, url: 'https://u:s3cret@h.example/' }, /must not hold a password/],
    [
      'a link-local address',
      { ...WEBHOOK, url: 'http://169.254.169.254/s3cret' },
      /link-local, multicast or metadata/,
    ],
    [
      'a metadata address of IPv6',
      { ...WEBHOOK, url: 'http://[fd00:ec2::254]/' },
      /link-local, multicast or metadata/,
    ],
    [
      'a webhook without a key',
      { ...WEBHOOK, secret: undefined },
      /secret: is missing: a webhook needs a key/,
    ],
    ['a key that is too short', { ...WEBHOOK, secret: 'whsec_czNjcmV0' }, /secret: is no key that signs/],
    [
      'Matrix without a token',
      { ...WEBHOOK, type: 'matrix', secret: undefined },
      /Matrix needs an access token/,
    ],
    [
      'Matrix without a room',
      { ...WEBHOOK, type: 'matrix', url: 'https://m.example/_matrix/client/v3/rooms/s3cret' },
      /url: names no room; it ends in the id of one, as in https:\/\/matrix/,
    ],
    [
      'mail to Stopgap itself',
      { ...MAIL, smtp: 'smtp://localhost:2587' },
      /channels\[0\]\.smtp: is smtp\.submission\[0\]\.listen itself/,
    ],
    [
      'a password of a mail server in clear text',
      { ...MAIL, smtp: 'smtp://u:s3cret@mx.example:25' },
      /channels\[0\]\.smtp: would give its password without certain TLS/,
    ],
    ['mail to nobody', { ...MAIL, to: undefined }, /to: is missing/],
    ['what is no address', { ...MAIL, to: 'somebody' }, /"somebody" is no address/],
    [
      'a mail server that is a folder',
      { ...MAIL, smtp: 'maildir:./x' },
      /smtp: is missing, and smtp.relay.url is no host/,
    ],
    [
      'an owner at the blocked address',
      { ...MAIL, owners: 'A@x.example=a+b@X.example' },
      /at its own address/,
    ],
    [
      'an owner of an account with a tag at that very address',
      { ...MAIL, owners: 'a+shop@x.example=A+shop@x.example' },
      /"a\+shop@x\.example" would be told at its own address/,
    ],
    [
      'two owners of one domain',
      { ...MAIL, owners: ['c.example=first@x.example', 'C.example.=second@x.example'] },
      /"c\.example" has two owners; keep one/,
    ],
    [
      'two owners of one account',
      { ...MAIL, owners: 'b@x.example=c@x.example, a@x.example=c@x.example, A@x.example=c@x.example' },
      /"a@x\.example" has two owners; keep one/,
    ],
    ['an owner without an address', { ...MAIL, owners: 'x.example' }, /names nobody/],
    [
      'a setting for mail beside a webhook',
      { ...WEBHOOK, to: 'p@x.example' },
      /to: is for mail, and type is webhook/,
    ],
    [
      'a text of no event',
      { ...WEBHOOK, type: 'slack', secret: undefined, texts: ['burnt=x'] },
      /"burnt=x" does not begin with an event and =; use proposed, imposed/,
    ],
    [
      'an unknown placeholder, which it names with the known ones',
      { ...WEBHOOK, type: 'slack', secret: undefined, texts: 'imposed={subject} {user}' },
      /texts: \{user\} is no placeholder; use \{subject\}, \{rule\}, \{sentence\}, \{until\}, \{link\}, \{by\}, \{note\}/,
    ],
    ['two texts of one event', { ...MAIL, texts: ['imposed=a', 'imposed=b'] }, /imposed has two texts/],
    ['a text that says nothing', { ...MAIL, texts: 'imposed= ' }, /must have 1 to 2000 characters/],
    ['texts of a webhook', { ...WEBHOOK, texts: 'imposed=a' }, /texts: is for channels that people read/],
    ['an unknown event', { ...WEBHOOK, events: 'burnt' }, /"burnt" is not known; use proposed/],
    ['hours that are none', { ...WEBHOOK, quietHours: '25:00-07:00' }, /are no hours/],
    [
      'a zone that is none',
      { ...WEBHOOK, quietHours: '22:00-07:00 Mars/Base' },
      /the time zone "Mars\/Base" is not known/,
    ],
    ['two spans where three are needed', { ...WEBHOOK, digest: '30s, 5m' }, /must be three durations/],
    [
      'a file that is missing',
      { ...WEBHOOK, secret: 'file:./missing' },
      /missing .*name a file whose first line/,
    ],
  ] as const)
    test(`refuses ${what}, and repeats no secret`, (t) => {
      const problems = problemsOf(t, { yaml: yamlOf(channel) }).join('\n');
      assert.match(problems, problem);
      assert.doesNotMatch(problems, /s3cret|czNjcmV0/);
    });

  test('refuses two channels of one name', (t) => {
    assert.match(
      problemsOf(t, { yaml: yamlOf(WEBHOOK, WEBHOOK) }).join('\n'),
      /channels\[1\]\.name: "ops" is another/,
    );
  });

  test('keeps the tag of an account that has an owner, and takes a sender who is called as a property of every object', (t) => {
    const owners = 'A+shop@x.example=a@home.example, A@x.example=b@home.example, constructor=c@home.example';
    const [channel] = load(t, { yaml: yamlOf({ ...MAIL, owners }) }).config.notices.channels;
    assert.deepEqual(channel!.owners, {
      'a+shop@x.example': 'a@home.example',
      'a@x.example': 'b@home.example',
      constructor: 'c@home.example',
    });
  });

  test('reads secrets from files, and shows none of them', (t) => {
    const files = { url: 'https://h.example/s3cret\n', key: `${KEY}\nsecond line\n` };
    const loaded = load(t, { files, yaml: yamlOf({ ...WEBHOOK, url: 'file:./url', secret: 'file:key' }) });
    const [channel] = loaded.config.notices.channels;
    assert.deepEqual([channel!.url!.secret, channel!.secret!.secret], ['https://h.example/s3cret', KEY]);
    const shown = JSON.stringify([redactedConfig(loaded), loaded.config, loaded.settings]);
    assert.doesNotMatch(shown, /s3cret|whsec_/);
    assert.match(shown, /"url":"\*\*\*"/);
  });
});
