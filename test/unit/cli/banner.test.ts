import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunningApp } from '../../../src/app.js';
import { banner } from '../../../src/cli/banner.js';
import type { LoadedConfig } from '../../../src/config/types.js';

for (const [origin, text] of [
  ['defaults', '(built in)'],
  ['file', '(/etc/stopgap/rules.yaml)'],
  ['api', '(set through the API)'],
  ['shadow', '(promoted from the shadow)'],
] as const) {
  test(`the banner says where the rules come from: ${origin}`, () => {
    const config = {
      data: '/var/lib/stopgap',
      rules: '/etc/stopgap/rules.yaml',
      smtp: { relay: { target: { maildir: '/var/mail' } }, inbound: [] },
    };
    const loaded = { config, evaluation: false } as unknown as LoadedConfig;
    const app = { listening: [], rules: { version: 7, origin } } as unknown as RunningApp;
    assert.match(
      banner(loaded, app),
      new RegExp(`^  rules +version 7 ${text.replace(/[()]/g, '\\$&')}$`, 'm'),
    );
  });
}
