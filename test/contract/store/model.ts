import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { NewEvent } from '../../../src/kernel/events.js';
import { StopgapError } from '../../../src/kernel/errors.js';
import { WrongExpectedRevision, type ExpectedRevision } from '../../../src/store/port.js';
import { collect, ids, newEvent, positions, rising, uniqueCategory } from '../../support/store/events.js';
import type { StoreHarness } from './harness.js';
import type { Subject } from './suite.js';

type Step =
  | {
      readonly kind: 'append';
      readonly stream: number;
      readonly count: number;
      readonly expect: 'any' | 'none' | 'right' | 'behind' | 'ahead';
    }
  | { readonly kind: 'retry'; readonly which: number; readonly expect: 'any' | 'none' | 'ahead' }
  | { readonly kind: 'elsewhere'; readonly which: number }
  | { readonly kind: 'part'; readonly which: number; readonly first: boolean };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('append' as const),
        stream: fc.nat(3),
        count: fc.integer({ min: 1, max: 4 }),
        expect: fc.constantFrom('any', 'none', 'right', 'right', 'behind', 'ahead'),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('retry' as const),
        which: fc.nat(),
        expect: fc.constantFrom('any', 'none', 'ahead'),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('elsewhere' as const), which: fc.nat() }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('part' as const), which: fc.nat(), first: fc.boolean() }),
    },
  ),
  { minLength: 1, maxLength: 30 },
);

type Outcome = `revision ${number}` | `duplicate ${number}` | `wrong, at ${number | 'none'}` | 'conflict';

/** The port's promise in a few lines: streams as lists of ids. */
class Model {
  readonly streams = new Map<string, string[]>();
  readonly order: string[] = [];

  append(stream: string, events: readonly NewEvent[], expected: ExpectedRevision): Outcome {
    const held = this.streams.get(stream) ?? [];
    const known = events.filter(({ id }) => this.order.includes(id));
    if (!known.every(({ id }) => held.includes(id))) return 'conflict';
    if (known.length === events.length)
      return `duplicate ${Math.max(...ids(events).map((id) => held.indexOf(id)))}`;
    if (known.length > 0) {
      if (expected !== 'any') return 'conflict';
      events = events.filter((event) => !known.includes(event));
    }
    const actual = held.length === 0 ? 'none' : held.length - 1;
    if (expected !== 'any' && expected !== actual) return `wrong, at ${actual}`;
    this.streams.set(stream, [...held, ...ids(events)]);
    this.order.push(...ids(events));
    return `revision ${held.length + events.length - 1}`;
  }
}

export function modelContract(subject: Subject, harness: StoreHarness): void {
  const partly = harness.unsupported?.idempotence !== undefined;

  async function attempt(
    stream: string,
    events: readonly NewEvent[],
    expected: ExpectedRevision,
  ): Promise<Outcome> {
    try {
      const { revision, duplicate } = await subject().store.append(stream, events, expected);
      return duplicate ? `duplicate ${revision}` : `revision ${revision}`;
    } catch (error) {
      if (error instanceof WrongExpectedRevision) return `wrong, at ${error.actual}`;
      if (error instanceof StopgapError && error.code === 'conflict') return 'conflict';
      throw error;
    }
  }

  describe('any sequence of appends', () => {
    it('gives the same streams as a list of ids for each stream', async () => {
      await fc.assert(
        fc.asyncProperty(steps, async (sequence) => {
          const category = uniqueCategory();
          const model = new Model();
          const done: { stream: string; events: NewEvent[] }[] = [];
          for (const step of sequence) {
            // If ids are not looked for everywhere, nobody reuses one, but for a run that goes on.
            if (partly && (step.kind === 'elsewhere' || (step.kind === 'part' && !step.first))) continue;
            const [stream, events, expected] = concrete(step, category, model, done);
            assert.equal(await attempt(stream, events, expected), model.append(stream, events, expected));
            done.push({ stream, events });
          }
          const all = await collect(subject().store.readAll({ categories: [category] }));
          assert.deepEqual(ids(all), model.order);
          assert.ok(rising(positions(all)));
          for (const [stream, held] of model.streams) {
            const forwards = await collect(subject().store.readStream(stream));
            assert.deepEqual(ids(forwards), held);
            assert.deepEqual(
              await collect(subject().store.readStream(stream, { direction: 'backwards' })),
              forwards.reverse(),
            );
          }
        }),
        { numRuns: 60 },
      );
    });
  });
}

function concrete(
  step: Step,
  category: string,
  model: Model,
  done: readonly { stream: string; events: NewEvent[] }[],
): [stream: string, events: NewEvent[], expected: ExpectedRevision] {
  const streamOf = (n: number) => `${category}-${n}`;
  const before = step.kind === 'append' ? undefined : done[step.which % Math.max(done.length, 1)];
  switch (step.kind) {
    case 'append': {
      const stream = streamOf(step.stream);
      const length = model.streams.get(stream)?.length ?? 0;
      const expected = {
        any: 'any',
        none: 'none',
        right: length === 0 ? 'none' : length - 1,
        behind: Math.max(0, length - 2),
        ahead: length,
      } as const;
      return [stream, Array.from({ length: step.count }, (_, i) => newEvent({ i })), expected[step.expect]];
    }
    case 'retry':
      return [
        before?.stream ?? streamOf(0),
        before?.events ?? [newEvent()],
        step.expect === 'ahead' ? 1000 : step.expect,
      ];
    case 'elsewhere':
      return [streamOf(9), before?.events ?? [newEvent()], 'any'];
    case 'part': {
      const old = before?.events ?? [];
      return [before?.stream ?? streamOf(0), step.first ? [...old, newEvent()] : [newEvent(), ...old], 'any'];
    }
  }
}
