import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import type { Finding } from '../../../src/cli/doctor/findings.js';
import { workDir } from '../../support/smtp/served.js';
import { doctor, QUIET } from './examined.js';

const isRoot = process.getuid?.() === 0;
const SERVICE = 54_321;
const YAML = 'smtp: { hostname: mx.example.com, relay: { url: "maildir:./mail" } }\n';
const LOGIN = 'smtps://me:plugh@mail.example.com';

/** What is said of the configuration's own file. */
function ofConfiguration(findings: readonly Finding[]): readonly string[] {
  return findings
    .filter(({ check, detail }) => check === 'permissions' && detail.includes('the configuration'))
    .map(({ outcome, detail, remedy }) => `${outcome}: ${detail}; ${remedy ?? ''}`);
}

describe('stopgap doctor, of who may read the configuration', () => {
  test('a password that stands in a file of its own makes no secret of the configuration', async (t) => {
    const cwd = await workDir(t);
    writeFileSync(path.join(cwd, 'relay-url'), LOGIN, { mode: 0o600 });
    writeFileSync(path.join(cwd, 'redis-url'), 'redis://:plugh@127.0.0.1:6379', { mode: 0o600 });
    writeFileSync(path.join(cwd, 'stopgap.yaml'), YAML, { mode: 0o644 });
    const env = {
      ...QUIET,
      STOPGAP_SMTP_RELAY_URL_FILE: path.join(cwd, 'relay-url'),
      STOPGAP_REDIS_FILE: path.join(cwd, 'redis-url'),
    };
    const { findings } = await doctor(t, { env }, cwd);
    assert.deepEqual(ofConfiguration(findings), []);
  });

  test('a password in the file is a secret, though a variable takes precedence over it', async (t) => {
    const yaml = `${YAML}redis: "redis://:plugh@127.0.0.1:6379"\n`;
    const { has, findings } = await doctor(t, {
      yaml,
      env: { ...QUIET, STOPGAP_REDIS: 'redis://127.0.0.1' },
    });
    has('permissions', 'problem', /everybody may read the configuration with its secrets \(redis\)/);
    assert.ok(!JSON.stringify(findings).includes('plugh'));
  });

  test("where root owns it, the advice lets the service's user go on reading it", async (t) => {
    if (!isRoot) return t.skip('only root can give files to another user');
    // Given the data directory of a service, and a configuration of root's that everybody may read
    const cwd = await workDir(t);
    chmodSync(cwd, 0o755);
    mkdirSync(path.join(cwd, 'data'), { mode: 0o700 });
    chownSync(path.join(cwd, 'data'), SERVICE, SERVICE);
    const file = path.join(cwd, 'stopgap.yaml');
    writeFileSync(file, `smtp: { hostname: mx.example.com, relay: { url: "${LOGIN}" } }\n`, { mode: 0o644 });
    const examined = async () => ofConfiguration((await doctor(t, { env: QUIET }, cwd)).findings);
    // When the doctor looks, and is heeded
    const [told, ...others] = await examined();
    assert.match(
      told!,
      /^problem: everybody may .*; chgrp --reference=\S+data \S+stopgap\.yaml && chmod 640 \S+stopgap\.yaml$/,
    );
    assert.deepEqual(others, []);
    chownSync(file, 0, SERVICE);
    chmodSync(file, 0o640);
    // Then nothing is left to say
    assert.deepEqual(await examined(), []);
    // But what another group may read it can read only as a member of that
    chownSync(file, 0, SERVICE + 1);
    assert.ok(
      (await examined()).some((line) =>
        /^warning: .* is for user id 0 and group id 54322, .*, unless the service's user is in that group$/.test(
          line,
        ),
      ),
    );
    // And a mode that shuts the service out is a problem with the same remedy
    chmodSync(file, 0o600);
    assert.match(
      (await examined())[0]!,
      /the service cannot read it; chgrp --reference=\S+ \S+ && chmod 640/,
    );
  });

  test('secrets of a container may be read by everybody in it', async (t) => {
    if (!isRoot) return t.skip('only root can make files there');
    const there = `/run/secrets/stopgap-test-${process.pid}`;
    mkdirSync(there, { recursive: true });
    t.after(() => rmSync(there, { recursive: true }));
    writeFileSync(path.join(there, 'users.yaml'), 'users: []\n', { mode: 0o444 });
    const yaml = `${YAML.slice(0, -3)}, auth: { users: ${there}/users.yaml } }\n`;
    const { findings } = await doctor(t, { yaml, env: QUIET });
    assert.ok(!findings.some(({ check, detail }) => check === 'permissions' && detail.includes(there)));
  });

  test('the advice for a file that the service writes gives it to the service', async (t) => {
    if (!isRoot) return t.skip('only root can give files to another user');
    const cwd = await workDir(t);
    mkdirSync(path.join(cwd, 'data'), { mode: 0o700 });
    chownSync(path.join(cwd, 'data'), SERVICE, SERVICE);
    writeFileSync(path.join(cwd, 'data', 'tokens.yaml'), 'tokens: []\n', { mode: 0o644 });
    const { has } = await doctor(t, { yaml: YAML, env: QUIET }, cwd);
    has(
      'permissions',
      'problem',
      /everybody may read the tokens file.*; chown --reference=\S+ \S+ && chmod 600/,
    );
  });
});
