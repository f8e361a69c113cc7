import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import type { TaskRunner, TimedTask, TimedWork } from '../../../src/expiry/port.js';
import type { Instant, Milliseconds } from '../../../src/kernel/time.js';

/** One adapter under test, in a world of its own. */
export interface WorkUnderTest {
  readonly work: TimedWork;
  readonly now: () => Instant;
  /**
   * Moves time on where it is the test's to move. Where it is not, resolves once the adapter has taken in what was
   * planned: what is to happen then is for the test to await.
   */
  readonly advance: (span: Milliseconds) => Promise<void>;
  /** Resolves when so much time has passed and everything has run that fell due in it. Only after the start. */
  readonly quiet: (span: Milliseconds) => Promise<void>;
  /** Tasks that the adapter said were done, and how late. */
  readonly done: readonly { readonly task: TimedTask; readonly lateness: Milliseconds }[];
  readonly failed: readonly { readonly task: TimedTask; readonly error: unknown }[];
  destroy(): Promise<void>;
}

export interface ExpiryHarness {
  readonly skip: string | false;
  /** A moment that is short, yet longer than what the adapter needs for a round. */
  readonly moment: Milliseconds;
  /** How long the adapter may pause before it tries a failed task again. */
  readonly retryPause: Milliseconds;
  open(): Promise<WorkUnderTest>;
}

/** Notes what runs and lets a test wait for it. */
class Runs {
  readonly tasks: TimedTask[] = [];
  #waiting: { readonly count: number; readonly resolve: () => void }[] = [];

  readonly run: TaskRunner = async (task) => this.note(task);

  note(task: TimedTask): void {
    this.tasks.push(task);
    for (const { count, resolve } of this.#waiting) if (this.tasks.length >= count) resolve();
  }

  get blocks(): readonly string[] {
    return this.tasks.map(({ block }) => block);
  }

  count(count: number): Promise<void> {
    if (this.tasks.length >= count) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.push({ count, resolve });
    });
  }
}

/** What `src/expiry/port.ts` promises, asserted on any adapter. */
export function expiryContract(name: string, harness: ExpiryHarness): void {
  const { moment } = harness;
  describe(`timed work: ${name}`, { skip: harness.skip, timeout: 30_000 }, () => {
    let open: WorkUnderTest | undefined;
    const setUp = async (): Promise<WorkUnderTest> => (open = await harness.open());
    afterEach(async () => {
      await open?.destroy();
      open = undefined;
    });
    const task = (block: string, dueAt: Instant, kind: TimedTask['kind'] = 'expire'): TimedTask => ({
      kind,
      block,
      subject: { type: 'account', value: `${block}@example.com` },
      dueAt,
    });

    test('runs a task when it is due and not before, as it was planned', async () => {
      const { work, now, advance, quiet, done } = await setUp();
      const runs = new Runs();
      const planned = task('a', now() + 4 * moment);
      work.start(async (given) => {
        assert.ok(now() >= planned.dueAt, `ran ${planned.dueAt - now()} ms early`);
        runs.note(given);
      });
      work.plan(planned);
      assert.equal(work.size, 1);
      await Promise.all([runs.count(1), advance(4 * moment)]);
      await quiet(moment);
      assert.deepEqual(runs.tasks, [planned]);
      assert.deepEqual(
        done.map(({ task }) => task),
        [planned],
      );
      assert.ok(done[0]!.lateness >= 0);
      assert.equal(work.size, 0);
    });

    test('runs what is overdue at the start, first what is due first', async () => {
      const { work, now, advance } = await setUp();
      const runs = new Runs();
      for (const [block, age] of [
        ['c', 1000],
        ['a', 90_000],
        ['d', 1],
        ['b', 5000],
      ] as const)
        work.plan(task(block, now() - age));
      await advance(moment);
      assert.deepEqual(runs.tasks, []);
      work.start(runs.run);
      await Promise.all([runs.count(4), advance(moment)]);
      assert.deepEqual(runs.blocks, ['a', 'b', 'c', 'd']);
    });

    test('runs in the order of the due times, for any order of planning', async () => {
      const { work, now, advance } = await setUp();
      const runs = new Runs();
      work.start(runs.run);
      const from = now() + 4 * moment;
      for (const [block, after] of [
        ['c', 2],
        ['a', 0],
        ['d', 3],
        ['b', 1],
      ] as const)
        work.plan(task(block, from + after * moment));
      await Promise.all([runs.count(4), advance(8 * moment)]);
      assert.deepEqual(runs.blocks, ['a', 'b', 'c', 'd']);
    });

    test('moves a task that is planned again: later', async () => {
      const { work, now, advance, quiet } = await setUp();
      const runs = new Runs();
      work.start(runs.run);
      const later = task('a', now() + 8 * moment);
      work.plan(task('a', now() + 3 * moment));
      await advance(moment);
      work.plan(later);
      assert.equal(work.size, 1);
      await Promise.all([runs.count(1), advance(8 * moment)]);
      await quiet(moment);
      assert.deepEqual(runs.tasks, [later]);
    });

    test('moves a task that is planned again: earlier', async () => {
      const { work, now, advance, quiet } = await setUp();
      const runs = new Runs();
      work.start(runs.run);
      work.plan(task('a', now() + 3_600_000));
      await advance(moment);
      const earlier = task('a', now() + 2 * moment);
      work.plan(earlier);
      await Promise.all([runs.count(1), advance(3 * moment)]);
      await quiet(moment);
      assert.deepEqual(runs.tasks, [earlier]);
      assert.equal(work.size, 0);
    });

    test('moves a task there and back again', async () => {
      const { work, now, advance, quiet } = await setUp();
      const runs = new Runs();
      work.start(runs.run);
      const first = task('a', now() + 5 * moment);
      work.plan(first);
      await advance(moment);
      work.plan(task('a', now() + 3_600_000));
      await advance(moment);
      work.plan(first);
      await Promise.all([runs.count(1), advance(4 * moment)]);
      await quiet(moment);
      assert.deepEqual(runs.tasks, [first]);
    });

    test('forgets a task that was cancelled, and only that one', async () => {
      const { work, now, advance, quiet } = await setUp();
      const runs = new Runs();
      work.start(runs.run);
      const dueAt = now() + 4 * moment;
      work.plan(task('a', dueAt));
      work.plan(task('b', dueAt));
      work.plan(task('b', dueAt, 'lapse'));
      await advance(moment);
      work.cancel('expire', 'a');
      work.cancel('expire', 'b');
      work.cancel('expire', 'nobody');
      assert.equal(work.size, 1);
      await Promise.all([runs.count(1), advance(4 * moment)]);
      await quiet(moment);
      assert.deepEqual(runs.tasks, [task('b', dueAt, 'lapse')]);
    });

    test('plans again from a list, and forgets what is not in it', async () => {
      const { work, now, advance, quiet } = await setUp();
      const runs = new Runs();
      work.start(runs.run);
      work.plan(task('gone', now() + 3_600_000));
      work.plan(task('moved', now() + 3_600_000));
      await advance(moment);
      const planned = [task('moved', now() + 3 * moment), task('new', now() + 5 * moment)];
      work.replan(planned);
      assert.equal(work.size, 2);
      await Promise.all([runs.count(2), advance(6 * moment)]);
      await quiet(moment);
      assert.deepEqual(runs.tasks, planned);
      assert.equal(work.size, 0);
    });

    test('keeps the kinds of one block apart', async () => {
      const { work, now, advance } = await setUp();
      const runs = new Runs();
      work.start(runs.run);
      work.plan(task('a', now() + 2 * moment, 'lapse'));
      work.plan(task('a', now() + 4 * moment, 'expire'));
      assert.equal(work.size, 2);
      await Promise.all([runs.count(2), advance(5 * moment)]);
      assert.deepEqual(
        runs.tasks.map(({ kind }) => kind),
        ['lapse', 'expire'],
      );
    });

    test('waits for what lies beyond the longest timer of the platform', async () => {
      const { work, now, advance, quiet } = await setUp();
      const runs = new Runs();
      work.start(runs.run);
      work.plan(task('far', now() + 40 * 86_400_000));
      work.plan(task('very-far', now() + 50 * 366 * 86_400_000));
      work.plan(task('near', now() + 2 * moment));
      await Promise.all([runs.count(1), advance(3 * moment)]);
      await quiet(moment);
      assert.deepEqual(runs.blocks, ['near']);
      assert.equal(work.size, 2);
    });

    test('tries a failed task again, and says so', async () => {
      const { work, now, advance, quiet, failed, done } = await setUp();
      const runs = new Runs();
      work.start(async (given) => {
        runs.note(given);
        if (runs.tasks.length < 3) throw new Error(`fault ${runs.tasks.length}`);
      });
      const planned = task('a', now() + moment);
      work.plan(planned);
      await Promise.all([runs.count(1), advance(moment)]);
      await Promise.all([runs.count(2), advance(harness.retryPause)]);
      await Promise.all([runs.count(3), advance(2 * harness.retryPause)]);
      await quiet(moment);
      assert.deepEqual(runs.tasks, [planned, planned, planned]);
      assert.deepEqual(
        failed.map(({ task, error }) => [task, (error as Error).message]),
        [
          [planned, 'fault 1'],
          [planned, 'fault 2'],
        ],
      );
      assert.equal(done.length, 1);
    });

    test('lets one that fails not keep the others', async () => {
      const { work, now, advance } = await setUp();
      const runs = new Runs();
      work.start(async (given) => {
        if (given.block === 'bad') throw new Error('never works');
        runs.note(given);
      });
      work.plan(task('bad', now() + moment));
      work.plan(task('good', now() + 2 * moment));
      await Promise.all([runs.count(1), advance(3 * moment)]);
      assert.deepEqual(runs.blocks, ['good']);
    });

    test('takes a task that is planned while another runs, even by that run', async () => {
      const { work, now, advance } = await setUp();
      const runs = new Runs();
      const second = task('b', now() + 3 * moment);
      work.start(async (given) => {
        if (given.block === 'a') work.plan(second);
        runs.note(given);
      });
      work.plan(task('a', now() + moment));
      await Promise.all([runs.count(2), advance(4 * moment)]);
      assert.deepEqual(runs.blocks, ['a', 'b']);
    });

    test('runs the same block again for a later time that is planned while it runs', async () => {
      const { work, now, advance } = await setUp();
      const runs = new Runs();
      const again = task('a', now() + 4 * moment);
      work.start(async (given) => {
        if (runs.tasks.length === 0) work.plan(again);
        runs.note(given);
      });
      work.plan(task('a', now() + moment));
      await Promise.all([runs.count(2), advance(5 * moment)]);
      assert.deepEqual(runs.tasks[1], again);
    });

    test('close waits for what is under way and starts nothing more', async () => {
      const { work, now, advance } = await setUp();
      const runs = new Runs();
      let finish = (): void => undefined;
      let finished = false;
      const held = new Promise<void>((resolve) => (finish = resolve));
      work.start(async (given) => {
        runs.note(given);
        await held;
        finished = true;
      });
      work.plan(task('a', now() + moment));
      await Promise.all([runs.count(1), advance(moment)]);
      work.plan(task('b', now()));
      await advance(moment);
      const closed = work.close().then(() => finished);
      finish();
      assert.equal(await closed, true, 'close resolved before the run had ended');
      await advance(2 * moment);
      assert.deepEqual(runs.blocks, ['a']);
    });

    test('closes at once if nothing is under way, and twice', async () => {
      const { work, now } = await setUp();
      work.start(async () => undefined);
      work.plan(task('a', now() + 3_600_000));
      await work.close();
      await work.close();
    });
  });
}
