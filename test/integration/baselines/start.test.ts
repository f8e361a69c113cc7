import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DAY, HOUR } from '../../../src/kernel/time.js';
import { PROFILE_CATEGORY } from '../../../src/sending/day-summary.js';
import { DAYS_KNOWN, writeHabits } from '../../support/distributed/baselines.js';
import { Gate } from '../../support/gate.js';
import { Scene } from '../../support/kurrentdb/scene.js';
import { ManualClock } from '../../support/manual-clock.js';
import { Figures } from '../../support/metrics.js';
import { eventually } from '../../support/smtp/eventually.js';
import { ALICE, Stopgap } from '../../support/smtp/stopgap.js';
import { changed } from '../../support/store/changed.js';

test('an SMTP node takes mail before it knows baselines, and writes down none', (t) =>
  Scene.play(async (scene) => {
    const server = await scene.server();
    const clock = new ManualClock();
    await writeHabits(server.url, clock, ALICE, 20);
    const gate = new Gate();
    const stopgap = await Stopgap.start(t, {
      clock,
      settings: { roles: ['smtp'], store: server.url },
      throughStore: (store) =>
        changed(store, {
          subscribe: (options, handler) =>
            store.subscribe(options, async (event) => {
              if (options.categories!.includes(PROFILE_CATEGORY)) await gate.opened;
              await handler(event);
            }),
        }),
    });
    const ready = async (): Promise<number> =>
      new Figures(await stopgap.app.metrics.registry.metrics()).of('stopgap_baselines_ready');
    const session = await stopgap.loggedIn();
    assert.match(await session.send(ALICE, ['a@elsewhere.test']), /^250 /);
    assert.equal(await ready(), 0);
    gate.open();
    await eventually('it knows baselines', async () => (await ready()) === 1);
    for (let day = 0; day < 3; day++) {
      clock.advance(DAY + HOUR);
      assert.match(await session.send(ALICE, ['a@elsewhere.test']), /^250 /);
    }
    session.vanish();
    const types = (await stopgap.events()).map(({ type }) => type);
    const count = (wanted: string): number => types.filter((type) => type === wanted).length;
    assert.deepEqual([count('MessageAccepted'), count('SenderDaySummarised')], [4, DAYS_KNOWN]);
  }));
