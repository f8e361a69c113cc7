import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shortOfDescriptors } from '../../support/short-of-descriptors.js';

test('journalctl that cannot be started for want of descriptors is an error that says so', async () => {
  const of = (file: string): string => new URL(`../../../src/${file}`, import.meta.url).href;
  const { printed, code, signal } = await shortOfDescriptors(`
    import { JournalTail } from '${of('follow/journal.js')}';
    import { systemClock } from '${of('runtime/clock.js')}';
    const journal = new JournalTail([], systemClock);
    const failed = async (pieces) => {
      try {
        for await (const piece of pieces) if (piece?.bytes.length > 0) return 'it gave something';
        return 'it ended';
      } catch (error) {
        return error.message;
      }
    };
    const told = [];
    for (const free of [0, 1, 2, 3]) {
      leave(free);
      told.push(await failed(journal.before({ cursor: 's=1' })));
      told.push(await failed(journal.follow({ cursor: 's=1' })));
      told.push(await failed(journal.follow(undefined)));
    }
    console.log(JSON.stringify([...new Set(told)]));
  `);
  assert.deepEqual([code, signal], [0, null], printed);
  assert.deepEqual(JSON.parse(printed), ['journalctl cannot be run: spawn journalctl EMFILE']);
});
