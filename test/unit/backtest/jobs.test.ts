import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import type { BacktestRequest } from '../../../src/backtest/jobs.js';
import { BacktestJobs } from '../../../src/backtest/jobs.js';
import { ManualClock } from '../../support/manual-clock.js';

test('a back-test whose thread cannot begin is in no list, and keeps no other from beginning', async () => {
  const jobs = new BacktestJobs({
    location: { store: { kind: 'sqlite', file: 'none' }, retention: { sends: 0 } },
    clock: new ManualClock(),
    log: pino({ level: 'silent' }),
    script: new URL('../../support/backtest/patient-thread.js', import.meta.url),
  });
  const request: BacktestRequest = { from: undefined, to: undefined, rules: 'in-force', against: undefined };
  // Stands for a system that has no thread left: no function can be handed to one.
  const unfit = Object.assign({}, request, { rules: () => undefined }) as unknown as BacktestRequest;
  assert.throws(() => jobs.start('first', unfit, 'admin:carol'));
  assert.deepEqual(jobs.list(), []);
  assert.equal(jobs.start('second', request, 'admin:carol').state, 'running');
  await jobs.close();
  assert.deepEqual(
    jobs.list().map(({ id, state }) => [id, state]),
    [['second', 'cancelled']],
  );
});
