import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunningApp } from '../../../src/app.js';
import { banner } from '../../../src/cli/serve.js';
import type { LoadedConfig } from '../../../src/config.js';

function shown(
  roles: readonly string[],
  rules: object,
  unanswered: readonly string[] = [],
  inbound: readonly object[] = [],
): string {
  const config = {
    roles,
    data: '/var/lib/stopgap',
    rules: '/etc/stopgap/rules.yaml',
    smtp: { relay: { target: { maildir: '/var/mail' } }, inbound },
  };
  const loaded = { config, evaluation: false } as unknown as LoadedConfig;
  return banner(loaded, { listening: [], unanswered, rules } as unknown as RunningApp);
}

test('the banner of a process that knows no rules yet does not call them built in', () => {
  const text = shown(['api'], { version: 0, origin: 'defaults' });
  assert.match(text, /^ {2}rules +none yet: a process with the role detector puts them in force$/m);
});

test('the banner says where mail goes only of a process that takes mail', () => {
  const rules = { version: 1, origin: 'file' };
  assert.match(shown(['smtp'], rules), /^ {2}mail to +\/var\/mail \(Maildir\)$/m);
  assert.doesNotMatch(shown(['api', 'worker'], rules), /mail to/);
});

test('the banner says which of two upstream mail servers does not answer', () => {
  const rules = { version: 1, origin: 'file' };
  const two = [{ relay: { target: { maildir: '/var/arrived' } } }];
  const text = (...unanswered: string[]) => shown(['smtp'], rules, unanswered, two);
  assert.match(text('inbound'), /^The mail server behind that takes what arrives does not answer: /m);
  assert.match(text('outbound'), /^The mail server behind that takes submissions does not answer: /m);
  assert.match(text('outbound', 'inbound'), /^The mail server behind does not answer: /m);
  assert.match(shown(['smtp'], rules, ['outbound']), /^The mail server behind does not answer: /m);
  assert.doesNotMatch(text(), /does not answer/);
});

for (const [origin, text] of [
  ['defaults', '(built in)'],
  ['file', '(/etc/stopgap/rules.yaml)'],
  ['api', '(set through the API)'],
  ['shadow', '(promoted from the shadow)'],
] as const) {
  test(`the banner says where the rules come from: ${origin}`, () => {
    assert.match(
      shown(['smtp'], { version: 7, origin }),
      new RegExp(`^  rules +version 7 ${text.replace(/[()]/g, '\\$&')}$`, 'm'),
    );
  });
}
