import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Baselines } from '../../../projections/baselines/sender-profiles.js';
import { BaselineProjector } from '../../../src/detector/read-models.js';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import { categoryOf } from '../../../src/kernel/events.js';
import { BASELINES_ONLY } from '../../../src/detector/projector.js';
import { DAY } from '../../../src/kernel/time.js';
import { dayOf } from '../../../src/sending/day-summary.js';
import { SUBJECTS, folding, histories, logOf } from '../../support/history.js';
import { throughFrames } from '../../support/restored.js';

function newFeed(): BaselineProjector {
  return new BaselineProjector({ onSummarised: () => undefined, onSkipped: () => undefined });
}

/** As its subscription hands it over. */
function fed(log: readonly RecordedEvent[], feed = newFeed()): BaselineProjector {
  for (const event of log) if (BASELINES_ONLY.includes(categoryOf(event.stream))) feed.apply(event);
  return feed;
}

/** Everything that limits rest upon. */
function known(baselines: Baselines, now: number): unknown {
  const senders = SUBJECTS.flatMap(({ type, value }) =>
    type === 'account' || type === 'domain' ? [[type, value] as const] : [],
  );
  return {
    size: baselines.size,
    peaks: baselines.peaks.dump(),
    of: senders.map(([type, value]) => baselines.profile(type, value, dayOf(now))),
  };
}

describe('what a node knows that folds no sends', () => {
  test('is what a detector knows that has seen all of them', () => {
    const shown = { profiles: 0, left: 0 };
    fc.assert(
      fc.property(histories, (history) => {
        const log = logOf(history);
        const now = log.at(-1)!.recordedAt;
        const { models } = folding();
        for (const event of log) models.apply(event);
        const feed = fed(log);
        const { baselines } = models.sendVolume.profiles;
        assert.deepEqual(known(feed.baselines, now), known(baselines, now));
        // A first day that has no summary yet began with a send that only the detector has seen.
        assert.ok(Math.abs(feed.baselines.installedAt - baselines.installedAt) <= DAY);
        shown.profiles += feed.baselines.size;
        shown.left += log.filter(({ stream }) => !BASELINES_ONLY.includes(categoryOf(stream))).length;
      }),
      { numRuns: 20 },
    );
    for (const [what, count] of Object.entries(shown)) assert.ok(count > 40, `only ${count} ${what}`);
  });

  test('goes on from a snapshot as if everything had been folded here, at any cut', () => {
    fc.assert(
      fc.property(histories, fc.double({ min: 0, max: 1, noNaN: true }), (history, where) => {
        const log = logOf(history);
        const cut = Math.floor(where * log.length);
        const whole = fed(log.slice(0, cut));
        const dump = throughFrames(whole.dump());
        fed(log.slice(cut), whole);
        const restored = newFeed();
        restored.restore(dump);
        assert.deepEqual(restored.dump(), dump);
        fed(log.slice(cut), restored);
        assert.deepEqual(restored.dump(), throughFrames(whole.dump()));
      }),
      { numRuns: 20 },
    );
  });
});
