import { Agent, request } from 'node:http';
import { OTHER_LINE, RULE, many } from './inputs.js';
import type { Attack, Target } from './target.js';
import { TOKENS } from './target.js';

/* What strangers, and the holders of tokens, may ask of the API: route by route, at the limits of a body. */

interface Ask {
  readonly method?: string;
  readonly path: string;
  readonly role?: keyof typeof TOKENS;
  readonly body?: string;
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** How often, one after the other. */
  readonly times?: number;
}

/** @returns what was answered last; empty where nothing was */
async function ask(target: Target, { times = 1, ...one }: Ask): Promise<string> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    let answer = '';
    for (let n = 0; n < times; n++) answer = await askOnce(target, agent, one);
    return answer;
  } finally {
    agent.destroy();
  }
}

function askOnce(
  { http, from }: Target,
  agent: Agent,
  { method, path, role, body, ...more }: Ask,
): Promise<string> {
  return new Promise((resolve) => {
    const made = request({
      agent,
      port: http,
      host: '127.0.0.1',
      localAddress: from,
      path,
      method: method ?? (body === undefined ? 'GET' : 'POST'),
      headers: {
        ...(role === undefined ? {} : { authorization: `Bearer ${TOKENS[role]}` }),
        ...(body === undefined ? {} : { 'content-type': more.type ?? 'application/json' }),
        ...more.headers,
      },
    });
    made.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.once('close', () => resolve(text));
    });
    // What has no end, such as the feed of events, is left.
    made.setTimeout(2000, () => made.destroy());
    // A server that has read enough may answer and close.
    made.once('error', () => resolve(''));
    made.end(body);
  });
}

/** A text of so many characters, made of another again and again. */
const long = (count: number, text: string): string =>
  text.repeat(Math.ceil(count / text.length)).slice(0, count);

const YAML = 'application/yaml';
const NDJSON = 'application/x-ndjson';
const V1 = '/api/v1';

const rules = (count: number): string =>
  JSON.stringify({ version: 1, mode: 'observe', rules: many(count, RULE) });
const override = (n: number): unknown => ({
  subject: { type: 'account', value: `user${n}@example.com` },
  factor: 2,
});
const odd = (n: number): unknown => ({
  subject: { type: 'account', value: `${long(200, 'Ü+')}${n}@${long(200, 'ß.')}de` },
  limits: { [long(64, 'x')]: 1 },
});

/** Each attack and what is ordinary of the same size. */
const ROUTES: readonly (readonly [door: string, worst: string, attack: Ask, ordinary: Ask])[] = [
  [
    'any path',
    '300 paths of 8 KB, escaped',
    { path: `/${long(8000, '%2e%2e/%C3%BC;')}`, times: 300 },
    { path: `/${long(8000, 'a/')}`, times: 300 },
  ],
  [
    'any path',
    '300 queries of 8 KB',
    { path: `${V1}/blocks?${long(8000, 'a[]&')}`, role: 'viewer', times: 300 },
    { path: `${V1}/blocks?limit=10`, role: 'viewer', times: 300 },
  ],
  [
    'login',
    '300 tokens of 8 KB',
    { path: `${V1}/blocks`, headers: { authorization: `Bearer ${long(8000, 'sgp_ ')}x` }, times: 300 },
    { path: `${V1}/blocks`, headers: { authorization: 'Bearer wrong' }, times: 300 },
  ],
  [
    'login',
    '100 bodies of 1 MB without a token',
    { method: 'PUT', path: `${V1}/rules`, body: long(1_000_000, '['), times: 100 },
    { method: 'PUT', path: `${V1}/rules`, body: '{}', times: 100 },
  ],
  [
    'any header',
    '300 requests with 12 KB of headers',
    {
      path: '/healthz',
      headers: {
        ...Object.fromEntries(many(300, (n) => [`x-${n}`, long(20, ' ,;')])),
        'x-request-id': long(4000, 'a.'),
        traceparent: long(2000, '00-'),
        accept: long(2000, '*/*;q=0.1,'),
      },
      times: 300,
    },
    { path: '/healthz', times: 300 },
  ],
  ...(['healthz', 'readyz', 'metrics', '', 'api/v1/openapi.json'] as const).map(
    (path) =>
      [
        `GET /${path}`,
        '100 times',
        { path: `/${path}`, role: 'viewer', times: 100, headers: { accept: long(1000, 'text/html;q=0.1,') } },
        { path: `/${path}`, role: 'viewer', times: 100 },
      ] as const,
  ),
  ...(['allow', 'report'] as const).map(
    (command) =>
      [
        `POST dovecot/policy, ${command}`,
        '300 logins of 60 KB',
        {
          path: `/dovecot/policy?command=${command}`,
          role: 'admin' as const,
          times: 300,
          body: JSON.stringify({ login: long(28_000, 'Ü\u0301'), remote: long(2000, ':'), protocol: 'smtp' }),
        },
        {
          path: `/dovecot/policy?command=${command}`,
          role: 'admin' as const,
          times: 300,
          body: JSON.stringify({ login: 'alice@example.com', remote: '192.0.2.7', protocol: 'smtp' }),
        },
      ] as const,
  ),
  [
    'POST rules/validate',
    'lists at the limit of tokens',
    {
      path: `${V1}/rules/validate`,
      role: 'viewer',
      type: YAML,
      body: `version: 1\nrules: [${long(19_900, '1,')}]`,
    },
    { path: `${V1}/rules/validate`, role: 'viewer', body: rules(10) },
  ],
  [
    'POST rules/validate',
    'keys at the limit of tokens',
    {
      path: `${V1}/rules/validate`,
      role: 'viewer',
      type: YAML,
      body: many(4900, (n) => `k${n}: 1`).join('\n'),
    },
    { path: `${V1}/rules/validate`, role: 'viewer', body: rules(10) },
  ],
  [
    'POST rules/validate',
    '250 KB of one text',
    {
      path: `${V1}/rules/validate`,
      role: 'viewer',
      type: YAML,
      body: `version: 1\nx: "${long(250_000, '\\u0041\n ')}"`,
    },
    {
      path: `${V1}/rules/validate`,
      role: 'viewer',
      type: YAML,
      body: `version: 1\nx: "${long(250_000, 'a')}"`,
    },
  ],
  [
    'POST rules/validate',
    '250 KB of JSON, the fault at its end',
    { path: `${V1}/rules/validate`, role: 'viewer', body: `{"version":1,"rules":[${long(249_000, '"",')}` },
    {
      path: `${V1}/rules/validate`,
      role: 'viewer',
      body: `{"version":1,"rules":[${long(248_999, '"",')}""]}`,
    },
  ],
  ...(['PUT', 'PUT shadow'] as const).flatMap((door) => {
    const path = door === 'PUT' ? `${V1}/rules` : `${V1}/rules/shadow`;
    const put = { method: 'PUT', path, role: 'admin' } as const;
    const exempt = (n: number): unknown => ({
      subject: { type: 'account', value: `user${n}@example.com` },
      reason: 'r',
    });
    const usual = { ...put, body: rules(10) };
    return [
      [
        `${door} rules`,
        '1 MB at the limit of tokens',
        { ...put, type: YAML, body: `version: 1\nrules: [${long(399_000, '1,')}]` },
        usual,
      ],
      [`${door} rules`, '1 MB of keys, as JSON', { ...put, body: `{"version":1,${keys(1_000_000)}}` }, usual],
      [
        `${door} rules`,
        'ten thousand exemptions',
        {
          ...put,
          body: JSON.stringify({
            version: 1,
            mode: 'observe',
            rules: many(40, RULE),
            exempt: many(10_000, exempt),
          }),
        },
        usual,
      ],
    ] as const;
  }),
  [
    'GET rules',
    '10 times',
    { path: `${V1}/rules`, role: 'viewer', times: 10 },
    { path: `${V1}/rules`, role: 'viewer' },
  ],
  [
    'PUT rules',
    'back to few',
    { method: 'PUT', path: `${V1}/rules`, role: 'admin', body: rules(1) },
    { method: 'PUT', path: `${V1}/rules`, role: 'admin', body: rules(2) },
  ],
  [
    'PUT rules',
    '1 MB of one string, cut short',
    { method: 'PUT', path: `${V1}/rules`, role: 'admin', body: `{"source":"${long(1_000_000, '\\"')}` },
    { method: 'PUT', path: `${V1}/rules`, role: 'admin', body: rules(2) },
  ],
  [
    'POST backtests',
    '2 MB of one string, cut short',
    { path: `${V1}/backtests`, role: 'operator', body: `{"rules":"${long(2_000_000, '\\"')}` },
    { path: `${V1}/backtests`, role: 'operator', body: '{"rules":"x"}' },
  ],
  [
    'POST backtests',
    '2 MB of small values',
    {
      path: `${V1}/backtests`,
      role: 'operator',
      body: `{"rules":{"version":1,"a":[${long(298_000, '{},')}{}]}}`,
    },
    { path: `${V1}/backtests`, role: 'operator', body: '{"rules":"x"}' },
  ],
  [
    'POST backtests',
    '2 MB: two rule sets at the limit of tokens',
    {
      path: `${V1}/backtests`,
      role: 'operator',
      body: JSON.stringify({
        rules: `version: 1\nrules: [${long(19_900, '1,')}]`,
        against: long(1_900_000, 'a\n'),
      }),
    },
    {
      path: `${V1}/backtests`,
      role: 'operator',
      body: JSON.stringify({ rules: JSON.parse(rules(10)) as unknown }),
    },
  ],
  [
    'PUT overrides',
    'ten thousand with long names, 8 MB',
    { method: 'PUT', path: `${V1}/overrides`, role: 'operator', body: JSON.stringify(many(10_000, odd)) },
    { method: 'PUT', path: `${V1}/overrides`, role: 'operator', body: JSON.stringify(many(1000, override)) },
  ],
  [
    'PUT overrides',
    'ten thousand that are right',
    {
      method: 'PUT',
      path: `${V1}/overrides`,
      role: 'operator',
      body: JSON.stringify(many(10_000, override)),
    },
    { method: 'PUT', path: `${V1}/overrides`, role: 'operator', body: JSON.stringify(many(100, override)) },
  ],
  [
    'PUT overrides',
    '8 MB of one string, cut short',
    { method: 'PUT', path: `${V1}/overrides`, role: 'operator', body: `["${long(8_000_000, '\\"')}` },
    { method: 'PUT', path: `${V1}/overrides`, role: 'operator', body: JSON.stringify(many(100, override)) },
  ],
  [
    'PUT overrides',
    '8 MB of empty lines',
    { method: 'PUT', path: `${V1}/overrides`, role: 'operator', type: NDJSON, body: long(8_000_000, '\n') },
    { method: 'PUT', path: `${V1}/overrides`, role: 'operator', body: JSON.stringify(many(100, override)) },
  ],
  [
    'PUT overrides',
    '8 MB of JSON, the fault in its last element',
    {
      method: 'PUT',
      path: `${V1}/overrides`,
      role: 'operator',
      body: `[${many(8000, (n) => `[${'1,'.repeat(490)}${n}]`).join(',')},x]`,
    },
    { method: 'PUT', path: `${V1}/overrides`, role: 'operator', body: JSON.stringify(many(100, override)) },
  ],
  [
    'PUT overrides',
    '8 MB of short lines',
    { method: 'PUT', path: `${V1}/overrides`, role: 'operator', type: NDJSON, body: long(8_000_000, '1\n') },
    {
      method: 'PUT',
      path: `${V1}/overrides`,
      role: 'operator',
      type: NDJSON,
      body: many(1000, (n) => JSON.stringify(override(n))).join('\n'),
    },
  ],
  [
    'PUT overrides',
    '8 MB of JSON, the fault at its end',
    { method: 'PUT', path: `${V1}/overrides`, role: 'operator', body: `[${long(8_000_000, '1,')}` },
    { method: 'PUT', path: `${V1}/overrides`, role: 'operator', body: JSON.stringify(many(1000, override)) },
  ],
  [
    'POST blocks',
    '64 KB of unknown keys',
    { path: `${V1}/blocks`, role: 'operator', body: `{${keys(64_000)}}`, times: 10 },
    { path: `${V1}/blocks`, role: 'operator', body: OTHER_LINE, times: 10 },
  ],
  [
    'POST blocks',
    '64 KB of name',
    {
      path: `${V1}/blocks`,
      role: 'operator',
      times: 20,
      body: JSON.stringify({
        subject: { type: 'address', value: `${long(30_000, '*a')}@${long(30_000, 'a.')}` },
        reason: 'r',
      }),
    },
    { path: `${V1}/blocks`, role: 'operator', body: OTHER_LINE, times: 20 },
  ],
  [
    'POST exemptions',
    '64 KB of spaces and dots',
    {
      path: `${V1}/exemptions`,
      role: 'operator',
      times: 20,
      body: JSON.stringify({ subject: { type: 'domain', value: `${long(60_000, ' .')}x` }, reason: 'r' }),
    },
    { path: `${V1}/exemptions`, role: 'operator', body: OTHER_LINE, times: 20 },
  ],
  ...(['check', 'senders', 'overrides', 'events', 'exemptions', 'rules/observed', 'log'] as const).map(
    (path) =>
      [
        `GET ${path}`,
        '100 long questions',
        {
          role: 'viewer' as const,
          times: 100,
          path: `${V1}/${path}?account=${long(4000, '%20.')}&q=${long(3000, '*a')}`,
        },
        {
          path: `${V1}/${path}?account=bench@example.com`,
          role: 'viewer' as const,
          times: path === 'events' ? 1 : 100,
        },
      ] as const,
  ),
  [
    'GET senders/{type}/{value}',
    '100 long names',
    { path: `${V1}/senders/account/${long(4000, '%20.')}x`, role: 'viewer', times: 100 },
    { path: `${V1}/senders/account/bench@example.com`, role: 'viewer', times: 100 },
  ],
];

/** So many characters of keys of a JSON object. */
function keys(count: number): string {
  return many(Math.floor(count / 12), (n) => `"k${String(n).padStart(6, '0')}":1`).join(',');
}

const HEALTH: Ask = { path: '/healthz', times: 100 };
/** As many as are kept. */
const OBSERVATIONS = 1000;
const PATIENCE = 30_000;

/** Rules observe as many wide networks as are kept, and many addresses in others are exempt. */
async function observeNetworks(target: Target): Promise<void> {
  // Three networks that guess once each are too many for the /56 around them.
  const guess = { id: 'guess', per: 'ip', count: 'authFailures', window: '1d', limit: 1 };
  const exempt = many(1000, (n) => ({
    subject: { type: 'ip', value: `2001:db8:${n.toString(16)}::1` },
    reason: 'r',
  }));
  const rules = [{ ...guess, then: 'block', for: '1h' }];
  await ask(target, {
    method: 'PUT',
    path: `${V1}/rules`,
    role: 'admin',
    body: JSON.stringify({ version: 1, mode: 'observe', rules, exempt }),
  });
  const run = Date.now();
  for (let network = 0; network < 3; network++) {
    const failed = many(OBSERVATIONS, (n) => ({
      type: 'login-failed',
      id: `${run} ${network} ${n}`,
      account: 'a@example.com',
      ip: `2001:db9:${n.toString(16)}:${network}::1`,
    }));
    await ask(target, { path: `${V1}/sends`, role: 'admin', body: JSON.stringify(failed) });
  }
  for (let senders = 0; senders < OBSERVATIONS;) {
    if (Date.now() - run > PATIENCE) throw new Error(`only ${senders} networks are observed`);
    const overview = await ask(target, { path: `${V1}/overview`, role: 'viewer' });
    ({ senders } = (JSON.parse(overview) as { unstopped: { senders: number } }).unstopped);
  }
}

export const HTTP: readonly Attack[] = [
  ...ROUTES.map(([door, worst, attack, ordinary]) => ({
    door: `HTTP, ${door}`,
    worst,
    attack: async (target: Target) => void (await ask(target, attack)),
    ordinary: async (target: Target) => void (await ask(target, ordinary)),
  })),
  {
    door: 'HTTP, GET /healthz',
    worst: `${OBSERVATIONS} wide networks observed, 1000 addresses exempt`,
    async attack(target) {
      await observeNetworks(target);
      await ask(target, HEALTH);
    },
    ordinary: async (target) => void (await ask(target, HEALTH)),
  },
];
