import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { jobId, newJob, taskOfJob } from '../../../src/expiry/bullmq/jobs.js';
import { DAY, HOUR } from '../../../src/kernel/time.js';
import { NOON } from '../../support/manual-clock.js';
import { taskFor } from './world.js';

const first = taskFor('a', NOON + HOUR);
const second = taskFor('a', NOON + 2 * HOUR);

describe('a job', () => {
  test('names its due time, for any delay', () => {
    for (const dueAt of [NOON - DAY, NOON, NOON + 1, NOON + 400 * DAY]) {
      const { opts } = newJob(taskFor('a', dueAt), NOON);
      assert.equal(opts.timestamp + opts.delay, dueAt);
      assert.ok(opts.delay >= 1);
    }
  });

  test('has an id without a colon, and another for each block, kind and time', () => {
    const tasks = [first, second, taskFor('a', first.dueAt, 'lapse'), taskFor('a:b', first.dueAt)];
    const ids = tasks.map(jobId);
    assert.equal(new Set(ids).size, tasks.length);
    assert.ok(ids.every((id) => !id.includes(':')));
  });

  test('gives its task back, and none if it is damaged', () => {
    const { name, data } = newJob(first, NOON);
    assert.deepEqual(taskOfJob(name, data), first);
    for (const damaged of [
      null,
      'x',
      {},
      { ...data, dueAt: '1' },
      { ...data, dueAt: 1e300 },
      { ...data, dueAt: -1e300 },
      { ...data, dueAt: 9e15 },
      { ...data, dueAt: 1.5 },
      { ...data, subject: { type: 'x', value: 'y' } },
    ])
      assert.equal(taskOfJob(name, damaged), undefined);
    assert.equal(taskOfJob('other', data), undefined);
  });
});
