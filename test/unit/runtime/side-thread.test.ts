import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StopgapError } from '../../../src/kernel/errors.js';
import { SideThread } from '../../../src/runtime/side-thread.js';

/** Answers what it is told, and takes all memory that it gets for a text `hungry`. */
const SCRIPT = new URL(`data:text/javascript,
  import { parentPort } from 'node:worker_threads';
  parentPort.on('message', (told) => {
    const kept = [];
    while (told.text === 'hungry') kept.push(new Array(10000).fill(kept.length));
    parentPort.postMessage(told);
  });
`);

test('work that needs too much memory is refused for that, and what waits behind it only has no thread', async () => {
  const thread = new SideThread<{ id: number; text: string }, { id: number; text: string }>({
    script: SCRIPT,
    heap: 16,
    work: 'testing',
  });
  assert.equal((await thread.ask({ id: 1, text: 'first' })).text, 'first');
  const [hungry, behind] = await Promise.allSettled([
    thread.ask({ id: 2, text: 'hungry' }),
    thread.ask({ id: 3, text: 'behind' }),
  ]);
  assert.ok(hungry.status === 'rejected' && hungry.reason instanceof StopgapError);
  assert.equal(hungry.reason.code, 'invalid-input');
  assert.equal(hungry.reason.message, 'testing takes more than 16 MiB of memory');
  assert.ok(behind.status === 'rejected' && !(behind.reason instanceof StopgapError));
  assert.equal((behind.reason as Error).message, 'the thread for testing has ended');
  assert.equal((await thread.ask({ id: 4, text: 'again' })).text, 'again');
});
