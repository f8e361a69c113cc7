import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pseudonymOf } from '../../../src/kernel/pseudonym.js';
import { PATIENCE, Scene } from '../../support/kurrentdb/scene.js';
import { collect, ids, newEvent, newEvents } from '../../support/store/events.js';

const NAME = 'alice@example.com';
const PSEUDONYM = pseudonymOf('a');

describe('forgetting somebody in KurrentDB', { timeout: PATIENCE }, () => {
  it('takes along what others append between its read of a stream and its deletion', () =>
    Scene.play(async (scene) => {
      const server = await scene.server({ indexing: 5 });
      const [store, other] = [await scene.store(server.url), await scene.store(server.url)];
      // In the order in which they are forgotten.
      const late = new Map([
        [`send-${NAME}`, newEvents(2, (i) => ({ late: i }))],
        [`block-account:${NAME}`, newEvents(2, (i) => ({ late: i }))],
      ]);
      for (const stream of late.keys()) await store.append(stream, newEvents(2), 'none');
      const waiting = [...late].flatMap(([stream, events]) => events.map((event) => ({ stream, event })));
      const append = store.append.bind(store);
      store.append = async (stream, events, expected) => {
        const next = stream === 'erased-streams' ? waiting.shift() : undefined;
        if (next !== undefined) await other.append(next.stream, [next.event], 'any');
        return append(stream, events, expected);
      };
      const { erased, rewritten } = await store.forget({ name: NAME, pseudonym: PSEUDONYM });
      assert.deepEqual({ erased, rewritten, waiting }, { erased: 4, rewritten: 4, waiting: [] });
      const all = await collect(other.readAll());
      assert.deepEqual(
        all.filter(({ stream }) => late.has(stream)),
        [],
      );
      const history = await collect(other.readStream(`block-account:${PSEUDONYM}`));
      assert.deepEqual(
        history.map(({ data }) => data as object).map((data) => ('late' in data ? data.late : undefined)),
        [undefined, undefined, 0, 1],
      );
      for (const stream of late.keys()) {
        assert.deepEqual(await collect(other.readStream(stream)), []);
        const anew = newEvent();
        await other.append(stream, [anew], 'none');
        assert.deepEqual(ids(await collect(other.readStream(stream))), [anew.id]);
      }
    }));
});
