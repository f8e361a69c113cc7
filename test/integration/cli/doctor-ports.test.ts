import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { Finding } from '../../../src/cli/doctor/findings.js';
import { freePort } from '../../support/ports.js';
import { ServedHere } from '../../support/smtp/served-here.js';
import { workDir } from '../../support/smtp/served.js';
import { PROGRAM } from '../../support/program.js';

/** Root without the right to ports below 1024, as the user of the service has it who runs the doctor. */
const WITHOUT = ['--bounding-set', '-net_bind_service', '--inh-caps', '-net_bind_service'];
const missing = ((): string | false => {
  if (process.getuid?.() !== 0) return 'only root can open a port below 1024';
  return spawnSync('setpriv', [...WITHOUT, 'true']).status === 0 ? false : 'there is no setpriv here';
})();

/** What the doctor finds of ports, run without that right. */
function portsOf(cwd: string, env: Readonly<Record<string, string>>): Promise<readonly Finding[]> {
  return new Promise((resolve) => {
    const command = [...WITHOUT, process.execPath, PROGRAM, 'doctor', '--json'];
    execFile('setpriv', command, { cwd, env: { PATH: process.env['PATH'], ...env } }, (_error, stdout) => {
      const { findings } = JSON.parse(stdout) as { readonly findings: readonly Finding[] };
      resolve(findings.filter(({ check }) => check === 'ports'));
    });
  });
}

/** A port that only a service with the right to it can open. */
async function lowPort(): Promise<number> {
  for (let port = 1023; ; port--) {
    try {
      return await freePort(port);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    }
  }
}

async function configured(
  t: TestContext,
): Promise<{ cwd: string; env: Record<string, string>; listen: string }> {
  const cwd = await workDir(t);
  const listen = `127.0.0.1:${await lowPort()}`;
  writeFileSync(
    path.join(cwd, 'stopgap.yaml'),
    'smtp: { hostname: mx.example.com, relay: { url: "maildir:./mail" } }\n',
  );
  const env = {
    STOPGAP_SMTP_SUBMISSION_LISTEN: listen,
    STOPGAP_API_LISTEN: `127.0.0.1:${await freePort()}`,
  };
  return { cwd, env, listen };
}

test('a user who may open no port below 1024 is told that the service may', { skip: missing }, async (t) => {
  const { cwd, env, listen } = await configured(t);
  const [submission] = await portsOf(cwd, env);
  assert.equal(submission!.outcome, 'not tried');
  assert.match(submission!.detail, new RegExp(`^submission ${listen}: .*CAP_NET_BIND_SERVICE`));
});

test('a user who may open no port below 1024 is told that Stopgap holds it', { skip: missing }, async (t) => {
  const { cwd, env, listen } = await configured(t);
  await ServedHere.start(t, cwd, env);
  const [submission] = await portsOf(cwd, env);
  assert.deepEqual(
    [submission!.outcome, submission!.detail],
    ['ok', `submission ${listen} is held by the running Stopgap`],
  );
});
