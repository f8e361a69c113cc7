import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import test from 'node:test';
import { redactedConfig } from '../../../src/config.js';
import { load, problemsOf } from './helpers.js';

const yaml = (auth: string, relay = 'smtp://127.0.0.1:25'): string =>
  `smtp:\n  relay: { url: "${relay}" }\n  auth: ${auth}\n`;

test('each back end has its place, with a default where there can be one', (context) => {
  const auth = (text: string, relay?: string) => load(context, { yaml: yaml(text, relay) }).config.smtp.auth;
  assert.equal(auth('{ attemptsPerMinute: 5 }').backend, 'file');
  assert.deepEqual(auth('{ backend: dovecot }').dovecot, { path: '/run/dovecot/auth-client' });
  assert.deepEqual(auth('{ backend: dovecot, dovecot: "[::1]:12345" }').dovecot, {
    host: '::1',
    port: 12345,
  });
  const { target } = auth('{ backend: smtp }', 'smtp://127.0.0.1:2500').smtp;
  assert.ok('name' in target && target.name === '127.0.0.1:2500', 'the relay');
  const own = auth('{ backend: smtp, smtp: "smtps://mail.example.com" }').smtp.target;
  assert.ok('name' in own && own.name === 'mail.example.com:465' && own.tls === 'require');
  assert.equal(
    auth('{ backend: http, http: "https://auth.example.com/login" }').http,
    'https://auth.example.com/login',
  );
  assert.equal(auth('{ backend: http, http: "http://[::1]:9000/" }').http, 'http://[::1]:9000/');
});

test('what a back end lacks, and what cannot be right, is named with what would be', (context) => {
  for (const [auth, problem, relay] of [
    ['{ backend: ldap }', /smtp\.auth\.backend: "ldap" is not known; use file, dovecot, smtp, http/],
    ['{ backend: http }', /smtp\.auth\.http: is missing, and backend http needs it/],
    [
      '{ backend: http, http: "http://auth.example.com/" }',
      /smtp\.auth\.http: would give passwords in clear text; use https/,
    ],
    [
      '{ backend: http, http: "https://me:secret@auth.example.com/" }',
      /smtp\.auth\.http: must not hold a password/,
    ],
    [
      '{ backend: smtp }',
      /smtp\.auth\.smtp: is missing, and smtp\.relay\.url is no SMTP server/,
      'maildir:./mail',
    ],
    ['{ backend: smtp }', /smtp\.auth\.smtp: is missing/, 'lmtp://127.0.0.1:24'],
    ['{ backend: smtp, smtp: "lmtp://127.0.0.1:24" }', /smtp\.auth\.smtp: names no SMTP server/],
    ['{ backend: smtp, smtp: "smtp://me:secret@127.0.0.1" }', /smtp\.auth\.smtp: must not hold a login/],
    ['{ backend: dovecot, dovecot: ":12345" }', /smtp\.auth\.dovecot: ":12345" names no server/],
    ['{ backend: dovecot, dovecot: "127.0.0.1:0" }', /names no server; use unix:\/run\/dovecot\/auth-client/],
    ['{ backend: http, http: "https://a.example/", token: "two words" }', /smtp\.auth\.token: is no token/],
  ] as const) {
    const problems = problemsOf(context, { yaml: yaml(auth, relay) });
    assert.ok(
      problems.some((one) => problem.test(one)),
      `${auth}: ${problems.join('\n')}`,
    );
    assert.ok(!problems.join().includes('secret') && !problems.join().includes('two words'), auth);
  }
});

test('a login of ours at the relay is none for those of clients', (context) => {
  const { config } = load(context, {
    yaml: yaml('{ backend: smtp }', 'smtps://me:secret@mail.example.com'),
  });
  assert.ok(!inspect(config, { depth: 9 }).includes('secret'));
});

test('settings of another back end are warned of', (context) => {
  const { warnings } = load(context, {
    yaml: yaml('{ backend: dovecot, http: "https://auth.example.com/", users: people.yaml }'),
    checkFiles: false,
  });
  assert.match(warnings.join('\n'), /smtp\.auth\.users: is not heeded: smtp\.auth\.backend is dovecot/);
  assert.match(warnings.join('\n'), /smtp\.auth\.http: is not heeded/);
});

test('the token of a web service comes from a file too, and nothing shows it', (context) => {
  const loaded = load(context, {
    yaml: yaml('{ backend: http, http: "https://auth.example.com/" }'),
    files: { token: 'sesame-of-the-service\n' },
    env: { STOPGAP_SMTP_AUTH_TOKEN: 'sesame-of-the-service' },
  });
  assert.equal(loaded.config.smtp.auth.token?.secret, 'sesame-of-the-service');
  for (const shown of [
    inspect(loaded, { depth: 9 }),
    JSON.stringify(loaded),
    JSON.stringify(redactedConfig(loaded)),
  ])
    assert.ok(!shown.includes('sesame'));
});

test('a back end without a relay is no evaluation: it is meant for real accounts', (context) => {
  const problems = problemsOf(context, { env: { STOPGAP_SMTP_AUTH_BACKEND: 'dovecot' } });
  assert.match(problems.join('\n'), /SMTP_RELAY_URL.*is missing/);
});
