import assert from 'node:assert/strict';
import test from 'node:test';
import { load, problemsOf, RELAY } from './helpers.js';

const WHOLE =
  'publicUrl: https://s.example, openId: { issuer: https://i.example, clientId: c, roles: a=admin';

test('a provider is taken with its issuer, a client and roles; its scopes and claims have defaults', (context) => {
  const { api } = load(context, { yaml: `${RELAY}api: { ${WHOLE} } }\n` }).config;
  assert.deepEqual(api.openId, {
    issuer: 'https://i.example/',
    clientId: 'c',
    clientSecretFile: undefined,
    label: 'OpenID',
    scopes: 'openid profile email',
    groupsClaim: 'groups',
    roles: { a: 'admin' },
    domainsClaim: undefined,
  });
  assert.equal(load(context, { yaml: RELAY }).config.api.openId, undefined);
});

test('what a provider lacks, and what cannot be right, is named with what would be', (context) => {
  for (const [api, problem] of [
    [
      'openId: { issuer: https://i.example, clientId: c, roles: a=admin }',
      /api\.publicUrl: is missing, and api\.openId/,
    ],
    [
      'publicUrl: https://s.example, openId: { issuer: https://i.example, roles: a=admin }',
      /clientId: is missing/,
    ],
    [
      'publicUrl: https://s.example, openId: { issuer: https://i.example, clientId: c }',
      /roles: is missing, so nobody/,
    ],
    [
      `${WHOLE},b=domain }`.replace('a=admin', '"a=admin').replace('b=domain', 'b=domain"'),
      /domainsClaim: is missing/,
    ],
    [`${WHOLE}, clientSecretFile: ./none }`, /none does not exist; make it/],
    [`${WHOLE}, scopes: profile }`, /"profile" is no list of scopes; use openid/],
    [`${WHOLE.replace('https://i', 'http://i')} }`, /would give passwords in clear text/],
    [`${WHOLE.replace('a=admin', 'a=server')} }`, /"a=server" is no group with its role/],
    [`${WHOLE.replace('a=admin', 'admin')} }`, /"admin" is no group with its role/],
  ] as const) {
    const problems = problemsOf(context, { yaml: `${RELAY}api: { ${api} }\n` });
    assert.match(problems.join('\n'), problem);
  }
});
