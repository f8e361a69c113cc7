import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { CommandContext, Decider, Handled } from '../../../src/commands/handle-command.js';
import { handleCommand, keptHistories, readHistory } from '../../../src/commands/handle-command.js';
import { StopgapError } from '../../../src/kernel/errors.js';
import type { Fact, NewEvent, RecordedEvent } from '../../../src/kernel/events.js';
import type { EventStore, ReadStreamOptions } from '../../../src/store/port.js';
import { StoreUnavailable, WrongExpectedRevision } from '../../../src/store/port.js';
import { ManualClock } from '../../support/manual-clock.js';

type Added = Fact<'Added', number>;

/** One stream that is read and appended to at once, unless a test puts something in between. */
class OneStream implements Pick<EventStore, 'append' | 'readStream'> {
  readonly events: RecordedEvent[] = [];
  /** Events at the end that cannot be read yet. */
  hidden = 0;
  /** Called before each append. */
  before: () => void = () => undefined;

  /** Events that were read so far. */
  read = 0;

  async *readStream(_stream = 's', { from = 0 }: ReadStreamOptions = {}): AsyncGenerator<RecordedEvent> {
    for (const event of this.events.slice(from, this.events.length - this.hidden)) {
      this.read++;
      yield event;
    }
  }

  async append(stream: string, events: readonly NewEvent[], expected: unknown) {
    this.before();
    const last = this.events.length === 0 ? 'none' : this.events.length - 1;
    if (expected !== last) throw new WrongExpectedRevision(stream, expected as number, last);
    for (const event of events) this.put(event);
    return { revision: this.events.length - 1, position: this.events.length, duplicate: false };
  }

  put(event: NewEvent): void {
    const revision = this.events.length;
    this.events.push({ ...event, stream: 's', revision, position: revision + 1, recordedAt: event.at });
  }
}

const added = (data: number, id = `rival-${data}`): NewEvent => ({
  id,
  type: 'Added',
  data,
  at: 0,
  by: 'rival',
});
/** Adds where the sum is still below ten. */
const DECIDER: Decider<number, number, Added> = {
  stream: 's',
  initial: 0,
  evolve: (sum, { data }) => sum + (data as number),
  decide: (data, sum) => (sum >= 10 ? [] : [{ type: 'Added', data }]),
  version: (_data, { state }) => (state === 0 ? null : state >= 10 ? undefined : state),
};

async function addOne(
  store: OneStream,
  context: Partial<CommandContext> = {},
  waited: number[] = [],
): Promise<Handled<number, Added>> {
  const wait = (span: number) => Promise.resolve(waited.push(span));
  return handleCommand(store, new ManualClock(), DECIDER, 1, { by: 'test', ...context }, wait);
}

describe('a command', () => {
  test('is decided on what its stream says, and answers with what came of it', async () => {
    const store = new OneStream();
    store.put(added(4));
    const { facts, before, position, repeated } = await addOne(store, { correlation: 'c', trace: 't' });
    const [fact] = facts;
    assert.deepEqual([before, position, repeated, facts.length], [4, 2, false, 1]);
    assert.deepEqual([fact?.data, fact?.by, fact?.correlation, fact?.trace], [1, 'test', 'c', 't']);
    assert.equal(store.events[1]?.id, fact?.id);
  });

  test('that has nothing to do writes nothing', async () => {
    const store = new OneStream();
    store.put(added(10));
    assert.deepEqual(await addOne(store), { facts: [], before: 10, position: 1, repeated: false });
    assert.equal(store.events.length, 1);
  });

  test('counts an event once that its stream holds twice', async () => {
    const store = new OneStream();
    for (const id of ['a', 'a', 'b', 'a']) store.put(added(3, id));
    const { before, position } = await addOne(store);
    assert.deepEqual([before, position], [6, 5]);
  });

  test('that loses a race is decided again, after longer and longer pauses', async () => {
    const store = new OneStream();
    let races = 6;
    store.before = () => {
      if (races-- > 0) store.put(added(1, `r${races}`));
    };
    const waited: number[] = [];
    const { before, position } = await addOne(store, {}, waited);
    assert.deepEqual([before, position, waited.length], [6, 7, 6]);
    for (const [index, span] of waited.entries()) {
      const full = Math.min(250, 5 * 2 ** index);
      assert.ok(span >= full / 2 && span <= full, `pause ${index}: ${span} ms`);
    }
  });

  test('waits for the event that it lost to, if that cannot be read at once', async () => {
    const store = new OneStream();
    store.put(added(2));
    store.hidden = 1;
    let refusals = 0;
    store.before = () => {
      if (++refusals === 4) store.hidden = 0;
    };
    const { before } = await addOne(store);
    assert.equal(before, 2);
  });

  test('is given up as one to be tried again, where others are always faster', async () => {
    const store = new OneStream();
    let count = 0;
    store.before = () => store.put(added(0, `r${count++}`));
    const waited: number[] = [];
    await assert.rejects(addOne(store, {}, waited), (error) => error instanceof StoreUnavailable);
    assert.deepEqual([count, waited.length], [20, 19]);
    assert.ok(waited.reduce((sum, span) => sum + span, 0) < 5000, 'within what an API request may take');
  });

  test('is not tried again if the store is away, or what it decides on forbids it', async () => {
    for (const error of [new StoreUnavailable('away'), new Error('a fault')]) {
      const store = new OneStream();
      let appends = 0;
      store.before = () => {
        appends++;
        throw error;
      };
      await assert.rejects(addOne(store), error);
      assert.equal(appends, 1);
    }
    const refused = new StopgapError('not-found', 'nothing there');
    const decide = (): never => {
      throw refused;
    };
    const forbidding = { ...DECIDER, decide };
    const command = handleCommand(new OneStream(), new ManualClock(), forbidding, 1, { by: 'test' });
    await assert.rejects(command, refused);
  });
});

describe('a command with a precondition', () => {
  const onVersion = (version: number) => ({
    precondition: { what: 'the sum', matches: (now: unknown) => now === version },
  });

  test('is carried out on a version that matches, and refused on another before it is decided', async () => {
    const store = new OneStream();
    store.put(added(4));
    await assert.rejects(addOne(store, onVersion(3)), {
      code: 'precondition-failed',
      message: 'the sum has changed since it was read: it is at version 4',
      details: { version: 4 },
    });
    assert.equal((await addOne(store, onVersion(4))).facts.length, 1);
  });

  test('is refused if there is nothing that could match, for any condition', async () => {
    const precondition = { what: 'the sum', matches: () => true };
    const refusal = { code: 'precondition-failed', details: { version: null } };
    await assert.rejects(addOne(new OneStream(), { precondition }), refusal);
  });

  test('succeeds if its change has been made already, by itself or by another', async () => {
    const store = new OneStream();
    store.put(added(9));
    const first = await addOne(store, { ...onVersion(9), seed: 'k' });
    const again = await addOne(store, { ...onVersion(9), seed: 'k' });
    assert.deepEqual([first.repeated, again.repeated], [false, true]);
    assert.deepEqual((await addOne(store, onVersion(9))).facts, []);
  });

  test('is refused after a lost race that changed the version', async () => {
    const store = new OneStream();
    store.put(added(4));
    let races = 1;
    store.before = () => {
      if (races-- > 0) store.put(added(1));
    };
    await assert.rejects(addOne(store, onVersion(4)), {
      code: 'precondition-failed',
      details: { version: 5 },
    });
    assert.equal(store.events.length, 2);
  });
});

describe('a command that is given twice with one seed', () => {
  test('is carried out once, and both get the result of the first and the state before it', async () => {
    const store = new OneStream();
    store.put(added(2));
    const first = await addOne(store, { seed: 'k' });
    store.put(added(5));
    const second = await addOne(store, { seed: 'k' });
    assert.deepEqual([first.repeated, second.repeated], [false, true]);
    assert.deepEqual(
      second.facts.map(({ id }) => id),
      [first.facts[0]!.id],
    );
    assert.deepEqual([second.before, second.position, store.events.length], [2, 3, 3]);
  });

  test('by two processes at once is carried out once: the loser finds the events of the other', async () => {
    const store = new OneStream();
    const append = store.append.bind(store);
    let other: Promise<Handled<number, Added>> | undefined;
    store.append = async (...call) => {
      store.append = append;
      await (other = addOne(store, { seed: 'k' }));
      return append(...call);
    };
    const [outer, inner] = [await addOne(store, { seed: 'k' }), await other!];
    assert.equal(store.events.length, 1);
    assert.deepEqual([outer.repeated, inner.repeated], [true, false]);
    assert.equal(outer.facts[0]?.id, inner.facts[0]?.id);
  });

  test('is carried out again with another seed', async () => {
    const store = new OneStream();
    await addOne(store, { seed: 'k' });
    assert.equal((await addOne(store, { seed: 'l' })).repeated, false);
    assert.equal(store.events.length, 2);
  });
});

test('a command whose own append is refused although it was written finds what it wrote', async () => {
  for (const seed of [undefined, 'k']) {
    const store = new OneStream();
    const append = store.append.bind(store);
    store.append = async (...call) => {
      await append(...call);
      throw new StopgapError('conflict', 'some of these were written before');
    };
    const { facts, repeated } = await addOne(store, { seed });
    assert.deepEqual([facts.length, repeated, store.events.length], [1, false, 1]);
  }
});

describe('a long stream whose history is kept', () => {
  const ids = (count: number): string[] => Array.from({ length: count }, (_, index) => `e${index}`);
  const long = async () => {
    const store = new OneStream();
    for (const id of ids(200)) store.put(added(1, id));
    const decide = (data: number): readonly Added[] => [{ type: 'Added', data }];
    const folding = { ...DECIDER, decide, kept: keptHistories<number>() };
    assert.equal((await readHistory(store, folding)).state, 200);
    store.read = 0;
    return { store, folding };
  };

  test('is read from where it was read last, and no event is folded twice', async () => {
    const { store, folding } = await long();
    for (const id of ['new', 'e199', 'new']) store.put(added(1, id));
    const { state, revision, position } = await readHistory(store, folding);
    assert.deepEqual([state, revision, position, store.read], [201, 202, 203, 4]);
    await handleCommand(store, new ManualClock(), folding, 1, { by: 'test' });
    assert.equal(store.read, 5);
    assert.equal((await readHistory(store, folding)).state, 202);
  });

  test('is read again if another log has come in its place, longer or shorter', async () => {
    for (const count of [300, 150, 1]) {
      const { store, folding } = await long();
      store.events.length = 0;
      for (const id of ids(count)) store.put(added(2, `other-${id}`));
      assert.equal((await readHistory(store, folding)).state, 2 * count);
    }
  });

  test('is read again after a reading that failed half-way', async () => {
    const { store, folding } = await long();
    for (const id of ['a', 'b']) store.put(added(1, id));
    const read = store.readStream.bind(store);
    store.readStream = async function* (...asked) {
      for await (const event of read(...asked)) {
        if (event.id === 'b') throw new StoreUnavailable('away');
        yield event;
      }
    };
    await assert.rejects(readHistory(store, folding), StoreUnavailable);
    store.readStream = read;
    assert.equal((await readHistory(store, folding)).state, 202);
  });
});
