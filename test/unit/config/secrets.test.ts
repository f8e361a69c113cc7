import assert from 'node:assert/strict';
import test from 'node:test';
import { load, RELAY } from './helpers.js';

const CASES: readonly (readonly [name: string, yaml: string, secrets: readonly string[]])[] = [
  ['nothing secret', RELAY, []],
  [
    'a relay with a login',
    'smtp: { relay: { url: "smtps://me@a.example:pw@b.example" } }\n',
    ['smtp.relay.url'],
  ],
  ['a relay with a name alone', 'smtp: { relay: { url: "smtp://b.example:25?tls=off" } }\n', []],
  [
    'an inbound relay with a login',
    'smtp: { relay: { url: smtp://b.example }, inbound: [{ listen: ":2525", domains: [a.example], relay: { url: "smtps://u:p@c.example" } }] }\n',
    ['smtp.inbound[0].relay.url'],
  ],
  ['Redis with a password', `${RELAY}redis: "redis://:pw@r.example"\n`, ['redis']],
  ['sentinels with one', `${RELAY}redis: "redis+sentinel://r.example/m?sentinelPassword=pw"\n`, ['redis']],
  ['Redis without one', `${RELAY}redis: "redis+cluster://r.example:6379,s.example:6379"\n`, []],
  ['KurrentDB with one', `${RELAY}store: "kurrentdb://u:p@k.example:2113"\n`, ['store']],
  [
    'headers of traces',
    `${RELAY}tracing: { endpoint: "http://t.example", headers: x=y }\n`,
    ['tracing.headers'],
  ],
  [
    'the token of a web service',
    'smtp: { relay: { url: smtp://b.example }, auth: { backend: http, http: "https://a.example/x", token: pw } }\n',
    ['smtp.auth.token'],
  ],
  [
    'a channel of notices',
    `${RELAY}notices: { channels: [{ name: a, type: slack, url: "https://hooks.example.com/T0" }] }\n`,
    ['notices.channels[0].url'],
  ],
  [
    'a channel whose URL is in a file of its own',
    `${RELAY}notices: { channels: [{ name: a, type: slack, url: "file:./url" }] }\n`,
    [],
  ],
];

for (const [name, yaml, secrets] of CASES)
  test(`of a configuration with ${name} it is known which settings hold a secret`, (context) => {
    const files = { url: 'https://hooks.example.com/T0\n' };
    assert.deepEqual(load(context, { yaml, files }).confidential, secrets);
  });

test('a secret that the environment gives does not make one of the file', (context) => {
  const env = { STOPGAP_REDIS: 'redis://:pw@r.example' };
  assert.deepEqual(load(context, { yaml: RELAY, env }).confidential, []);
  const both = load(context, { yaml: `${RELAY}redis: "redis://:old@r.example"\n`, env });
  assert.deepEqual(both.confidential, ['redis'], 'what is overlaid still stands there');
});
