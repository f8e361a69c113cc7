import assert from 'node:assert/strict';
import { syncBuiltinESMExports } from 'node:module';
import os from 'node:os';
import test from 'node:test';
import type { Given } from './helpers.js';
import { load, problemsOf, RELAY } from './helpers.js';

const CASES: Array<[name: string, given: Given, problem: string | RegExp]> = [
  [
    'an unknown key at the top',
    { yaml: `${RELAY}dta: x\n` },
    'stopgap.yaml:2:1: dta: unknown key; did you mean data?',
  ],
  [
    'a key at the top that belongs below another one',
    { yaml: `${RELAY}users: ./users.yaml\n` },
    'stopgap.yaml:2:1: users: unknown key; did you mean smtp.auth.users?',
  ],
  [
    'an unknown key in a listener',
    { yaml: 'smtp:\n  relay: { url: smtp://a.example }\n  submission:\n    - lisen: 25\n' },
    'stopgap.yaml:4:7: smtp.submission[0].lisen: unknown key; did you mean listen?',
  ],
  [
    'a setting where a group belongs',
    { yaml: `${RELAY}api: 5\n` },
    'stopgap.yaml:2:6: api: must be a mapping with listen, metrics, tokens, admins, proxyAuth, trustedProxies, openId, publicUrl',
  ],
  [
    'a group where a setting belongs',
    { yaml: `${RELAY}rules: { a: 1 }\n` },
    'stopgap.yaml:2:8: rules: must be a plain value, not a mapping',
  ],
  [
    'a proxy that signs people in and gives nobody a role',
    { yaml: `${RELAY}api: { proxyAuth: { from: [127.0.0.1] } }\n` },
    'stopgap.yaml:2:19: api.proxyAuth.roles: is missing, so nobody would get in; for instance roles: mail-admins=admin',
  ],
  [
    'an empty setting',
    { yaml: `${RELAY}rules:\n` },
    'stopgap.yaml:2:1: rules: is empty; give it a value or remove the key',
  ],
  [
    'a file that is a list',
    { yaml: '- a\n' },
    /^stopgap\.yaml:1:1: must be a mapping with data, store, roles/,
  ],
  [
    'a wrong value',
    { yaml: `${RELAY}log: { level: loud }\n` },
    /^stopgap\.yaml:2:15: log\.level: "loud" is not known; use/,
  ],
  [
    'a wrong value in the environment',
    { env: { STOPGAP_LOG_LEVEL: 'loud' } },
    /^STOPGAP_LOG_LEVEL: "loud" is not known/,
  ],
  [
    'another store',
    { yaml: `${RELAY}store: mysql\n` },
    /^stopgap\.yaml:2:8: store: is no event store; use sqlite, or a URL such as kurrentdb:/,
  ],
  [
    'a part of the roles without a store to share',
    { yaml: `${RELAY}roles: [smtp, api]\n` },
    /^stopgap\.yaml:2:8: roles: one process alone can hold the sqlite store/,
  ],
  [
    'what only an outbox can do without one',
    { yaml: `${RELAY}onStoreLost: accept\n` },
    /^stopgap\.yaml:2:14: onStoreLost: the sqlite store has no outbox/,
  ],
  [
    'an unknown role',
    { yaml: `${RELAY}roles: smtp,polisher\n` },
    'stopgap.yaml:2:8: roles: "polisher" is no role; use smtp, policy, detector, api, worker',
  ],
  [
    'a Redis that is none, without its password',
    { yaml: `${RELAY}redis: 'http://:secret@x'\n` },
    /^stopgap\.yaml:2:8: redis: (?!.*secret)is no address of Redis/,
  ],
  [
    'no relay in a process that takes no mail is no problem, an unknown key is',
    { yaml: 'store: kurrentdb://k\nroles: api\nx: 1\n' },
    /^stopgap\.yaml:3:1: x: unknown key/,
  ],
  ['no relay', { yaml: 'data: x\n' }, /^stopgap\.yaml:1:1: smtp\.relay\.url: is missing; .*such as smtp:/],
  ['an empty file', { yaml: '' }, /^stopgap\.yaml:1:1: smtp\.relay\.url: is missing/],
  [
    'a bracket that is not closed',
    { yaml: 'smtp: { a: 1\n' },
    'stopgap.yaml:2:1: a bracket above is not closed; write } or ] before this line',
  ],
  [
    'a line that is indented too far',
    { yaml: 'smtp:\n  hostname: a\n   relay: b\n' },
    'stopgap.yaml:2:13: the line after this one is indented too far; names of one group begin in the same column',
  ],
  [
    'two names on a line',
    { yaml: 'smtp:\n  relay: url: x\n' },
    'stopgap.yaml:2:10: a second name on this line; put it on a line of its own, or a value with a colon into quotes',
  ],
  [
    'a line that is indented too little',
    { yaml: 'smtp:\n    hostname: a\n  relay: x\n' },
    'stopgap.yaml:3:1: is not indented as the lines above; names of one group begin in the same column, and a dash has a space after it',
  ],
  [
    'a name without a colon',
    { yaml: 'smtp:\n  hostname\n  relay: x\n' },
    'stopgap.yaml:2:3: no name with a value; see the indentation, the colon and the space after it',
  ],
  [
    'a comma that is missing',
    { yaml: "smtp:\n  submission: { listen: ':587' tls: { mode: none } }\n" },
    /^stopgap\.yaml:2:\d+: a comma is missing within \{ \} or \[ \], or a list there begins with a dash$/,
  ],
  ['a tab', { yaml: 'smtp:\n\thostname: a\n' }, 'stopgap.yaml:2:1: begins with a tab; indent by spaces'],
  [
    'a quote that is not closed',
    { yaml: `data: 'x'\nsmtp:\n  hostname: "a\nroles: api\n` },
    'stopgap.yaml:3:13: this quote is not closed',
  ],
  [
    'two quotes that are not closed',
    { yaml: `data: 'x'\nroles:\n  - "api\n  - smtp\nredis: "y\n` },
    /^stopgap\.yaml:3:5: this quote is not closed/,
  ],
  [
    'a list whose entries are not in one column',
    { yaml: 'smtp:\n  submission:\n    - listen: a\n     tls: b\n' },
    /^stopgap\.yaml:4:1: is not indented as the lines above/,
  ],
  [
    'a value that needs quotes',
    { yaml: 'data: @x\n' },
    'stopgap.yaml:1:7: a value that begins with @ has to be in quotes',
  ],
  ['a backslash within double quotes', { yaml: 'data: "\\q"\n' }, /^stopgap\.yaml:1:8: within double quotes/],
  [
    'a key twice',
    { yaml: 'smtp: {}\ndata: a\nsmtp: {}\n' },
    'stopgap.yaml:3:1: the key smtp is there twice; write it once, with all that belongs to it',
  ],
  [
    'a key twice that is no name of a setting',
    { yaml: 'alice@example.com: 1\nalice@example.com: 1\n' },
    'stopgap.yaml:2:1: this key is there twice; write it once, with all that belongs to it',
  ],
  [
    'two documents',
    { yaml: 'data: a\n---\ndata: b\n' },
    'stopgap.yaml:2:1: a line --- begins a second document; write one alone',
  ],
  [
    'an unknown tag',
    { yaml: 'data: !!js/function x\n' },
    'stopgap.yaml:1:7: this value has to be in quotes: it begins with ! as a tag does',
  ],
  ['an unquoted IPv6 address', { yaml: 'api: { listen: [::1]:25 }\n' }, /an IPv6 address needs quotes/],
  ['absurd nesting', { yaml: '['.repeat(100_000) }, /nested too deeply/],
  [
    'inbound without domains',
    { yaml: 'smtp: { relay: { url: smtp://a.example }, inbound: { listen: 2525 } }\n' },
    'stopgap.yaml:1:52: smtp.inbound[0].domains: is missing; for instance domains: [example.com]',
  ],
  [
    'inbound from the environment without domains',
    { env: { STOPGAP_SMTP_RELAY_URL: 'smtp://a.example', STOPGAP_SMTP_INBOUND_LISTEN: '2525' } },
    'STOPGAP_SMTP_INBOUND_DOMAINS: smtp.inbound[0].domains: is missing; for instance domains: [example.com]',
  ],
  [
    'inbound without an address',
    { yaml: RELAY, env: { STOPGAP_SMTP_INBOUND_DOMAINS: 'a.example' } },
    /smtp\.inbound\[0\]\.listen: is missing/,
  ],
  [
    'one of several listeners without an address',
    {
      yaml: 'smtp: { relay: { url: smtp://a.example }, submission: [{ listen: 1 }, { tls: { mode: none } }] }\n',
    },
    /^stopgap\.yaml:1:71: smtp\.submission\[1\]\.listen: is missing/,
  ],
  [
    'a named file that is missing',
    { yaml: `${RELAY}rules: r.yaml\n` },
    /^stopgap\.yaml:2:8: rules: \/.*\/r\.yaml does not exist; leave rules out/,
  ],
  [
    'a named users file that is missing',
    { env: { STOPGAP_SMTP_AUTH_USERS: 'u.yaml' } },
    /^STOPGAP_SMTP_AUTH_USERS: \/.*\/u\.yaml does not exist; make it with stopgap user add NAME/,
  ],
  [
    'a named database that is missing',
    { yaml: `${RELAY}geoip: { country: c.mmdb }\n` },
    /^stopgap\.yaml:2:19: geoip\.country: \/.*\/c\.mmdb does not exist; name a file such as GeoLite2-Country/,
  ],
  [
    'named overrides that are missing',
    { env: { STOPGAP_OVERRIDES: 'o.yaml' } },
    /^STOPGAP_OVERRIDES: \/.*\/o\.yaml does not exist; name a YAML file/,
  ],
  ['a directory for a file', { yaml: `${RELAY}rules: .\n` }, /rules: .* is no file; leave/],
  [
    'fewer keys than certificates',
    {
      yaml: 'smtp:\n  relay: { url: smtp://a.example }\n  submission: { tls: { cert: [x.crt, y.crt], key: x.key } }\n',
      files: { 'x.crt': '', 'y.crt': '', 'x.key': '' },
    },
    /smtp\.submission\[0\]\.tls\.key: names 1, and tls\.cert names 2; name one key for each certificate/,
  ],
  [
    'the second of two certificates that is missing',
    {
      env: {
        STOPGAP_SMTP_SUBMISSION_TLS_CERT: 'x.crt,y.crt',
        STOPGAP_SMTP_SUBMISSION_TLS_KEY: 'x.key,x.key',
      },
      files: { 'x.crt': '', 'x.key': '' },
    },
    /^STOPGAP_SMTP_SUBMISSION_TLS_CERT: \/.*\/y\.crt does not exist; name a PEM file/,
  ],
  [
    'a certificate without its key',
    { env: { STOPGAP_SMTP_SUBMISSION_TLS_CERT: 'x.crt' }, files: { 'x.crt': '' } },
    'STOPGAP_SMTP_SUBMISSION_TLS_CERT: has no key beside it; name the private key in tls.key',
  ],
  [
    'a key without its certificate',
    { env: { STOPGAP_SMTP_SUBMISSION_TLS_KEY: 'x.key' }, files: { 'x.key': '' } },
    'STOPGAP_SMTP_SUBMISSION_TLS_KEY: has no cert beside it; name the certificate in tls.cert',
  ],
  [
    'a certificate for no TLS',
    {
      env: {
        STOPGAP_SMTP_SUBMISSION_TLS_MODE: 'none',
        STOPGAP_SMTP_SUBMISSION_TLS_CERT: 'x.crt',
        STOPGAP_SMTP_SUBMISSION_TLS_KEY: 'x.crt',
      },
      files: { 'x.crt': '' },
    },
    /^STOPGAP_SMTP_SUBMISSION_TLS_MODE: none contradicts a certificate/,
  ],
  [
    'passwords in clear beyond loopback',
    { env: { STOPGAP_SMTP_SUBMISSION_LISTEN: ':2587', STOPGAP_SMTP_SUBMISSION_TLS_MODE: 'none' } },
    /^STOPGAP_SMTP_SUBMISSION_TLS_MODE: none on \*:2587 would take passwords in clear; .*allowInsecureAuth: true/,
  ],
  [
    'no TLS where AUTH without TLS is forbidden',
    {
      env: { STOPGAP_SMTP_SUBMISSION_ALLOW_INSECURE_AUTH: 'false', STOPGAP_SMTP_SUBMISSION_TLS_MODE: 'none' },
    },
    /leave allowInsecureAuth out/,
  ],
  [
    'no TLS where a proxy passes on what comes from anywhere',
    { env: { STOPGAP_SMTP_SUBMISSION_PROXY: '127.0.0.1', STOPGAP_SMTP_SUBMISSION_TLS_MODE: 'none' } },
    /^STOPGAP_SMTP_SUBMISSION_TLS_MODE: none on 127\.0\.0\.1:2587 would take passwords in clear; .*where the proxy ends TLS/,
  ],
  [
    'a proxy that is no network',
    { env: { STOPGAP_SMTP_SUBMISSION_PROXY: 'here' } },
    /^STOPGAP_SMTP_SUBMISSION_PROXY: /,
  ],
  [
    'two listeners on one address',
    { env: { STOPGAP_SMTP_SUBMISSION_LISTEN: '127.0.0.1:2587,localhost:2587' } },
    /^STOPGAP_SMTP_SUBMISSION_LISTEN: localhost:2587 is taken by smtp\.submission\[0\]\.listen/,
  ],
  [
    'SMTP and HTTP on one port',
    { env: { STOPGAP_API_LISTEN: ':2587' } },
    'STOPGAP_API_LISTEN: *:2587 is taken by smtp.submission[0].listen (127.0.0.1:2587); use another port',
  ],
  [
    'a relay that is our own listener',
    { env: { STOPGAP_SMTP_RELAY_URL: 'smtp://localhost:2587' } },
    /^STOPGAP_SMTP_RELAY_URL: is smtp\.submission\[0\]\.listen itself/,
  ],
  [
    'a relay that is our own name on a listener for all interfaces',
    {
      env: {
        STOPGAP_SMTP_RELAY_URL: 'smtp://MX.example:2587',
        STOPGAP_SMTP_HOSTNAME: 'mx.example',
        STOPGAP_SMTP_SUBMISSION_LISTEN: ':2587',
      },
    },
    /mail would go round for ever/,
  ],
  [
    'XCLIENT for a relay that cannot know it',
    { yaml: 'smtp:\n  relay: { url: lmtp://127.0.0.1, xclient: true }\n' },
    /^stopgap\.yaml:2:\d+: smtp\.relay\.xclient: works with smtp:\/\/ and smtps:\/\/ alone/,
  ],
  [
    'a login that could go in clear',
    { env: { STOPGAP_SMTP_RELAY_URL: 'smtp://u:p@a.example' } },
    /would give its password without certain TLS/,
  ],
  ['no listener at all', { env: { STOPGAP_SMTP_SUBMISSION_LISTEN: 'off' } }, /smtp: listens nowhere/],
  [
    'neither SMTP nor policy in the one process of a sqlite store',
    { yaml: 'roles: [detector, api, worker]\n' },
    /^stopgap\.yaml:1:8: roles: one process alone can hold the sqlite store.* of smtp and policy at least one/,
  ],
  [
    'the role policy without an address where SMTP is not spoken either',
    { yaml: 'roles: [policy, detector, api, worker]\n' },
    /policy\.listen: is missing, and the role policy needs it/,
  ],
  [
    'one address for API and policy',
    { yaml: `${RELAY}policy: { listen: 8025 }\n` },
    /^stopgap\.yaml:2:\d+: policy\.listen: 127\.0\.0\.1:8025 is taken by api\.listen/,
  ],
  [
    'a path that does not fit into the address of a socket',
    { yaml: `${RELAY}policy: { listen: "unix:/${'x'.repeat(120)}" }\n` },
    /policy\.listen: .* is too long for a socket; use at most 107 bytes$/,
  ],
  [
    'an unknown refusal',
    { yaml: `${RELAY}policy: { refuse: 554 }\n` },
    /"554" is not known; use 451, 450, hold$/,
  ],
  [
    'one file for users and tokens',
    { env: { STOPGAP_SMTP_AUTH_USERS: 'x', STOPGAP_API_TOKENS: 'x' }, files: { x: '' } },
    'STOPGAP_API_TOKENS: is the users file too; use a file of its own',
  ],
  [
    'one file for tokens and people',
    { env: { STOPGAP_API_ADMINS: 'x', STOPGAP_API_TOKENS: 'x' }, files: { x: '' } },
    'STOPGAP_API_ADMINS: is the file of users or tokens too; use a file of its own',
  ],
];

for (const [name, given, wanted] of CASES) {
  test(`the configuration refuses ${name}`, (context) => {
    const problems = problemsOf(context, given);
    if (typeof wanted === 'string') assert.deepEqual(problems, [wanted]);
    else assert.match(problems[0]!, wanted);
  });
}

test('all problems are reported at once', (context) => {
  const problems = problemsOf(context, {
    yaml: 'dta: x\nsmtp:\n  maxConnections: many\n  hostname: "a b"\nrules: nowhere.yaml\n',
    env: { STOPGAP_LOG_LEVEL: 'loud', STOPGAP_NIX: '1' },
  });
  const wanted = [
    /dta/,
    /STOPGAP_NIX/,
    /relay\.url/,
    /maxConnections/,
    /hostname/,
    /LOG_LEVEL/,
    /nowhere\.yaml/,
  ];
  for (const one of wanted)
    assert.ok(
      problems.some((problem) => one.test(problem)),
      `${one} in ${problems.join('\n')}`,
    );
  assert.equal(problems.length, wanted.length);
});

test('the configuration allows what only looks like a contradiction', (context) => {
  const taken = (env: Record<string, string>): boolean => load(context, { env }).evaluation !== undefined;
  assert.ok(taken({ STOPGAP_SMTP_SUBMISSION_TLS_MODE: 'none' }), 'no TLS on loopback');
  assert.ok(
    taken({
      STOPGAP_SMTP_SUBMISSION_LISTEN: ':2587',
      STOPGAP_SMTP_SUBMISSION_TLS_MODE: 'none',
      STOPGAP_SMTP_SUBMISSION_ALLOW_INSECURE_AUTH: 'true',
    }),
    'no TLS anywhere, on purpose',
  );
  assert.ok(
    taken({ STOPGAP_SMTP_SUBMISSION_LISTEN: '127.0.0.1:0', STOPGAP_API_LISTEN: '127.0.0.1:0' }),
    'free ports',
  );
  assert.ok(taken({ STOPGAP_SMTP_SUBMISSION_LISTEN: '127.0.0.1:25,[::1]:25' }), 'one port on two addresses');
  assert.ok(taken({ STOPGAP_SMTP_RELAY_URL: 'smtp://localhost:25' }), 'a relay on another port here');
  assert.ok(taken({ STOPGAP_SMTP_RELAY_URL: 'smtp://other.example:2587' }), 'the same port elsewhere');
  assert.ok(
    taken({
      STOPGAP_SMTP_RELAY_URL: 'smtp://other.example:2587',
      STOPGAP_SMTP_SUBMISSION_LISTEN: ':2587',
    }),
    'the same port elsewhere, while we listen on all interfaces',
  );
});

test('an anchor and its alias are followed, a bomb is refused', (context) => {
  const { config } = load(context, {
    yaml: 'smtp:\n  relay: { url: smtp://a.example }\n  submission: [{ listen: &here 127.0.0.1:7 }]\napi: { listen: 8 }\ndata: &d x\n',
  });
  assert.equal(config.smtp.submission[0]!.listen.port, 7);
  const shared = load(context, {
    checkFiles: false,
    yaml: `${RELAY}rules: &f same.yaml\napi: { tokens: *f }\n`,
  });
  assert.equal(shared.config.rules, shared.config.api.tokens);
  const bomb = `a: &a [x]\nb: [${'*a, '.repeat(150)}]\n`;
  assert.match(problemsOf(context, { yaml: bomb })[0]!, /more than 100 aliases/);
});

test('a warning names a policy service that others can reach, and one that nobody opens', (context) => {
  const warned = (yaml: string): readonly string[] => load(context, { yaml }).warnings;
  assert.match(
    warned(`${RELAY}policy: { listen: ':10040' }\n`).join('\n'),
    /^stopgap\.yaml:2:\d+: policy\.listen: \*:10040 can be reached from other machines/,
  );
  const without = 'roles: [smtp, detector, api, worker]\npolicy: { listen: 10040 }\n';
  assert.match(
    warned(`${RELAY}${without}`).join('\n'),
    /policy\.listen: nobody listens there without the role/,
  );
  assert.deepEqual(warned(`${RELAY}policy: { listen: 10040 }\n`), []);
  assert.deepEqual(warned(`${RELAY}policy: { listen: 'unix:/srv/policy' }\n`), []);
});

test('a warning names listeners for mail in a process that has no role smtp, and nothing else of them', (context) => {
  const listeners = `smtp:
  relay: { url: smtp://127.0.0.1:25 }
  submission: { listen: 127.0.0.1:2587 }
  inbound: { listen: 127.0.0.1:2525, domains: x.example, tls: { mode: implicit } }
`;
  const withRoles = (roles: string): readonly string[] =>
    load(context, { yaml: `${listeners}policy: { listen: 10040 }\nroles: [${roles}]\n` }).warnings;
  assert.deepEqual(withRoles('policy, detector, api, worker'), [
    'stopgap.yaml:3:3: smtp.submission: nobody listens there without the role smtp',
    'stopgap.yaml:4:3: smtp.inbound: nobody listens there without the role smtp',
  ]);
  assert.match(
    withRoles('smtp, policy, detector, api, worker').join('\n'),
    /do not speak implicit TLS.*\n.*goes to the upstream of submissions/,
  );
  // Processes that share a store may share a file too.
  const shared = `${listeners}store: kurrentdb://k.example:2113?tls=false\nroles: [detector]\n`;
  assert.deepEqual(load(context, { yaml: shared }).warnings, []);
  const without = `${RELAY}policy: { listen: 10040 }\nroles: [policy, detector, api, worker]\n`;
  assert.deepEqual(load(context, { yaml: without }).warnings, []);
  const off = without.replace('relay:', 'submission: off, relay:');
  assert.deepEqual(load(context, { yaml: off }).warnings, []);
});

test('a warning says what no protocol of Dovecot means', (context) => {
  const { warnings } = load(context, { yaml: `${RELAY}dovecot: { protocols: [] }\n` });
  assert.match(
    warnings.join('\n'),
    /^stopgap\.yaml:2:\d+: dovecot\.protocols: an empty list has neither smtp nor submission: /,
  );
});

test('the authorization of a hook goes to no other host in clear text', (context) => {
  const hook = (url: string, more = ', authorization: secret'): Given => ({
    yaml: `${RELAY}hooks: { run: '${url}'${more} }\n`,
    files: { secret: 'x' },
  });
  assert.deepEqual(problemsOf(context, hook('http://hooks.example/x')), [
    'stopgap.yaml:2:15: hooks.run: would give hooks.authorization in clear text; use https://, or http:// on loopback',
  ]);
  for (const url of ['https://hooks.example/x', 'http://127.0.0.1:9/x', 'http://[::1]:9', 'http://localhost'])
    assert.doesNotThrow(() => load(context, hook(url)), url);
  assert.doesNotThrow(() => load(context, hook('http://hooks.example/x', '')));
});

test('a warning names what is odd but possible', (context) => {
  const { warnings } = load(context, {
    env: {
      STOPGAP_SMTP_SUBMISSION_LISTEN: '127.0.0.1:587,127.0.0.1:465',
      STOPGAP_SMTP_SUBMISSION_TLS_MODE: 'implicit',
      STOPGAP_SMTP_SENDERS: 'any',
      STOPGAP_RETENTION_SENDS: '1d',
    },
  });
  assert.equal(warnings.length, 3);
  assert.match(warnings[0]!, /expect starttls on port 587/);
  assert.match(warnings[1]!, /shorter than two days/);
  assert.match(warnings[2]!, /any lets each account/);
});

test('a relay that is our own listener is found where a sandbox tells no address of this machine', (t) => {
  t.mock.method(os, 'networkInterfaces', () => {
    throw Object.assign(new Error('uv_interface_addresses returned Unknown system error 97'), {
      code: 'ERR_SYSTEM_ERROR',
    });
  });
  syncBuiltinESMExports();
  t.after(() => {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  });
  assert.doesNotThrow(() => load(t, { env: { STOPGAP_SMTP_RELAY_URL: 'smtp://192.0.2.1:2587' } }));
  const [problem] = problemsOf(t, { env: { STOPGAP_SMTP_RELAY_URL: 'smtp://localhost:2587' } });
  assert.match(problem!, /^STOPGAP_SMTP_RELAY_URL: is smtp\.submission\[0\]\.listen itself/);
});

test('a login that could go in clear is told beside wrong values, not after they are mended', (context) => {
  const yaml = 'smtp: { relay: { url: "smtp://u:hush@a.example" }, maxMessageSize: 50XB }\n';
  const problems = problemsOf(context, { yaml }).join('\n');
  assert.match(problems, /smtp\.maxMessageSize: "50XB" is no size/);
  assert.match(
    problems,
    /^stopgap\.yaml:1:23: smtp\.relay\.url: would give its password without certain TLS/m,
  );
  assert.ok(!problems.includes('hush'));
});

test('a secret that YAML reads as something else is not shown', (context) => {
  for (const first of ['!', '*', '|', ']', '}', '@', '%', '&a ', "'", '"', '"\\q', 'x: ']) {
    const problems = problemsOf(context, { yaml: `${RELAY}redis: ${first}hunter2\n` });
    assert.ok(problems.length > 0, first);
    assert.doesNotMatch(problems.join('\n'), /hunter2/, first);
  }
});
