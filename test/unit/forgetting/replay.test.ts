import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { serialize } from 'node:v8';
import fc from 'fast-check';
import { ownStreams, Rewriter } from '../../../src/forgetting/person.js';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import type { Verdict } from '../../../src/rules/respond.js';
import { folding, histories, logOf } from '../../support/history.js';

const person = { name: 'user0@example.com', pseudonym: 'forgotten-1a2b3c4d@invalid' };
const rewriter = new Rewriter(person);

/** The log without the person, as the store gives it afterwards. */
function without(log: readonly RecordedEvent[]): readonly RecordedEvent[] {
  const own = new Map(ownStreams(person).map(({ stream, renamed }) => [stream, renamed]));
  return log.flatMap((event) => {
    const renamed = own.has(event.stream) ? own.get(event.stream) : event.stream;
    if (renamed === undefined) return [];
    const { type, by, data } = event;
    const fate = rewriter.rewrite({ type, by, data: JSON.stringify(data) });
    if (fate === 'erase') return [];
    return [
      {
        ...event,
        stream: renamed,
        ...(fate === undefined ? {} : { by: fate.by, data: JSON.parse(fate.data) as unknown }),
      },
    ];
  });
}

function fold(log: readonly RecordedEvent[]) {
  const { models, verdicts } = folding();
  for (const event of log) models.apply(event);
  return { models, verdicts };
}

/** Rules that count for each sender apart: what several send together is less without one of them. */
const APART = new Set(['burst', 'hour', 'size', 'usual', 'wide', 'nets', 'odd', 'quiet', 'back']);

const ofOthers = (verdicts: readonly Verdict[]): readonly unknown[] =>
  verdicts
    .filter(({ rule, subject }) => APART.has(rule.id) && subject.value !== person.name)
    .map(({ rule, subject, kind, mode, at, evidence }) => {
      // Where the window begins is told by the first event of anybody in it.
      const { firstPosition: _, ...rest } = evidence;
      return { rule: rule.id, subject, kind, mode, at, evidence: rest };
    });

/**
 * What lets a sender's verdicts hang on others: a clock that was set back, since the time is then that of the newest event of
 * anybody, and another rule set, since a window that is new is measured from the first day that is summarised of anybody.
 */
const SHARED: ReadonlySet<string> = new Set(['back', 'rules', 'shadow']);

const historiesApart = histories.map((history) => history.filter(([, { kind }]) => !SHARED.has(kind)));

describe('a replay of a log out of which somebody was taken', () => {
  test('gives everybody else the same verdicts of rules for each sender', () => {
    fc.assert(
      fc.property(historiesApart, (history) => {
        const log = logOf(history);
        assert.deepEqual(ofOthers(fold(without(log)).verdicts), ofOthers(fold(log).verdicts));
      }),
      { numRuns: 24 },
    );
  });

  test('gives everybody the same blocks, and names nowhere who was taken out', () => {
    fc.assert(
      fc.property(histories, (history) => {
        const log = logOf(history);
        const [before, after] = [fold(log), fold(without(log))];
        const blocksOf = ({ models }: typeof before): unknown => ({
          ledger: [...models.ledger.kept()].map(({ id, subject, state, until, direction, rule }) => ({
            id,
            subject,
            state,
            until,
            direction,
            rule,
          })),
          active: models.activeBlocks.dump(),
        });
        assert.deepEqual(blocksOf(after), rewriter.value(blocksOf(before)));
        assert.ok(!serialize(after.models.dump()).includes(person.name), 'nothing folded names them');
      }),
      { numRuns: 12 },
    );
  });
});
