import assert from 'node:assert/strict';
import { newId } from '../../../src/runtime/ids.js';
import { SECOND } from '../../../src/kernel/time.js';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import type { EventStore } from '../../../src/store/port.js';
import { ManualClock } from '../manual-clock.js';
import { changed } from '../store/changed.js';
import { collect } from '../store/events.js';
import type { Call, Node, Reply } from './server.js';
import { call, startOn } from './server.js';

/** Two processes with an API each, over one store: the clock of the second is a second ahead. */
export class TwoApis {
  readonly clocks: readonly [ManualClock, ManualClock];
  readonly nodes: readonly [Node, Node];

  private constructor(clocks: TwoApis['clocks'], nodes: TwoApis['nodes']) {
    this.clocks = clocks;
    this.nodes = nodes;
  }

  /** @param second what the other process has of the store; the same adapter unless given */
  static async start(first: EventStore, second?: EventStore): Promise<TwoApis> {
    const clocks = [new ManualClock(), new ManualClock()] as const;
    clocks[1].advance(SECOND);
    const shared = changed(first, { close: () => Promise.resolve() });
    const a = await startOn(first, '', clocks[0]);
    return new TwoApis(clocks, [a, await startOn(second ?? shared, '', clocks[1])]);
  }

  async stop(): Promise<void> {
    try {
      await this.nodes[1].stop();
    } finally {
      await this.nodes[0].stop();
    }
  }

  call(node: 0 | 1, method: string, target: string, options?: Call): Promise<Reply> {
    return call(this.nodes[node].url, method, target, options);
  }

  /**
   * The same request at both at once, with the same Idempotency-Key: both must give the same answer.
   *
   * @returns the answer
   */
  async one(method: string, target: string, { headers = {}, ...more }: Call = {}): Promise<Reply> {
    const options = { ...more, headers: { ...headers, 'idempotency-key': newId() } };
    const [a, b] = await Promise.all([
      this.call(0, method, target, options),
      this.call(1, method, target, options),
    ]);
    assert.deepEqual([b.status, b.text], [a.status, a.text], `${method} ${target}`);
    for (const header of ['etag', 'location'])
      assert.equal(b.headers.get(header), a.headers.get(header), `${method} ${target}: ${header}`);
    return a;
  }

  /** All events of a stream. */
  events(stream: string): Promise<RecordedEvent[]> {
    return collect(this.nodes[0].deps.store.readStream(stream));
  }

  /** Resolves when both show what is in the store. */
  async settled(): Promise<void> {
    const head = await this.nodes[0].deps.store.head();
    await Promise.all(this.nodes.map(({ deps }) => deps.models.reached(head)));
  }
}
