import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { environmentName, listSettings, OTHER_VARIABLES, settingsTable } from '../../../src/config.js';
import { formatListen } from '../../../src/config/listening.js';
import { load, problemsOf, RELAY } from './helpers.js';

test('the name of a variable is the path of its setting in upper snake case', () => {
  assert.equal(environmentName('smtp.maxMessageSize'), 'STOPGAP_SMTP_MAX_MESSAGE_SIZE');
  assert.equal(environmentName('smtp.submission.tls.cert'), 'STOPGAP_SMTP_SUBMISSION_TLS_CERT');
  assert.equal(environmentName('retention.sends'), 'STOPGAP_RETENTION_SENDS');
});

/** A value for each setting that differs from its default, and where it must arrive. */
const SAMPLES: Readonly<Record<string, readonly [value: string, shown: RegExp]>> = {
  data: ['/srv/x', /"data":"\/srv\/x"/],
  store: ['sqlite', /"kind":"sqlite"/],
  'smtp.hostname': ['mx9.example', /"hostname":"mx9.example"/],
  'smtp.submission.listen': ['127.0.0.1:1587', /"port":1587/],
  'smtp.submission.tls.mode': ['implicit', /"mode":"implicit"/],
  'smtp.submission.tls.cert': ['/srv/s.crt,/srv/t.crt', /"cert":\["\/srv\/s.crt","\/srv\/t.crt"\]/],
  'smtp.submission.tls.key': ['/srv/s.key,/srv/t.key', /"key":\["\/srv\/s.key","\/srv\/t.key"\]/],
  'smtp.submission.proxy': ['10.0.0.0/8', /"proxy":\["10.0.0.0\/8"\]/],
  'smtp.inbound.proxy': ['10.0.0.0/8,192.0.2.7', /"proxy":\["10.0.0.0\/8","192.0.2.7"\]/],
  'smtp.submission.allowInsecureAuth': ['false', /"allowInsecureAuth":false/],
  'smtp.inbound.listen': ['127.0.0.1:1525', /"port":1525/],
  'smtp.inbound.domains': ['a.example,b.example', /"domains":\["a.example","b.example"\]/],
  'smtp.inbound.relay.url': ['lmtp://i.example:2425', /"port":2425/],
  'smtp.inbound.tls.mode': ['none', /"mode":"none"/],
  'smtp.inbound.tls.cert': ['/srv/i.crt', /"cert":\["\/srv\/i.crt"\]/],
  'smtp.inbound.tls.key': ['/srv/i.key', /"key":\["\/srv\/i.key"\]/],
  'smtp.auth.backend': ['file', /"backend":"file"/],
  'smtp.auth.users': ['/srv/u.yaml', /"users":"\/srv\/u.yaml"/],
  'smtp.auth.dovecot': ['unix:/srv/auth', /"dovecot":\{"path":"\/srv\/auth"/],
  'smtp.auth.smtp': ['smtp://a.example:2587', /"port":2587/],
  'smtp.auth.http': ['https://a.example/login', /"http":"https:\/\/a.example\/login"/],
  'smtp.auth.token': ['a-secret', /"token":\{\}(?!.*a-secret)/],
  'smtp.auth.attemptsPerMinute': ['77', /"attemptsPerMinute":77/],
  'smtp.relay.xclient': ['true', /"xclient":true/],
  'smtp.relay.url': ['lmtp://h.example:2424', /"port":2424/],
  'smtp.maxMessageSize': ['123KB', /"maxMessageSize":123000/],
  'smtp.maxConnections': ['78', /"maxConnections":78/],
  'smtp.perNetwork.connections': ['81', /"connections":81/],
  'smtp.perNetwork.newPerMinute': ['82', /"newPerMinute":82/],
  'smtp.perNetwork.except': ['192.0.2.0/24,private', /"except":\["192.0.2.0\/24","private"\]/],
  'smtp.timeouts.login': ['83s', /"login":83000/],
  'smtp.timeouts.command': ['84s', /"command":84000/],
  'smtp.maxRecipients': ['79', /"maxRecipients":79/],
  'smtp.senders': ['any', /"senders":{"kind":"any"}/],
  'smtp.softFail.contact': ['call us', /"contact":"call us"/],
  'policy.listen': ['unix:/srv/policy', /"policy":\{"listen":\{"path":"\/srv\/policy"/],
  'policy.refuse': ['hold', /"refuse":"hold"/],
  'policy.ownNetworks': ['192.0.2.0/24', /"ownNetworks":\["192.0.2.0\/24"\]/],
  'dovecot.protocols': ['smtp, IMAP', /"protocols":\["smtp","imap"\]/],
  'hooks.run': ['/srv/hook -x', /"hooks":\{"run":\{"command":\["\/srv\/hook","-x"\]/],
  'hooks.authorization': ['/srv/secret', /"authorization":"\/srv\/secret"/],
  'notices.channels.name': ['night', /"name":"night"/],
  'notices.channels.type': ['teams', /"type":"teams"/],
  'notices.channels.url': ['https://n.example/a-secret', /"url":\{\}(?!.*a-secret)/],
  'notices.channels.secret': ['a-secret', /"secret":\{\}(?!.*a-secret)/],
  'notices.channels.to': ['a@x.example,b@x.example', /"to":\["a@x.example","b@x.example"\]/],
  'notices.channels.from': ['s@x.example', /"from":"s@x.example"/],
  'notices.channels.smtp': ['smtp://n.example:2526', /"port":2526/],
  'notices.channels.owners': ['X.example=p@y.example', /"owners":\{"x.example":"p@y.example"\}/],
  'notices.channels.texts': ['lapsed={subject}, it is', /"texts":\{"lapsed":"\{subject\}, it is"\}/],
  'notices.channels.events': ['lapsed', /"events":\["lapsed"\]/],
  'notices.channels.types': ['ip', /"types":\["ip"\]/],
  'notices.channels.domains': ['N.example', /"domains":\["n.example"\]/],
  'notices.channels.quietHours': [
    '22:00-07:00 Europe/Berlin',
    /"from":1320,"to":420,"zone":"Europe\/Berlin"/,
  ],
  'notices.channels.digest': ['1s, 2s, 5m', /"wait":1000,"interval":2000,"repeat":300000/],
  'api.listen': ['127.0.0.1:1825', /"port":1825/],
  'api.metrics': ['token', /"metrics":"token"/],
  'api.tokens': ['/srv/t.yaml', /"tokens":"\/srv\/t.yaml"/],
  'api.admins': ['/srv/a.yaml', /"admins":"\/srv\/a.yaml"/],
  'api.proxyAuth.from': ['192.0.2.7,10.0.0.0/8', /"from":\["192.0.2.7","10.0.0.0\/8"\]/],
  'api.proxyAuth.userHeader': ['X-User', /"userHeader":"X-User"/],
  'api.proxyAuth.groupsHeader': ['X-Groups', /"groupsHeader":"X-Groups"/],
  'api.proxyAuth.roles': ['cn=root=admin, x=viewer', /"roles":\{"cn=root":"admin","x":"viewer"\}/],
  'api.trustedProxies': ['10.0.0.0/8', /"trustedProxies":\["10.0.0.0\/8"\]/],
  'api.openId.issuer': ['https://id.example/o/x/', /"issuer":"https:\/\/id.example\/o\/x\/"/],
  'api.openId.clientId': ['other', /"clientId":"other"/],
  'api.openId.clientSecretFile': ['/srv/secret', /"clientSecretFile":"\/srv\/secret"/],
  'api.openId.label': ['Example', /"label":"Example"/],
  'api.openId.scopes': ['openid groups', /"scopes":"openid groups"/],
  'api.openId.groupsClaim': ['memberOf', /"groupsClaim":"memberOf"/],
  'api.openId.roles': ['a=operator, b=domain', /"roles":\{"a":"operator","b":"domain"\}/],
  'api.openId.domainsClaim': ['mine', /"domainsClaim":"mine"/],
  'api.publicUrl': ['https://p.example', /"publicUrl":"https:\/\/p.example"/],
  roles: ['detector,smtp', /"roles":\["smtp","detector"\]/],
  redis: ['redis://r.example:6390', /"redis":{}/],
  onStoreLost: ['accept', /"whenFull":"accept"/],
  'outbox.maxEvents': ['4321', /"maxEvents":4321/],
  rules: ['/srv/r.yaml', /"rules":"\/srv\/r.yaml"/],
  overrides: ['/srv/o.yaml', /"overrides":"\/srv\/o.yaml"/],
  'geoip.country': ['/srv/c.mmdb', /"country":"\/srv\/c.mmdb"/],
  'geoip.asn': ['/srv/a.mmdb', /"asn":"\/srv\/a.mmdb"/],
  'retention.sends': ['3d', /"sends":259200000/],
  'log.level': ['trace', /"level":"trace"/],
  'log.format': ['text', /"format":"text"/],
  'log.addresses': ['hashed', /"addresses":"hashed"/],
  'log.key': ['/srv/k', /"key":"\/srv\/k"/],
  'log.file': ['/srv/l.log', /"file":"\/srv\/l.log"/],
  'log.maxFileSize': ['321KB', /"maxFileSize":321000/],
  'tracing.endpoint': ['http://t.example:4318', /"endpoint":"http:\/\/t.example:4318\/v1\/traces"/],
  'tracing.sample': ['0.25', /"sample":0.25/],
  'tracing.service': ['mx', /"service":"mx"/],
  'tracing.headers': ['x-key=a-secret', /"tracing":\{(?!.*a-secret)/],
};

/** What a setting needs beside it to make sense. */
const COMPANIONS: Readonly<Record<string, Record<string, string>>> = {
  roles: { STOPGAP_STORE: 'kurrentdb://k.example:2113?tls=false' },
  onStoreLost: { STOPGAP_STORE: 'kurrentdb://k.example:2113?tls=false' },
  'smtp.submission.tls.cert': { STOPGAP_SMTP_SUBMISSION_TLS_KEY: '/srv/s.key,/srv/t.key' },
  'smtp.submission.tls.key': { STOPGAP_SMTP_SUBMISSION_TLS_CERT: '/srv/s.crt,/srv/t.crt' },
  'smtp.inbound.tls.cert': { STOPGAP_SMTP_INBOUND_TLS_KEY: '/srv/i.key' },
  'smtp.inbound.tls.key': { STOPGAP_SMTP_INBOUND_TLS_CERT: '/srv/i.crt' },
};
const TRACES = { STOPGAP_TRACING_ENDPOINT: 'http://t.example:4318' };
/** A channel of a type that the setting goes with. */
function channelWith(setting: string): Record<string, string> {
  const mail = ['to', 'from', 'smtp', 'owners', 'texts'].some(
    (name) => setting === `notices.channels.${name}`,
  );
  const kind = mail ? 'mail' : 'ntfy';
  const to: Record<string, string> = mail
    ? { STOPGAP_NOTICES_CHANNELS_TO: 'p@x.example' }
    : { STOPGAP_NOTICES_CHANNELS_URL: 'https://x.example' };
  return { STOPGAP_NOTICES_CHANNELS_NAME: 'ops', STOPGAP_NOTICES_CHANNELS_TYPE: kind, ...to };
}
const INBOUND = { STOPGAP_SMTP_INBOUND_LISTEN: '127.0.0.1:2525', STOPGAP_SMTP_INBOUND_DOMAINS: 'x.example' };

const OPENID = {
  STOPGAP_API_OPEN_ID_ISSUER: 'https://id.example',
  STOPGAP_API_OPEN_ID_CLIENT_ID: 'stopgap',
  STOPGAP_API_OPEN_ID_ROLES: 'a=admin',
  STOPGAP_API_OPEN_ID_DOMAINS_CLAIM: 'domains',
  STOPGAP_API_PUBLIC_URL: 'https://p.example',
};

/** What makes the group of a setting be there at all. */
function groupOf(path: string): Record<string, string> {
  if (path.startsWith('smtp.inbound')) return INBOUND;
  if (path.startsWith('tracing')) return TRACES;
  if (path.startsWith('api.openId')) return OPENID;
  if (path === 'api.proxyAuth.from') return { STOPGAP_API_PROXY_AUTH_ROLES: 'a=admin' };
  return path.startsWith('notices') ? channelWith(path) : {};
}

for (const { path, env } of listSettings()) {
  test(`${env} sets ${path}, before the file`, (context) => {
    const sample = SAMPLES[path];
    assert.ok(sample !== undefined, `no sample for ${path}`);
    const group = groupOf(path);
    const { config } = load(context, {
      yaml: RELAY,
      checkFiles: false,
      env: { ...group, ...COMPANIONS[path], [env]: sample[0] },
    });
    assert.match(JSON.stringify(config), sample[1]);
  });
}

test('the environment goes before the file', (context) => {
  const yaml = `${RELAY}log: { level: debug }\nretention: { sends: 9d }\n`;
  const { config } = load(context, {
    yaml,
    env: { STOPGAP_LOG_LEVEL: 'error', STOPGAP_RETENTION_SENDS: '' },
  });
  assert.equal(config.log.level, 'error');
  assert.equal(config.retention.sends, 9 * 86_400_000, 'an empty variable counts as not set');
});

test('several listeners from the environment take over the settings of the file', (context) => {
  const yaml = `
smtp:
  relay: { url: smtp://127.0.0.1:25 }
  submission:
    - { listen: 127.0.0.1:1, tls: { mode: none } }
    - { listen: 127.0.0.1:2, tls: { mode: implicit } }
`;
  const listeners = (env: Record<string, string>): string[] =>
    load(context, { yaml, env }).config.smtp.submission.map(
      ({ listen, tls }) => `${formatListen(listen)} ${tls.mode}`,
    );
  assert.deepEqual(listeners({}), ['127.0.0.1:1 none', '127.0.0.1:2 implicit']);
  assert.deepEqual(listeners({ STOPGAP_SMTP_SUBMISSION_LISTEN: '11, [::1]:12,13' }), [
    '127.0.0.1:11 none',
    '[::1]:12 implicit',
    '127.0.0.1:13 none',
  ]);
  assert.deepEqual(listeners({ STOPGAP_SMTP_SUBMISSION_LISTEN: '11' }), ['127.0.0.1:11 none']);
  assert.deepEqual(listeners({ STOPGAP_SMTP_SUBMISSION_TLS_MODE: 'starttls' }), [
    '127.0.0.1:1 starttls',
    '127.0.0.1:2 starttls',
  ]);
});

test('a listener group can be switched off', (context) => {
  const yaml = `
smtp:
  relay: { url: smtp://127.0.0.1:25 }
  submission: off
  inbound: { listen: 127.0.0.1:2525, domains: x.example }
`;
  assert.deepEqual(load(context, { yaml }).config.smtp.submission, []);
  const env = { STOPGAP_SMTP_SUBMISSION_LISTEN: '2587', STOPGAP_SMTP_INBOUND_LISTEN: 'off' };
  const { smtp } = load(context, { yaml, env }).config;
  assert.equal(smtp.submission.length, 1);
  assert.deepEqual(smtp.inbound, []);
  const rest = { STOPGAP_SMTP_SUBMISSION_TLS_MODE: 'starttls', STOPGAP_SMTP_SUBMISSION_PROXY: '10.0.0.0/8' };
  assert.deepEqual(load(context, { yaml, env: rest }).config.smtp.submission, []);
  const none = yaml.replace('submission: off', 'submission: []');
  assert.deepEqual(load(context, { yaml: none, env: rest }).config.smtp.submission, []);
});

test('an unknown variable is refused with the nearest right one', (context) => {
  const problem = (name: string): string => problemsOf(context, { env: { [name]: 'x' } })[0]!;
  assert.equal(
    problem('STOPGAP_SMTP_RELAI_URL'),
    'STOPGAP_SMTP_RELAI_URL: unknown variable; did you mean STOPGAP_SMTP_RELAY_URL?',
  );
  assert.match(
    problem('STOPGAP_COMPLETELY_DIFFERENT'),
    /unknown variable; see docs\/reference\/configuration\.md/,
  );
  const fromFile = Object.keys(OTHER_VARIABLES).map((name) => problem(`${name}_FILE`));
  assert.ok(
    fromFile.includes(
      'STOPGAP_TOKEN_FILE: unknown variable; give the file to each command with --token-file',
    ),
  );
  assert.ok(fromFile.includes('STOPGAP_URL_FILE: unknown variable; did you mean STOPGAP_URL?'));
  assert.equal(
    problem('STOPGAP_TOKN_FILE'),
    'STOPGAP_TOKN_FILE: unknown variable; did you mean STOPGAP_TOKEN?',
  );
  const env = Object.fromEntries(Object.keys(OTHER_VARIABLES).map((name) => [name, '']));
  assert.equal(
    load(context, { env: { ...env, STOPGAP_URL: 'http://x', STOPGAP_DEBUG: '1' } }).evaluation,
    true,
  );
});

for (const { path, env } of listSettings()) {
  test(`${env}_FILE names a file that holds ${path}`, (context) => {
    const group = groupOf(path);
    const { config } = load(context, {
      yaml: RELAY,
      files: { value: `\n  ${SAMPLES[path]![0]}\n` },
      checkFiles: false,
      env: { ...group, ...COMPANIONS[path], [env]: '', [`${env}_FILE`]: 'value' },
    });
    assert.match(JSON.stringify(config), SAMPLES[path]![1]);
  });
}

test('a value from a file is refused if it cannot be used', (context) => {
  const problem = (env: Record<string, string>, text: string): string => {
    const problems = problemsOf(context, { yaml: RELAY, env, files: { value: text } });
    assert.equal(problems.length, 1);
    return problems[0]!;
  };
  const named = { STOPGAP_REDIS_FILE: 'value' };
  assert.equal(
    problem({ ...named, STOPGAP_REDIS: 'redis://a' }, 'redis://b'),
    'STOPGAP_REDIS_FILE: STOPGAP_REDIS is given too; keep one of the two',
  );
  assert.match(problem(named, ' \n'), /^STOPGAP_REDIS_FILE: \S+value is empty; put the value into it$/);
  assert.match(problem(named, 'x'.repeat(65_537)), /is larger than 64 KiB/);
  assert.match(
    problem({ STOPGAP_REDIS_FILE: 'none' }, ''),
    /^STOPGAP_REDIS_FILE: \S+none does not exist; name a file that holds the value/,
  );
  assert.match(
    problem({ STOPGAP_REDIS_FILE: '.' }, ''),
    /^STOPGAP_REDIS_FILE: \S+ is a folder; name a file that holds the value/,
  );
  assert.match(problem(named, 'http://:secret@a'), /^STOPGAP_REDIS_FILE: (?!.*secret)/);
  assert.equal(
    problem({ STOPGAP_REDSI_FILE: 'value' }, 'x'),
    'STOPGAP_REDSI_FILE: unknown variable; did you mean STOPGAP_REDIS_FILE?',
  );
  assert.equal(load(context, { yaml: RELAY, env: { STOPGAP_REDIS_FILE: '' } }).config.redis, undefined);
});

const doc = readFileSync(new URL('../../../../docs/reference/configuration.md', import.meta.url), 'utf8');

test('docs/reference/configuration.md has the table of the schema: stopgap config list --markdown', () => {
  assert.ok(doc.includes(`\n${settingsTable()}\n`));
  for (const [name, text] of Object.entries(OTHER_VARIABLES))
    assert.match(doc, tableRow(`\`${name}\``, text));
});

function tableRow(...cells: readonly string[]): RegExp {
  const escaped = cells.map((cell) => cell.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^\\| ${escaped.join(' +\\| ')} +\\|$`, 'm');
}

test('the example in docs/reference/configuration.md is valid unchanged', (context) => {
  const yaml = /## A file\n\n```yaml\n([^`]+)```/.exec(doc)?.[1];
  const { config, warnings } = load(context, { yaml: yaml!, checkFiles: false });
  assert.equal(config.smtp.submission.length, 2);
  assert.deepEqual(warnings, []);
});
