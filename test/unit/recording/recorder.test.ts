import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { pino } from 'pino';
import type { NewEvent } from '../../../src/kernel/events.js';
import { SECOND } from '../../../src/kernel/time.js';
import { Recorder } from '../../../src/recording/recorder.js';
import type { MessageAccepted, MessageRefused } from '../../../src/sending/events.js';
import type { Appended, EventStore } from '../../../src/store/port.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import { ManualClock } from '../../support/manual-clock.js';

const DATA: MessageAccepted = {
  direction: 'outbound',
  account: 'a@example.com',
  returnPath: 'a@example.com',
  transaction: 'q1',
  recipients: 1,
  size: 1,
  recipientDomains: [],
  entitled: true,
};

/** A store that acknowledges what it got when a test wants it. */
class Scene {
  readonly clock = new ManualClock();
  /** The ids that the store got, in order. */
  readonly got: string[] = [];
  readonly events: NewEvent[] = [];
  readonly lines: unknown[] = [];
  /** With where it was written, or why it was not. */
  readonly done: (readonly [id: string, outcome: unknown])[] = [];
  readonly #acknowledge: ((error?: Error) => void)[] = [];
  readonly recorder = new Recorder({
    clock: this.clock,
    log: pino(
      { base: null, timestamp: false },
      { write: (line: string) => void this.lines.push(JSON.parse(line)) },
    ),
    by: 'policy:mx.example.com',
    store: {
      append: (_stream: string, events: readonly NewEvent[]) => this.#append(events),
    } as Partial<EventStore> as EventStore,
  });

  tell(id: string): boolean {
    return this.recorder.sent(id, 'a@example.com', DATA, (error, appended) =>
      this.done.push([id, error ?? appended?.position]),
    );
  }

  hold(id: string): boolean {
    const data = { ...DATA, block: 'b1' };
    return this.recorder.held(id, data, (error, appended) =>
      this.done.push([id, error ?? appended?.position]),
    );
  }

  tellMany(from: number, to: number): void {
    for (let n = from; n < to; n++) assert.ok(this.tell(`m${n}`));
  }

  /** The store has written what it has, or could not. */
  async acknowledge(error?: Error): Promise<void> {
    for (const each of this.#acknowledge.splice(0)) each(error);
    await Promise.resolve();
    await Promise.resolve();
  }

  #append(events: readonly NewEvent[]): Promise<Appended> {
    this.got.push(...events.map(({ id }) => id));
    this.events.push(...events);
    return new Promise((resolve, reject) =>
      this.#acknowledge.push((error) =>
        error === undefined ? resolve({ revision: 0, position: 1, duplicate: false }) : reject(error),
      ),
    );
  }
}

describe('a flood of refusals', () => {
  test('sums what is to be held apart from what could not be, though one block refuses both', () => {
    const scene = new Scene();
    const sender = { account: 'a@example.com', direction: 'outbound', block: 'b1', stage: 'rcpt' } as const;
    for (let times = 0; times < 3; times++) {
      scene.recorder.refused({ ...sender, reply: 'HOLD' }, 'q1', undefined);
      scene.recorder.refused({ ...sender, reply: '451 4.7.1 later', unheld: true }, 'q2', undefined);
    }
    scene.clock.advance(10 * SECOND);
    assert.deepEqual(
      scene.events.map(({ data }) => {
        const { reply, count } = data as MessageRefused;
        return [reply, count];
      }),
      [
        ['HOLD', 1],
        ['451 4.7.1 later', 1],
        ['HOLD', 2],
        ['451 4.7.1 later', 2],
      ],
    );
  });
});

describe('attempts of a blocked account', () => {
  const sender = { account: 'a@example.com', direction: 'outbound', block: 'b1', stage: 'rcpt' } as const;
  const soft = { ...sender, reply: '451 4.3.2 later' };
  const counted = (scene: Scene): readonly unknown[] =>
    scene.events.map(({ data }) => {
      const { ip, ehlo, count } = data as MessageRefused;
      return [ip, ehlo, count];
    });

  test('are summed up apart for each network and EHLO name', () => {
    const scene = new Scene();
    const attempt = (ip: string, ehlo: string): void =>
      scene.recorder.refused({ ...soft, ip, ehlo }, 'q1', undefined);
    for (let times = 0; times < 3; times++) {
      attempt('203.0.113.50', 'bot');
      attempt('192.0.2.7', 'laptop');
      attempt('203.0.113.51', 'bot');
    }
    scene.clock.advance(10 * SECOND);
    assert.deepEqual(counted(scene), [
      ['203.0.113.50', 'bot', 1],
      ['192.0.2.7', 'laptop', 1],
      ['203.0.113.51', 'bot', 5],
      ['192.0.2.7', 'laptop', 2],
    ]);
  });

  test('cost no more events for a thief who comes from very many networks', () => {
    const scene = new Scene();
    for (let times = 0; times < 3; times++)
      for (let network = 0; network < 200; network++)
        scene.recorder.refused({ ...soft, ip: `10.0.${network}.1`, ehlo: 'bot' }, 'q1', undefined);
    scene.clock.advance(10 * SECOND);
    const counts = scene.events.map(({ data }) => (data as MessageRefused).count);
    assert.equal(counts.length, 2 * 9);
    assert.equal(
      counts.reduce((sum, count) => sum + count, 0),
      600,
    );
  });
});

describe('held mail that the store could not take', () => {
  const away = new StoreUnavailable('the disk is full');

  test('is tried again until it is recorded, and told of once', async () => {
    const scene = new Scene();
    assert.ok(scene.hold('m1'));
    for (let failures = 0; failures < 3; failures++) {
      await scene.acknowledge(away);
      scene.clock.advance(30 * SECOND);
    }
    assert.deepEqual(scene.got, ['m1', 'm1', 'm1', 'm1']);
    assert.deepEqual(scene.done, []);
    await scene.acknowledge();
    assert.deepEqual(scene.done, [['m1', 1]]);
    scene.clock.advance(30 * SECOND);
    assert.equal(scene.got.length, 4);
    assert.deepEqual(scene.lines, [
      {
        level: 40,
        block: 'b1',
        correlation: 'q1',
        error: 'the disk is full',
        msg: 'a held message could not be recorded: it is tried again',
      },
    ]);
  });

  test('counts among the records that wait', async () => {
    const scene = new Scene();
    for (let n = 0; n < 1000; n++) assert.ok(scene.hold(`m${n}`));
    await scene.acknowledge(away);
    scene.tellMany(1000, 4999);
    assert.equal(scene.recorder.isBehind, false);
    scene.tellMany(4999, 10_000);
    assert.equal(scene.recorder.isBehind, true);
    assert.equal(scene.tell('one too many'), false);
  });

  test('is given up where the store refuses it, and not for being away', async () => {
    const scene = new Scene();
    scene.hold('m1');
    const refused = new Error('the event is too large');
    await scene.acknowledge(refused);
    scene.clock.advance(30 * SECOND);
    assert.deepEqual(scene.got, ['m1']);
    assert.deepEqual(scene.done, [['m1', refused]]);
  });

  test('is tried once more when the process ends', async () => {
    const scene = new Scene();
    scene.hold('m1');
    scene.hold('m2');
    await scene.acknowledge(away);
    const closing = scene.recorder.close();
    assert.deepEqual(scene.got, ['m1', 'm2', 'm1', 'm2']);
    await scene.acknowledge(away);
    await closing;
    assert.deepEqual(scene.done, [
      ['m1', away],
      ['m2', away],
    ]);
    scene.clock.advance(30 * SECOND);
    assert.equal(scene.got.length, 4);
  });
});

describe('sends that nobody waits for', () => {
  test('go to the store at once, 1,024 at a time, in order', async () => {
    const scene = new Scene();
    scene.tell('m0');
    assert.deepEqual(scene.got, ['m0']);
    scene.tellMany(1, 4000);
    assert.equal(scene.got.length, 1024, 'the store has enough until it has written some');
    for (let rounds = 0; rounds < 4; rounds++) await scene.acknowledge();
    const all = Array.from({ length: 4000 }, (_, n) => `m${n}`);
    assert.deepEqual(scene.got, all);
    assert.deepEqual(
      scene.done,
      all.map((id) => [id, 1]),
    );
  });

  test('should come slowly where 5,000 wait, and are given up where 10,000 do', async () => {
    const scene = new Scene();
    scene.tellMany(0, 4999);
    assert.equal(scene.recorder.isBehind, false);
    scene.tellMany(4999, 10_000);
    assert.equal(scene.recorder.isBehind, true);
    assert.equal(scene.tell('one too many'), false);
    await scene.acknowledge(new Error('the disk is full'));
    assert.ok(scene.tell('one more'));
    assert.equal(scene.done.length, 1024);
    assert.match(String(scene.done[0]?.[1]), /the disk is full/);
  });

  test('are written before it closes', async () => {
    const scene = new Scene();
    scene.tellMany(0, 1030);
    let isClosed = false;
    const closing = scene.recorder.close().then(() => (isClosed = true));
    await scene.acknowledge();
    assert.equal(scene.got.length, 1030);
    assert.equal(isClosed, false);
    await scene.acknowledge();
    await closing;
    assert.equal(scene.done.length, 1030);
  });
});
