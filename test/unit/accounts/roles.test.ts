import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { concerns, domainsOf } from '../../../src/accounts/roles.js';
import { addToken, parseTokens, readTokens } from '../../../src/accounts/tokens.js';
import { InvalidInput } from '../../../src/kernel/errors.js';
import { DAY } from '../../../src/kernel/time.js';
import { parseSubject } from '../../../src/sending/subjects.js';
import { temporaryDirectory } from '../config/helpers.js';

const NOW = Date.parse('2026-01-02T03:04:05.678Z');

test('a subject concerns the administrator of its domain, or of a domain above it', () => {
  const rights = {
    role: 'domain',
    domains: domainsOf('domain', ['Own.Example.', 'müller.example']),
  } as const;
  for (const [type, value, expected] of [
    ['account', 'a@own.example', true],
    ['account', 'a@mail.own.example', true],
    ['address', '*@own.example', true],
    ['domain', 'own.example', true],
    ['domain', 'a.b.own.example', true],
    ['domain', 'MÜLLER.example', true],
    ['account', 'a@notown.example', false],
    ['account', 'a@own.example.org', false],
    ['account', 'own.example', false],
    ['account', 'own.example@other.example', false],
    ['domain', 'co.example', false],
    ['ehlo', 'mail.own.example', false],
    ['ip', '192.0.2.7', false],
  ] as const) {
    const subject = parseSubject(type, value);
    assert.equal(concerns(rights, subject), expected, `${type} ${value}`);
    assert.equal(concerns({ role: 'viewer', domains: [] }, subject), true);
  }
  const below = { role: 'domain', domains: ['mail.own.example'] } as const;
  assert.equal(
    concerns(below, { type: 'domain', value: 'own.example' }),
    false,
    'what is above is not theirs',
  );
});

test('a token of the role domain names its domains, and no other token does', async (context) => {
  const file = path.join(temporaryDirectory(context), 'tokens.yaml');
  const add = (name: string, role: string, domains: readonly string[]): Promise<string> =>
    addToken({ file, name, role, domains, now: NOW });
  const token = await add('agency', 'domain', ['Own.example', 'own.example', 'other.example']);
  assert.deepEqual((await readTokens(file)).find(token, NOW)?.domains, ['own.example', 'other.example']);
  await assert.rejects(add('none', 'domain', []), InvalidInput);
  await assert.rejects(add('wide', 'domain', ['example']), InvalidInput);
  await assert.rejects(add('viewer', 'viewer', ['own.example']), InvalidInput);
  const hash = `sha256:${'0'.repeat(64)}`;
  for (const rest of [
    'role: domain',
    'role: domain, domains: [com]',
    'role: domain, domains: own.example',
    'role: viewer, domains: [a.example]',
  ])
    assert.throws(() => parseTokens(`tokens: [{name: a, hash: "${hash}", ${rest}}]`, 'f'), /domains/, rest);
});

test('a token is worth nothing from the instant at which it expires', async (context) => {
  const file = path.join(temporaryDirectory(context), 'tokens.yaml');
  const token = await addToken({ file, name: 'job', role: 'viewer', now: NOW, lasts: 30 * DAY });
  const table = await readTokens(file);
  assert.equal(table.find(token, NOW + 30 * DAY - 1)?.name, 'job');
  assert.equal(table.find(token, NOW + 30 * DAY), undefined);
  writeFileSync(file, `tokens: [{name: a, role: viewer, hash: "sha256:${'0'.repeat(64)}", expiresAt: soon}]`);
  await assert.rejects(readTokens(file), /expiresAt: must be an ISO 8601 time/);
});
