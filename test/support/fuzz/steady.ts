import assert from 'node:assert/strict';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { settle } from '../gate.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Bytes in use once everything that nobody holds is gone. */
async function held(): Promise<number> {
  await settle();
  collect();
  await settle();
  collect();
  return process.memoryUsage().heapUsed;
}

/** What a process keeps: looked at before and after something that must leave nothing behind. */
export class Steady {
  readonly #heap: number;

  private constructor(heap: number) {
    this.#heap = heap;
  }

  static async from(): Promise<Steady> {
    return new Steady(await held());
  }

  /** Fails where memory has grown by more, and where a key has come to be on every object. */
  async still(most: number): Promise<void> {
    const grown = (await held()) - this.#heap;
    assert.ok(grown < most, `the heap has grown by ${Math.round(grown / 1024)} KiB`);
    assert.deepEqual(Object.keys(Object.prototype), []);
    for (const key in {}) assert.fail(`every object has a property ${key}`);
  }
}
