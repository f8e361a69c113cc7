import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { pino } from 'pino';
import { addToken } from '../../../src/accounts/tokens.js';
import { startApp } from '../../../src/app.js';
import { processIo } from '../../../src/cli/io.js';
import { run } from '../../../src/cli/program.js';
import { RulesCommandHandler } from '../../../src/commands/rules-commands.js';
import { loadConfig } from '../../../src/config.js';
import { DAY } from '../../../src/kernel/time.js';
import { logsOf } from '../../../src/log/logs.js';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { systemClock } from '../../../src/runtime/clock.js';
import { newId } from '../../../src/runtime/ids.js';
import { sendStream } from '../../../src/sending/events.js';
import { ManualClock } from '../../support/manual-clock.js';
import { sent } from '../../support/sends.js';
import { ENVIRONMENT, Served, workDir } from '../../support/smtp/served.js';

const COLLEAGUES = 3;

/** Where a server takes mail, and where its API is. */
interface Doors {
  told(word: 'submission' | 'HTTP'): string;
}

/** `stopgap simulate` in this process, against a server that runs in a directory. */
async function simulate(
  cwd: string,
  served: Doors,
  ...more: string[]
): Promise<{ code: number; out: string; err: string }> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const token = existsSync(path.join(cwd, 'token')) ? readFileSync(path.join(cwd, 'token'), 'utf8') : '';
  const env = {
    STOPGAP_SMTP_SUBMISSION_LISTEN: served.told('submission'),
    STOPGAP_API_LISTEN: served.told('HTTP'),
    STOPGAP_TOKEN: token,
  };
  const code = await run(['simulate', ...more], { ...processIo, stdout, stderr, env, cwd });
  const text = (stream: PassThrough): string => ((stream.read() as Buffer | null) ?? '').toString();
  return { code, out: text(stdout), err: text(stderr) };
}

/** A server in this process that is configured to deliver into a Maildir unless said otherwise, under rules of its own. */
async function configured(
  t: Parameters<typeof workDir>[0],
  rules: string,
  { relay = 'maildir:./mail', installed }: { readonly relay?: string; readonly installed?: number } = {},
): Promise<[string, Doors]> {
  const dir = await workDir(t);
  await writeFile(
    path.join(dir, 'stopgap.yaml'),
    `data: ./data\nrules: ./rules.yaml\nsmtp: { relay: { url: "${relay}" } }\n`,
  );
  if (installed !== undefined) {
    await mkdir(path.join(dir, 'data'), { mode: 0o700 });
    const file = path.join(dir, 'data', 'events.db');
    const clock = new ManualClock(installed);
    const store = await openSqliteStore({ file, clock });
    await new RulesCommandHandler(store, clock).load(undefined);
    // It watched: what has only rules begins with its first event.
    for (; clock.now() <= Math.min(systemClock.now(), installed + 2 * DAY); clock.skip(DAY)) {
      const { type, data } = sent(clock.now(), 1);
      const event = { id: newId(), type, data, at: clock.now(), by: 'smtp:test' };
      await store.append(sendStream('alice@example.com'), [event], 'any');
    }
    await store.close();
    const added = await addToken({
      file: path.join(dir, 'data', 'tokens.yaml'),
      name: 'me',
      role: 'viewer',
      now: installed,
    });
    await writeFile(path.join(dir, 'token'), added);
  }
  await writeFile(path.join(dir, 'rules.yaml'), `version: 1\nrules:\n${rules}`);
  const app = await startApp({
    loaded: loadConfig({ env: ENVIRONMENT, cwd: dir }),
    clock: systemClock,
    logs: logsOf(pino({ level: 'silent' })),
    onFatal: (error) => assert.fail(String(error)),
  });
  t.after(() => app.stop());
  return [dir, { told: (word) => app.listening.find(({ what }) => what === word)!.address }];
}

test('in the evaluation set-up the thief is contained, and nobody else', async (t) => {
  const dir = await workDir(t);
  const served = await Served.start(t, dir);
  const sessions = 5;
  const { code, out } = await simulate(dir, served, '--json', '--sessions', String(sessions));
  assert.equal(code, 0);
  const result = JSON.parse(out) as Record<string, unknown>;
  const through = Number(result['through']);
  assert.ok(through > 0 && through <= 100 + sessions, `${through} got through`);
  assert.equal(typeof result['containedAfter'], 'number');
  assert.deepEqual((result['loginAfter'] as { code: number }).code, 535);
  assert.deepEqual([result['colleaguesSent'], result['colleaguesRefused']], [2 * COLLEAGUES, 0]);
});

test('colleagues write no more than rules allow that watch for two messages too many', async (t) => {
  const two = '  - { id: two, per: account, count: messages, window: 1m, limit: 2, then: block, for: 1h }\n';
  const [dir, served] = await configured(t, two);
  const { code, out, err } = await simulate(dir, served, '--sessions', '2');
  assert.equal(code, 0, err);
  assert.match(err, /^nothing leaves this machine: mail goes into the Maildir \S+mail$/m);
  assert.match(out, /^Contained +\d+\.\d+s after the first message$/m);
  assert.match(out, new RegExp(`^Colleagues meanwhile +${2 * COLLEAGUES} sent, 0 refused$`, 'm'));
  assert.match(out, /The account was a new one\. Should this installation be younger than a month \(/);
});

test('where rules only propose it says so, and where to look', async (t) => {
  const only =
    '  - { id: only, per: account, count: messages, window: 1m, limit: 8, then: propose, for: 1h }\n';
  const [dir, served] = await configured(t, only);
  const { code, out } = await simulate(dir, served, '--sessions', '2', '--attempts', '20');
  assert.equal(code, 0);
  assert.match(out, /^Got through +20 messages$/m);
  assert.match(out, /^Contained +no: no rule in force blocked it$/m);
  assert.match(out, /stopgap block list --state proposed/);
  assert.ok(!out.includes('release'), 'there is nothing to release');
});

test('where rules only observe it says so, and where to look', async (t) => {
  const one = '  - { id: one, per: account, count: messages, window: 1m, limit: 5, then: block, for: 1h }\n';
  const [dir, served] = await configured(t, `${one}mode: observe\n`, { installed: systemClock.now() - DAY });
  const { code, out } = await simulate(dir, served, '--sessions', '2', '--attempts', '20');
  assert.equal(code, 0);
  assert.match(out, /^Contained +no: no rule in force blocked it$/m);
  assert.match(
    out,
    /^Rules only observe \(mode: observe\)\. What they would have done: +stopgap rules observed$/m,
  );
  assert.ok(!out.includes('--state proposed'), 'nothing is proposed');
});

test('a thief whose machine is refused is told apart from one who is contained', async (t) => {
  const dir = await workDir(t);
  const served = await Served.start(t, dir);
  const blocked = await served.api('POST', '/api/v1/blocks', served.told('API token'), {
    subject: { type: 'ehlo', value: 'win-*' },
    duration: '1h',
  });
  assert.equal(blocked.status, 201);
  const { code, out, err } = await simulate(dir, served, '--sessions', '2');
  assert.deepEqual([code, out], [1, '']);
  assert.match(err, /the thief never got in \(535 .*\): see stopgap check --ehlo WIN-SIMULATED/);
});

test('it goes to no port where this Stopgap takes no submissions', async (t) => {
  const dir = await workDir(t);
  const settings = 'roles: [policy, detector, api, worker]\npolicy: { listen: 127.0.0.1:0 }\n';
  await writeFile(path.join(dir, 'stopgap.yaml'), `data: ./data\n${settings}`);
  // Another server may listen at that port.
  const { code, out, err } = await simulate(dir, {
    told: (word) => (word === 'HTTP' ? '127.0.0.1:1' : '127.0.0.1:2'),
  });
  assert.deepEqual([code, out], [1, '']);
  assert.match(err, /this Stopgap takes no submissions \(role smtp\)/);
  assert.doesNotMatch(err, /nothing leaves this machine|made 4 accounts/);
  assert.ok(!existsSync(path.join(dir, 'data')));
});

test('without --yes nothing goes out where mail is relayed', async (t) => {
  const [dir, served] = await configured(t, '  []\n', { relay: 'smtp://127.0.0.1:1' });
  const { code, out, err } = await simulate(dir, served);
  assert.deepEqual([code, out], [1, '']);
  assert.match(
    err,
    /relays its mail to smtp:.*127.0.0.1.*: the simulated messages would really go out; say --yes/,
  );
});

test('in an installation that is older than a month nothing is said of the first one', async (t) => {
  const one = '  - { id: one, per: account, count: messages, window: 1m, limit: 5, then: block, for: 1h }\n';
  const installed = systemClock.now() - 70 * DAY;
  const [dir, served] = await configured(t, one, { installed });
  const { code, out, err } = await simulate(dir, served, '--sessions', '2');
  assert.equal(code, 0, err);
  assert.match(out, /^Contained +\d/m);
  assert.ok(!out.includes('The account was a new one'), out);
});
