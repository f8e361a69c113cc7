import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { ApiServer } from '../../support/api/server.js';

const RUNS = 150;

/** What a URL can carry: lone surrogates become U+FFFD. */
const wellFormed = (text: string): string => Buffer.from(text, 'utf8').toString('utf8');

/** Texts that have broken parsers before. */
const nasty = fc.constantFrom(
  '',
  ' ',
  '*',
  '@',
  '..',
  '\u0000',
  '\ud800',
  '__proto__',
  '%',
  '1e999',
  '-1',
  '9'.repeat(40),
  '[1.2.3.4]',
  'xn--',
  '𝕏@ex.ample',
  '::/0',
  '0x10',
  '+275760-09-13',
  '9999-12-31',
  '999999999w',
  '<script>',
);
const text = fc.oneof(nasty, fc.string({ unit: 'binary', maxLength: 40 }), fc.string({ maxLength: 40 }));
const value = fc.oneof(
  text,
  fc.integer(),
  fc.double(),
  fc.boolean(),
  fc.constant(null),
  fc.jsonValue({ maxDepth: 3 }),
);
const typed = fc.constantFrom('account', 'address', 'domain', 'ehlo', 'ip');

/** A record with some of the fields that mean something, right or wrong, and some that do not. */
const bodies = fc.oneof(
  fc.jsonValue({ maxDepth: 4 }),
  fc.record(
    {
      subject: fc.oneof(value, fc.record({ type: fc.oneof(typed, value), value: fc.oneof(text, value) })),
      direction: fc.oneof(fc.constantFrom('outbound', 'inbound', 'all'), value),
      description: value,
      refusal: fc.oneof(fc.constantFrom('soft', 'defer', 'honest'), value),
      duration: fc.oneof(fc.constantFrom('1h', '3650d', '3651d', '0s', '999999999w'), value),
      until: fc.oneof(fc.constantFrom('2027-01-01', '9999-12-31T23:59:59Z', '2026-02-30'), value),
      indefinite: fc.oneof(fc.constant(true), value),
      reason: value,
      note: value,
      falsePositive: value,
      source: value,
      version: value,
      rules: value,
      limits: fc.oneof(fc.dictionary(text, fc.oneof(fc.constantFrom('off', 5), value)), value),
      factor: fc.oneof(fc.constantFrom(2, 0.1), value),
      total: fc.oneof(fc.record({ factor: value }), value),
      plan: value,
      other: value,
    },
    { requiredKeys: [] },
  ),
);

const queryNames = fc.constantFrom(
  ...[
    'state',
    'type',
    'value',
    'q',
    'id',
    'rule',
    'origin',
    'direction',
    'since',
    'until',
    'sort',
    'limit',
    'cursor',
  ],
  ...[
    'by',
    'prefix',
    'count',
    'account',
    'returnPath',
    'ehlo',
    'ip',
    'at',
    'other',
    '__proto__',
    'constructor',
    'toString',
  ],
);
const query = fc.array(
  fc.tuple(queryNames, fc.oneof(text, typed, fc.constantFrom('10', 'MTox', '2026-01-01', 'newest'))),
  { maxLength: 5 },
);

describe('whatever is sent, it is no fault of ours', () => {
  let server: ApiServer;
  let id: string;
  before(async () => {
    server = await ApiServer.start();
    id = (await server.block('fuzzed@example.com', { indefinite: true })).id;
  });
  after(() => server.stop());

  const isFine = ({ status, headers, text }: { status: number; headers: Headers; text: string }): void => {
    assert.ok(status < 500, `${status}: ${text}\n${server.logged.at(-1)}`);
    if (status >= 400) assert.match(headers.get('content-type')!, /^application\/problem\+json/);
  };

  test('JSON bodies', async () => {
    const targets = fc.constantFrom(
      ['POST', '/api/v1/blocks'],
      ['PATCH', '/api/v1/blocks/ID'],
      ['POST', '/api/v1/blocks/ID/approve'],
      ['POST', '/api/v1/blocks/nope/release'],
      ['POST', '/api/v1/exemptions'],
      ['DELETE', '/api/v1/exemptions/x'],
      ['POST', '/api/v1/rules/validate'],
      ['PUT', '/api/v1/rules'],
      ['PUT', '/api/v1/overrides'],
      ['PUT', '/api/v1/overrides/account/fuzzed@example.com'],
      ['PUT', '/api/v1/overrides/domain/example.com'],
    );
    await fc.assert(
      fc.asyncProperty(targets, bodies, async ([method, target], body) => {
        isFine(await server.call(method, target.replace('ID', id), { body: JSON.stringify(body) }));
      }),
      { numRuns: 2 * RUNS },
    );
  });

  test('texts that are no JSON, and YAML', async () => {
    await fc.assert(
      fc.asyncProperty(text, fc.constantFrom('application/json', 'application/yaml'), async (body, type) => {
        isFine(
          await server.call('POST', '/api/v1/rules/validate', { body, headers: { 'content-type': type } }),
        );
      }),
      { numRuns: RUNS },
    );
  });

  test('queries', async () => {
    const targets = fc.constantFrom('blocks', 'exemptions', 'overrides', 'senders', 'check', 'rules');
    await fc.assert(
      fc.asyncProperty(targets, query, async (target, parameters) => {
        const search = parameters
          .map(([name, given]) => `${name}=${encodeURIComponent(wellFormed(given))}`)
          .join('&');
        isFine(await server.get(`/api/v1/${target}?${search}`));
      }),
      { numRuns: 2 * RUNS },
    );
  });

  test('paths and headers', async () => {
    const header = fc.string({
      unit: fc.constantFrom('"', 'W', '/', '*', ',', 'a', '1', ' '),
      maxLength: 12,
    });
    await fc.assert(
      fc.asyncProperty(typed, text, header, async (type, given, tag) => {
        const part = encodeURIComponent(wellFormed(given));
        isFine(await server.get(`/api/v1/senders/${type}/${part}`));
        isFine(await server.get(`/api/v1/overrides/${type}/${part}`));
        isFine(await server.get(`/api/v1/blocks/${part}`));
        isFine(await server.call('DELETE', `/api/v1/exemptions/${part}`));
        isFine(await server.get(`/api/v1/blocks/${id}`, { headers: { 'if-none-match': tag } }));
        isFine(
          await server.call('PATCH', `/api/v1/blocks/${id}`, {
            body: { duration: '1h' },
            headers: { 'if-match': tag },
          }),
        );
      }),
      { numRuns: RUNS / 3 },
    );
  });
});
