import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { WEEKS } from '../../../projections/baselines/profile.js';
import type { Profile } from '../../../projections/baselines/profile.js';
import { DAY_SUMMARY_JOB } from '../../../src/detector/scheduled-jobs.js';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import { DAY, HOUR } from '../../../src/kernel/time.js';
import { PEAKS_KEPT } from '../../../src/sending/day-summary.js';
import { effectiveAt } from '../../../src/sending/events.js';
import type { SenderDaySummarised } from '../../../src/sending/day-summary.js';
import { folding, histories, logOf } from '../../support/history.js';
import { baselines } from '../../support/restored.js';
import { event } from '../../support/sends.js';

const SENDS = [
  'MessageAccepted',
  'RecipientsRefused',
  'MessageRefused',
  'BounceReceived',
  'AuthenticationFailed',
];

/** A log that ends with all days before the last summarised, and the instant after it. */
function summarised(log: readonly RecordedEvent[]): { log: readonly RecordedEvent[]; now: number } {
  const { models } = folding();
  const whole = [...log];
  for (const each of log) models.apply(each);
  const now = Math.max(...log.map(({ recordedAt }) => recordedAt)) + 2 * HOUR;
  for (const { type, data, stream } of DAY_SUMMARY_JOB.run(models, now)) {
    whole.push(event(type, data, now, whole.length + 1, { stream, by: DAY_SUMMARY_JOB.by }));
  }
  return { log: whole, now };
}

const fold = (log: readonly RecordedEvent[]): ReturnType<typeof folding> => {
  const folded = folding();
  for (const each of log) folded.models.apply(each);
  return folded;
};

describe('what senders usually do, once their sends are gone', () => {
  test('is rebuilt from the summaries of their days alone', () => {
    const shown = { summaries: 0, gone: 0, contained: 0, pardoned: 0 };
    fc.assert(
      fc.property(histories, (history) => {
        const { log, now } = summarised(logOf(history));
        // Sends are kept for longer than any window: what stood in one at midnight is known.
        const since = DAY_SUMMARY_JOB.after(now) - HOUR - DAY - 3 * HOUR;
        const left = log.filter((each) => !SENDS.includes(each.type) || effectiveAt(each) >= since);
        assert.deepEqual(baselines(fold(left).models, now), baselines(fold(log).models, now));
        const days = log.filter(({ type }) => type === 'SenderDaySummarised');
        shown.summaries += days.length;
        shown.gone += log.length - left.length;
        shown.contained += days.filter(
          ({ data }) => (data as SenderDaySummarised).contained?.length > 0,
        ).length;
        shown.pardoned += log.filter(
          ({ type, data }) => type === 'BlockReleased' && (data as { falsePositive: boolean }).falsePositive,
        ).length;
      }),
      { numRuns: 32 },
    );
    for (const [what, count] of Object.entries(shown)) assert.ok(count > 3, `only ${count} ${what}`);
  });

  test('is the same however often it is folded, and so is what rules say of it', () => {
    let verdicts = 0;
    fc.assert(
      fc.property(histories, (history) => {
        const log = logOf(history);
        const [one, other] = [fold(log), fold(log)];
        assert.deepEqual(other.verdicts, one.verdicts);
        assert.deepEqual(other.models.dump(), one.models.dump());
        verdicts += one.verdicts.length;
      }),
      { numRuns: 42 },
    );
    assert.ok(verdicts > 300, `only ${verdicts} verdicts`);
  });

  test('takes no more than so much of anybody', () => {
    fc.assert(
      fc.property(histories, (history) => {
        const { models } = fold(summarised(logOf(history)).log);
        const { profiles, peaks } = models.sendVolume.profiles.dump();
        assert.ok(peaks.length <= PEAKS_KEPT);
        for (const [, each] of [...profiles.account, ...profiles.domain]) bounded(each);
      }),
      { numRuns: 20 },
    );
  });
});

function bounded({ networks, ehlos, countries, asns, withheld, cells, weeks, active, tail }: Profile): void {
  for (const places of [networks, ehlos, countries, asns]) assert.ok(places.length <= 48);
  assert.ok(withheld.length <= 4);
  assert.ok(cells.length <= WEEKS * (7 + PEAKS_KEPT));
  assert.deepEqual([weeks.length, active.length], [WEEKS, 13]);
  if (tail === undefined) return;
  assert.ok(tail.summaries.length <= (tail.proposals.length > 0 ? 4 : 1));
  assert.equal(tail.before.tail, undefined);
  bounded(tail.before);
}
