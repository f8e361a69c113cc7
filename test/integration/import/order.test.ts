import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { SendVolume } from '../../../projections/volume/send-volume.js';
import type { Profile } from '../../../projections/baselines/profile.js';
import { DAY, HOUR, MINUTE } from '../../../src/kernel/time.js';
import { dayOf } from '../../../src/sending/day-summary.js';
import { ImportFolder } from '../../support/import-folder.js';
import { NOW } from '../../support/logs.js';
import { logOf } from '../../support/postfix.js';

const FIRST = Math.floor(NOW / DAY) * DAY - 21 * DAY;

/** A day's log: so many messages to two recipients each, from eight o'clock on. */
const day = (number: number, messages: number): readonly string[] => {
  const what = { what: 'login', who: 1, recipients: 2, life: 500 } as const;
  const doings = Array.from({ length: messages }, () => ({ ...what, gap: MINUTE }));
  return logOf(doings, FIRST + number * DAY + 8 * HOUR, 'iso').map(({ text }) => text);
};
const log = (...days: (readonly string[])[]): string =>
  days
    .flat()
    .map((line) => `${line}\n`)
    .join('');
/** Two weeks in which it sent more than in the last one. */
const OLDER = Array.from({ length: 14 }, (_, number) => day(number, 12));
const NEWER = Array.from({ length: 5 }, (_, number) => day(14 + number, 3));

/** What is usual for the account once the files have been imported, each by itself and in this order. */
async function learnt(t: TestContext, ...files: readonly string[]): Promise<Profile> {
  const folder = await ImportFolder.open(t);
  for (const content of files) {
    await folder.write({ 'mail.log': content });
    const { code, err } = await folder.import(['mail.log']);
    assert.equal(code, 0, err);
  }
  const volume = new SendVolume();
  for (const event of await folder.events()) volume.apply(event);
  return volume.profiles.profile('account', 'user1@example.com', dayOf(NOW));
}

describe('logs that are imported one after the other', () => {
  test('teach the same in any order, as long as no day is cut', async (t) => {
    const whole = await learnt(t, log(...OLDER, ...NEWER));
    assert.equal(whole.firstDay, dayOf(FIRST));
    assert.deepEqual(
      await learnt(t, log(...NEWER), log(...OLDER)),
      whole,
      'last week first, then older logs',
    );
    assert.deepEqual(await learnt(t, log(...OLDER), log(...NEWER)), whole);
    assert.notDeepEqual(await learnt(t, log(...NEWER)), whole);
  });

  test('teach only what came first of a day that is cut', async (t) => {
    const cut = day(14, 12);
    const [morning, noon] = [cut.slice(0, cut.length / 2), cut.slice(cut.length / 2)];
    const later = await learnt(t, log(noon), log(morning));
    assert.deepEqual(later, await learnt(t, log(noon)));
    assert.notDeepEqual(later, await learnt(t, log(cut)));
  });
});
