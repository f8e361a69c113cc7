import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { RecordedHistory, RecordedFeedback, rulesInForce } from '../../src/backtest/history.js';
import { runBacktest } from '../../src/backtest/run.js';
import { BASELINES_ONLY, Projector } from '../../src/detector/projector.js';
import { BaselineProjector, ReadModels } from '../../src/detector/read-models.js';
import type { RecordedEvent } from '../../src/kernel/events.js';
import { categoryOf } from '../../src/kernel/events.js';
import type { ReadableStore } from '../../src/store/open-for-reading.js';
import { parseRules } from '../../src/rules/parse.js';
import { STRICTER } from '../support/history-world.js';
import { histories, logOf } from '../support/history.js';
import { observables, throughFrames } from '../support/restored.js';
import { event } from '../support/sends.js';

/*
 * A server that was started again may take an event that it already holds: the same id is then at two positions. Every
 * reader of the log counts it once.
 */

/** Which event comes again, and after which: 0 is right after it. Or all do, right after each and all at the end. */
const repeats = fc.oneof(
  fc.array(fc.tuple(fc.nat(), fc.oneof(fc.constant(0), fc.nat())), { minLength: 1, maxLength: 60 }),
  fc.constant('all' as const),
);

/** A log in which no id comes twice, and the same log with some events a second or third time. */
function bothOf(
  history: Parameters<typeof logOf>[0],
  again: readonly (readonly [which: number, later: number])[] | 'all',
): { once: readonly RecordedEvent[]; spoilt: readonly RecordedEvent[] } {
  const ids = new Set<string>();
  const once = logOf(history).filter(({ id }) => !ids.has(id) && ids.add(id));
  const spoilt = again === 'all' ? [...once.flatMap((each) => [each, { ...each }]), ...once] : [...once];
  for (const [which, later] of again === 'all' ? [] : again) {
    const index = which % spoilt.length;
    const place = index + 1 + (later % (spoilt.length - index));
    spoilt.splice(place, 0, { ...spoilt[index]!, recordedAt: spoilt[place - 1]!.recordedAt });
  }
  // Between two positions of the log there is room for all that come again: evidence names positions of the log.
  let before = 0;
  ids.clear();
  const placed = spoilt.map((each, revision) => {
    before = ids.has(each.id) ? before + 1 / 256 : each.position;
    ids.add(each.id);
    return { ...each, position: before, revision };
  });
  return { once, spoilt: placed };
}

/** The visible state of read models that have folded a log, and their notices. */
function seen(log: readonly RecordedEvent[], now: number, cut = log.length): unknown {
  const told: unknown[] = [];
  const folding = (): ReadModels =>
    new ReadModels({
      onVerdict: ({ subject, evidence }) => void told.push(['verdict', subject, evidence]),
      onBlockEvent: ({ type, id }) => void told.push([type, id]),
      onRulesChanged: () => void told.push('rules'),
      onSkipped: ({ id }) => void told.push(['skipped', id]),
      onFolded: ({ id }) => void told.push(id),
    });
  let models = folding();
  for (const each of log.slice(0, cut)) models.apply(each);
  if (cut < log.length) {
    const before = models;
    models = folding();
    models.restore(throughFrames(before.dump()));
    for (const each of log.slice(cut)) models.apply(each);
  }
  const { position: _, lastEventAt: __, ...rest } = observables(models, now) as Record<string, unknown>;
  return { ...rest, told };
}

function habitsOf(log: readonly RecordedEvent[]): unknown {
  const told: string[] = [];
  const feed = new BaselineProjector({
    onSummarised: ({ id }) => void told.push(id),
    onSkipped: () => undefined,
  });
  for (const each of log) if (BASELINES_ONLY.includes(categoryOf(each.stream))) feed.apply(each);
  const { volume, shadow } = feed.dump();
  return { volume, shadow, told };
}

function storeOf(log: readonly RecordedEvent[]): ReadableStore {
  return {
    head: () => Promise.resolve(log.at(-1)!.position),
    async *readAll({ categories } = {}) {
      await Promise.resolve();
      yield* log.filter(({ stream }) => categories?.includes(categoryOf(stream)) ?? true);
    },
    close: () => Promise.resolve(),
  };
}

async function backtestOf(log: readonly RecordedEvent[]): Promise<unknown> {
  const store = storeOf(log);
  const judgements = await RecordedFeedback.of(store);
  const candidates = [await rulesInForce(store), { name: 'stricter', rules: parseRules(STRICTER) }];
  const source = new RecordedHistory(store);
  return runBacktest({ source, candidates, judge: (one) => judgements.of(one) });
}

describe('an event that a log holds twice', () => {
  test('counts once in every read model, and nobody is told of it twice', () => {
    const types = new Map<string, number>();
    fc.assert(
      fc.property(histories, repeats, fc.double({ min: 0, max: 1, noNaN: true }), (history, again, where) => {
        const { once, spoilt } = bothOf(history, again);
        const now = once.at(-1)!.recordedAt;
        const expected = seen(once, now);
        assert.deepEqual(seen(spoilt, now), expected);
        assert.deepEqual(seen(spoilt, now, Math.floor(where * spoilt.length)), expected, 'over a snapshot');
        for (const { type } of spoilt) types.set(type, (types.get(type) ?? 0) + 1);
        for (const { type } of once) types.set(type, types.get(type)! - 1);
      }),
      { numRuns: 34 },
    );
    for (const type of [
      'MessageAccepted',
      'RecipientsRefused',
      'BounceReceived',
      'AuthenticationFailed',
      'MessageRefused',
      'SenderDaySummarised',
      'BlockImposed',
      'BlockProposed',
      'BlockReleased',
      'ExemptionGranted',
      'OverrideSet',
      'RulesChanged',
      'ShadowRulesChanged',
    ])
      assert.ok((types.get(type) ?? 0) > 0, `no ${type} came twice`);
  });

  test('counts once for what is usual, at a node that folds no sends', () => {
    fc.assert(
      fc.property(histories, repeats, (history, again) => {
        const { once, spoilt } = bothOf(history, again);
        assert.deepEqual(habitsOf(spoilt), habitsOf(once));
      }),
      { numRuns: 18 },
    );
  });

  test('counts once in a back-test, in what people said of cases, and for the rules in force', async () => {
    await fc.assert(
      fc.asyncProperty(histories, repeats, async (history, again) => {
        const { once, spoilt } = bothOf(history, again);
        const readable = ({ data }: RecordedEvent): boolean => data !== null;
        const expected = await backtestOf(once.filter(readable));
        assert.deepEqual(await backtestOf(spoilt.filter(readable)), expected);
      }),
      { numRuns: 10 },
    );
  });

  test('is recognised with half a million others in between', () => {
    const folded: string[] = [];
    class Following extends Projector {
      protected override fold({ id, type }: RecordedEvent): void {
        if (type === 'BounceReceived') folded.push(id);
      }
    }
    const following = new Following();
    const bounce = (position: number) => event('BounceReceived', {}, 0, position, { id: 'twice' });
    following.apply(bounce(1));
    for (let position = 2; position <= 500_000; position++)
      following.apply(event('MessageAccepted', {}, 0, position));
    following.apply(bounce(500_001));
    assert.deepEqual(folded, ['twice']);
    assert.ok(following.dump().seen.young.length > 0);
  });
});
