import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TimedTask } from '../../../src/expiry/port.js';
import type { FoundJob, QueueView } from '../../../src/expiry/reconcile.js';
import { JobComparison, LONGEST_OVERDUE, LONGEST_RETRY, Reconciler } from '../../../src/expiry/reconcile.js';
import { HOUR, SECOND } from '../../../src/kernel/time.js';
import { ManualClock, NOON } from '../../support/manual-clock.js';
import { taskFor } from './world.js';

/** A queue in memory: when each job runs, and which ids something else occupies. */
class FakeQueue implements QueueView {
  readonly jobs = new Map<string, number | undefined>();
  readonly kept = new Map<string, number | 'waits' | 'remains'>();
  readonly removed: string[] = [];
  /** Happens after the scan. */
  meanwhile = (): void => undefined;
  largestSlice = 0;

  idOf(task: TimedTask): string {
    return `${task.block}@${task.dueAt}`;
  }

  async *scan(): AsyncGenerator<readonly FoundJob[]> {
    for (const [id, runsAt] of [...this.jobs]) yield [{ id, runsAt }];
    this.meanwhile();
  }

  async lookUp(ids: readonly string[]): Promise<ReadonlyMap<string, number | 'waits' | 'remains'>> {
    const found = new Map<string, number | 'waits' | 'remains'>(this.kept);
    for (const id of this.jobs.keys()) found.set(id, 'waits');
    return new Map([...found].filter(([id]) => ids.includes(id)));
  }

  async add(tasks: readonly TimedTask[]): Promise<void> {
    this.largestSlice = Math.max(this.largestSlice, tasks.length);
    // Like BullMQ: an id that is occupied is silently left as it is.
    for (const task of tasks) if (!this.kept.has(this.idOf(task))) this.jobs.set(this.idOf(task), task.dueAt);
  }

  async remove(ids: readonly string[]): Promise<void> {
    for (const id of ids) {
      this.removed.push(id);
      this.jobs.delete(id);
      this.kept.delete(id);
    }
  }
}

function setUp(planned: readonly TimedTask[]): {
  queue: FakeQueue;
  reconciler: Reconciler;
  lag: (lags: boolean) => void;
} {
  const queue = new FakeQueue();
  let lags = false;
  const clock = new ManualClock();
  const reconciler = new Reconciler({ queue, clock, planned: () => planned, caughtUp: () => !lags });
  return { queue, reconciler, lag: (now) => (lags = now) };
}

const NOTHING = { added: 0, moved: 0, removed: 0 };

describe('a pass of reconciliation', () => {
  test('adds what is missing, in slices', async () => {
    const planned = [...Array(1234).keys()].map((n) => taskFor(`b${n}`, NOON + n));
    const { queue, reconciler } = setUp(planned);
    assert.deepEqual(await reconciler.pass(), { ...NOTHING, added: 1234, tasks: 1234 });
    assert.equal(queue.jobs.size, 1234);
    assert.equal(queue.largestSlice, 500);
    assert.deepEqual(await reconciler.pass(), { ...NOTHING, tasks: 1234 });
  });

  test('removes a stray in the second pass that sees it, never in the first', async () => {
    const { queue, reconciler } = setUp([]);
    queue.jobs.set('stray', NOON + HOUR);
    assert.deepEqual(await reconciler.pass(), { ...NOTHING, tasks: 0 });
    queue.jobs.set('newer', NOON + HOUR);
    assert.deepEqual(await reconciler.pass(), { ...NOTHING, removed: 1, tasks: 0 });
    assert.deepEqual([...queue.jobs.keys()], ['newer']);
  });

  test('forgets its suspicions when the ledger lags', async () => {
    const { queue, reconciler, lag } = setUp([]);
    queue.jobs.set('stray', NOON + HOUR);
    await reconciler.pass();
    lag(true);
    assert.equal((await reconciler.pass()).removed, 0);
    lag(false);
    assert.equal((await reconciler.pass()).removed, 0);
    assert.equal((await reconciler.pass()).removed, 1);
  });

  test('replaces a job that occupies the id, unless it has finished just now', async () => {
    const planned = ['remains', 'long-ago', 'just-now'].map((block) => taskFor(block, NOON));
    const { queue, reconciler } = setUp(planned);
    const [remains, longAgo, justNow] = planned.map((task) => queue.idOf(task));
    queue.kept
      .set(remains!, 'remains')
      .set(longAgo!, NOON - 20 * SECOND)
      .set(justNow!, NOON - SECOND);
    assert.equal((await reconciler.pass()).added, 2);
    assert.deepEqual([...queue.jobs.keys()], [remains, longAgo]);
  });
});

test('a job that is in no place where jobs wait is replaced once it is long overdue, and not before', async () => {
  const planned = [taskFor('long', NOON - LONGEST_OVERDUE - 1), taskFor('just', NOON - LONGEST_OVERDUE)];
  const { queue, reconciler } = setUp(planned);
  for (const task of planned) queue.kept.set(queue.idOf(task), 'waits');
  assert.equal((await reconciler.pass()).added, 1);
  assert.deepEqual([...queue.jobs.keys()], [queue.idOf(planned[0]!)]);
});

test('a job that is planned during a pass is not taken away, even for a moment', async () => {
  const task = taskFor('new', NOON + HOUR);
  const { queue, reconciler } = setUp([task]);
  queue.meanwhile = () => void queue.jobs.set(queue.idOf(task), task.dueAt);
  await reconciler.pass();
  assert.deepEqual([...queue.jobs.keys()], [queue.idOf(task)]);
  assert.deepEqual(queue.removed, []);
});

describe('a job beside its task', () => {
  const judge = (runsAt: number | undefined, dueAt: number): string =>
    new JobComparison(new Map([['id', runsAt]]), NOON).judge('id', dueAt);

  test('is right at its time, earlier, under way, and while it waits for another try', () => {
    assert.equal(judge(NOON + HOUR, NOON + HOUR), 'right');
    assert.equal(judge(NOON, NOON + HOUR), 'right');
    assert.equal(judge(undefined, NOON + HOUR), 'right');
    assert.equal(judge(NOON + LONGEST_RETRY, NOON - HOUR), 'right');
  });

  test('is late beyond any try', () => {
    assert.equal(judge(NOON + LONGEST_RETRY + 1, NOON - HOUR), 'late');
    assert.equal(judge(NOON + HOUR + LONGEST_RETRY + 1, NOON + HOUR), 'late');
  });
});
