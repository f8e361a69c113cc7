import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { SECOND } from '../../../src/kernel/time.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import { ManualClock } from '../../support/manual-clock.js';
import { Figures } from '../../support/metrics.js';
import { Dialogue } from '../../support/smtp/dialogue.js';
import { eventually } from '../../support/smtp/eventually.js';
import { ALICE, Stopgap } from '../../support/smtp/stopgap.js';
import type { StopgapOptions } from '../../support/smtp/stopgap.js';
import { changed } from '../../support/store/changed.js';

const TO = 'one@elsewhere.test';

async function scene(t: TestContext, options: StopgapOptions) {
  const clock = new ManualClock();
  const stopgap = await Stopgap.start(t, { ...options, clock });
  return {
    clock,
    stopgap,
    /** What the log says from `warn` on of these matters. */
    told: (about: RegExp): unknown[] =>
      stopgap.logs
        .map((line) => JSON.parse(line) as { level: number; msg: string; count?: number })
        .filter(({ level, msg }) => level >= 40 && about.test(msg))
        .map(({ msg, count }) => (count === undefined ? msg : [msg, count])),
  };
}

test('connections beyond the limit are told of at once, and then summed up', async (t) => {
  const { clock, stopgap, told } = await scene(t, { smtp: { maxConnections: 2 } });
  const sessions = await Promise.all([stopgap.hello(), stopgap.hello()]);
  for (let n = 0; n < 20; n++) {
    const refused = await Dialogue.connect(stopgap.port());
    assert.match(await refused.reply(), /^421 /);
    await refused.closed;
  }
  const about = /turned away/;
  const figures = new Figures(await stopgap.app.metrics.registry.metrics());
  const full = { direction: 'outbound', reason: 'full' };
  assert.equal(figures.of('stopgap_smtp_turned_away_total', full), 20);
  assert.deepEqual(told(about), [['connections were turned away', 1]]);
  clock.advance(20 * SECOND);
  assert.deepEqual(told(about).slice(1), [['connections were turned away', 19]]);
  await Promise.all(sessions.map((session) => session.quit()));
});

test('messages that the store cannot record are told of once, and when they are recorded again', async (t) => {
  let fails = false;
  const { clock, stopgap, told } = await scene(t, {
    throughStore: (store) =>
      changed(store, {
        append: (...args) => (fails ? Promise.reject(new StoreUnavailable('busy')) : store.append(...args)),
      }),
  });
  const session = await stopgap.loggedIn();
  fails = true;
  for (let n = 0; n < 20; n++) assert.match(await session.send(ALICE, [TO]), /^451 /);
  const about = /messages are/;
  assert.deepEqual(told(about), ['messages are put off: they cannot be recorded']);
  fails = false;
  assert.match(await session.send(ALICE, [TO]), /^250 /);
  clock.advance(20 * SECOND);
  assert.deepEqual(told(about).slice(1), [['messages are recorded again', 20]]);
  await session.quit();
});

test('a rules file with two thousand faults is refused in one short line', async (t) => {
  const { stopgap, told } = await scene(t, {});
  const keys = Array.from({ length: 2000 }, (_, n) => `unknown${n}: 1\n`).join('');
  await writeFile(`${stopgap.dir}/rules.yaml`, `version: 1\nrules: []\n${keys}`);
  await eventually('it is refused', () => told(/a file was refused/).length > 0);
  const line = stopgap.logs.find((one) => one.includes('a file was refused'))!;
  assert.ok(line.length < 8192, `${line.length} characters`);
  assert.match(line, /and \d+ more"/);
});
