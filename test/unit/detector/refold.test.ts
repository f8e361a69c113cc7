import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ReadModels } from '../../../src/detector/read-models.js';
import { refold } from '../../../src/detector/refold.js';

describe('folding the whole log anew', () => {
  for (const when of ['before it begins', 'before the log is followed'])
    it(`reads no event if it is given up ${when}`, async () => {
      const closing = new AbortController();
      if (when === 'before it begins') closing.abort();
      const models = new ReadModels({
        onVerdict: () => undefined,
        onBlockEvent: () => undefined,
        onRulesChanged: () => undefined,
        onSkipped: () => undefined,
      });
      let feeds = 0;
      const store = {
        head(): Promise<number> {
          closing.abort();
          return Promise.resolve(7);
        },
        subscribe() {
          feeds++;
          const never = new Promise<void>(() => undefined);
          const caughtUp = Promise.resolve();
          return { caughtUp, ended: never, position: 7, lag: 0, stop: () => Promise.resolve() };
        },
      };
      await assert.rejects(
        refold(models, store, [], closing.signal, () => assert.fail('nothing may be adopted')),
        { name: 'AbortError' },
      );
      assert.equal(feeds, 0);
    });
});
