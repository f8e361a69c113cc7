import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { run } from '../../../src/cli/program.js';
import { HOUR } from '../../../src/kernel/time.js';
import { dayOf } from '../../../src/sending/day-summary.js';
import { ALICE, Stopgap } from '../../support/smtp/stopgap.js';
import { systemClock } from '../../../src/runtime/clock.js';

/** Messages of one login, ten recipients each, a second apart; the last at `end`. */
function logUntil(end: number, messages: number): string {
  const lines: string[] = [];
  for (let index = 0; index < messages; index++) {
    const head = `${new Date(end - (messages - index) * 1000).toISOString()} mail postfix`;
    const id = (0xa0000 + index).toString(16);
    lines.push(
      `${head}/submission/smtpd[1]: ${id}: client=pc[192.0.2.7], sasl_method=PLAIN, sasl_username=${ALICE}`,
      `${head}/qmgr[2]: ${id}: from=<${ALICE}>, size=1000, nrcpt=10 (queue active)`,
      `${head}/qmgr[2]: ${id}: removed`,
    );
  }
  return lines.map((line) => `${line}\n`).join('');
}

test('imported history blocks nobody, up to the very minute, and is what is usual from the next start on', async (t) => {
  const stopgap = await Stopgap.start(t);
  await stopgap.stop();
  const now = Date.now();
  await writeFile(path.join(stopgap.dir, 'old.log'), logUntil(now - 72 * HOUR, 500));
  await writeFile(path.join(stopgap.dir, 'new.log'), logUntil(now, 500));
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const io = { stdin: process.stdin, stdout, stderr, env: {}, cwd: stopgap.dir, clock: systemClock };
  assert.equal(await run(['import', 'postfix-log', 'old.log', 'new.log'], io), 0, String(stderr.read()));

  for (const start of ['on the snapshot from before', 'on one that has seen it']) {
    await stopgap.open();
    const { models } = stopgap.app;
    assert.deepEqual([...models.ledger.kept()], [], start);
    assert.deepEqual(
      models.sendVolume.readings({ type: 'account', value: ALICE }, now).map(({ observed }) => observed),
      models.sendVolume.readings({ type: 'account', value: ALICE }, now).map(() => 0),
    );
    const profile = models.sendVolume.profiles.profile('account', ALICE, dayOf(now));
    assert.equal(profile.firstDay, dayOf(now - 72 * HOUR - 500_000));
    await stopgap.stop();
  }

  await stopgap.open();
  const session = await stopgap.loggedIn();
  assert.match(await session.send(ALICE, ['carol@elsewhere.test']), /^250 /);
  await session.quit();
  assert.deepEqual(await stopgap.all('BlockImposed'), []);
  assert.deepEqual(await stopgap.all('BlockProposed'), []);
});
