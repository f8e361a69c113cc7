import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SECOND } from '../../../src/kernel/time.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import { settle } from '../../support/gate.js';
import { PATIENCE, Scene } from '../../support/kurrentdb/scene.js';
import { ManualClock } from '../../support/manual-clock.js';
import { Figures } from '../../support/metrics.js';
import { eventually } from '../../support/smtp/eventually.js';
import { Stopgap } from '../../support/smtp/stopgap.js';
import { collect, newEvents } from '../../support/store/events.js';

/** For an append: long enough for everything that must succeed here. */
const LONGER = 1500;

/** What a process says of its store, to the public and to Prometheus. */
async function saying(stopgap: Stopgap): Promise<readonly [string, number]> {
  const answer = await fetch(`http://127.0.0.1:${stopgap.port('HTTP')}/healthz`);
  const { store } = (await answer.json()) as { store: string };
  const figures = new Figures(await stopgap.app.metrics.registry.metrics());
  return [store, figures.of('stopgap_store_up')];
}

describe('while KurrentDB is away and there are no appends', { timeout: PATIENCE }, () => {
  for (const role of ['smtp', 'detector', 'api', 'worker']) {
    it(`a process with the role ${role} says so within ten seconds, and when it is back`, (t) =>
      Scene.play(async (scene) => {
        const server = await scene.server();
        const clock = new ManualClock();
        const settings = { roles: [role], store: server.url };
        const stopgap = await Stopgap.start(t, { clock, settings });
        assert.deepEqual(await saying(stopgap), ['ok', 1]);

        await server.kill();
        for (let second = 1; second <= 10; second++) {
          clock.advance(SECOND);
          await settle();
        }
        await eventually('it is known', async () => (await saying(stopgap))[0] === 'failing');
        assert.deepEqual(await saying(stopgap), ['failing', 0]);
        assert.equal(stopgap.logs.filter((line) => line.includes('the store takes no events')).length, 1);

        await scene.restarted(server);
        await eventually('it is known to be back', async () => (await saying(stopgap))[0] === 'ok');
        assert.deepEqual(await saying(stopgap), ['ok', 1]);
        await stopgap.stop();
      }));
  }

  it('a probe that is never answered ends as an append would', () =>
    Scene.play(async (scene) => {
      const server = await scene.server();
      const store = await scene.store(server.url, { appendTimeout: LONGER });
      await store.append('block-a', newEvents(1), 'none');
      await store.probe(); // which has heard of the append
      await server.tell({ do: 'faults', stalled: ['append'] });
      await assert.rejects(store.probe(), (error: Error) => {
        assert.ok(error instanceof StoreUnavailable);
        assert.match(error.message, /^a probe: no answer within \d+ ms$/);
        return true;
      });
      assert.equal(store.healthy, false);
    }));

  it('a probe that is answered makes way for appends: none waits for the first to be answered', () =>
    Scene.play(async (scene) => {
      const server = await scene.server();
      const other = await scene.store(server.url);
      const store = await scene.store(server.url, { appendTimeout: LONGER });
      await eventually('it was reached', () => store.healthy);
      await store.probe();
      await server.tell({ do: 'faults', mute: true });
      const answers = Promise.allSettled(newEvents(5).map((event) => store.append('send-a', [event], 'any')));
      await eventually('all of them are written', async () => {
        return (await collect(other.readStream('send-a'))).length === 5;
      });
      assert.ok(
        (await answers).every(({ status }) => status === 'rejected'),
        'no answer came',
      );
    }));
});
