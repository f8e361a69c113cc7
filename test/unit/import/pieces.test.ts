import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { PastEvent } from '../../../src/import/sink.js';
import { recordOf } from '../../../src/import/history.js';
import type { LogFile } from '../../../src/import/postfix-log/index.js';
import { HOUR, SECOND, formatInstant } from '../../../src/kernel/time.js';
import { eventsOf, logFile } from '../../support/logs.js';
import type { Form, Line } from '../../support/postfix.js';
import { doings, logOf } from '../../support/postfix.js';

/** Shortly before the turn of a year, so that inferring it is part of it. */
const START = Date.parse('2025-12-31T23:50:00Z');

/** A piece of the log: from one line to another, in any order, perhaps more than once. */
interface Piece {
  readonly cut: number;
  readonly before: number;
  readonly after: number;
}

const pieces = fc.array(fc.record({ cut: fc.nat(200), before: fc.nat(12), after: fc.nat(12) }), {
  minLength: 1,
  maxLength: 6,
});

function file(name: string, lines: readonly Line[], later: number): LogFile {
  const text = lines.map((line) => line.text);
  const writtenAt = (lines.at(-1)?.at ?? START) + later;
  return logFile(name, text, { writtenAt, chunk: 777 });
}

/**
 * All lines in overlapping pieces. Equal lines of one second stay together: apart, nobody could tell them from one line
 * in two files.
 */
function cut(lines: readonly Line[], parts: readonly Piece[]): readonly (readonly Line[])[] {
  const texts = lines.map(({ text }) => text);
  const together = (place: number): number =>
    texts.slice(place).some((text) => texts.slice(0, place).includes(text)) ? together(place + 1) : place;
  const cuts = parts.map((part) => together(part.cut % (lines.length + 1))).sort((a, b) => a - b);
  return [...parts, { cut: 0, before: 3, after: 0 }].map(({ before, after }, index) => {
    const start = index === 0 ? 0 : cuts[index - 1]!;
    const end = cuts[index] ?? lines.length;
    return lines.slice(Math.max(0, start - before), end + after);
  });
}

/** What must be the same, in an order that does not depend on it: of one second the lines of several files have none. */
function comparable(events: readonly PastEvent[]): readonly string[] {
  return events
    .map(({ id, at, event }) => {
      const { data } = event;
      const domains = 'recipientDomains' in data ? [...data.recipientDomains].sort() : [];
      return JSON.stringify({
        at: formatInstant(at),
        id,
        type: event.type,
        ...data,
        recipientDomains: domains,
      });
    })
    .sort();
}

const forms = fc.constantFrom<Form>('traditional', 'iso');
const later = fc.constantFrom(0, HOUR);

describe('a log in pieces', () => {
  test('gives what the whole gives, in any pieces and order, overlapping and twice', async () => {
    await fc.assert(
      fc.asyncProperty(
        doings,
        pieces,
        forms,
        later,
        fc.infiniteStream(fc.nat()),
        async (all, parts, form, age, order) => {
          const lines = logOf(all, START, form);
          const whole = await eventsOf([file('whole', lines, age)], { inbound: true });
          const cuts = cut(lines, parts).map((part, index) => file(`part ${index}`, part, age));
          const twice = [...cuts, cuts[0]!];
          const mixed = twice
            .map((each) => ({ each, rank: order.next().value as number }))
            .sort((a, b) => a.rank - b.rank)
            .map(({ each }) => each);
          const { events } = await eventsOf(mixed, { inbound: true });
          assert.deepEqual(comparable(events), comparable(whole.events));
          const times = events.map(({ at }) => at);
          assert.deepEqual(
            times,
            [...times].sort((a, b) => a - b),
            'in the order of time',
          );
        },
      ),
      { numRuns: 90 },
    );
  });

  test('read one by one, and then as a whole, is in the store once', async () => {
    await fc.assert(
      fc.asyncProperty(doings, pieces, forms, async (all, parts, form) => {
        // What a filter hands back is known again only if both times are in the files.
        const lines = logOf(
          all.filter(({ what }) => what !== 'filtered'),
          START,
          form,
        );
        const store = new Map<string, PastEvent>();
        const keep = async (name: string, part: readonly Line[]): Promise<number> => {
          const { events } = await eventsOf([file(name, part, 0)], { inbound: true });
          const before = store.size;
          for (const past of events) {
            const { id } = recordOf(past, 'postfix-log').event;
            if (!store.has(id)) store.set(id, past);
          }
          return store.size - before;
        };
        for (const part of cut(lines, parts)) await keep('part', part);
        await keep('whole', lines);
        const { events } = await eventsOf([file('whole', lines, 0)], { inbound: true });
        // Of the very same lines within a second, which was which is not known.
        const told = ({ at, event, id }: PastEvent): string =>
          `${Math.floor(at / SECOND)} ${event.type} ${id}`;
        assert.deepEqual([...store.values()].map(told).sort(), events.map(told).sort());
        assert.equal(await keep('again', lines), 0, 'a second time adds nothing');
      }),
      { numRuns: 110 },
    );
  });

  test('is the same whether it was written with years and zones or without', async () => {
    await fc.assert(
      fc.asyncProperty(doings, async (all) => {
        const ids = async (form: Form): Promise<string[]> => {
          const { events } = await eventsOf([file('log', logOf(all, START, form), 0)]);
          return events.map((past) => recordOf(past, 'postfix-log').event.id).sort();
        };
        assert.deepEqual(await ids('iso'), await ids('traditional'));
      }),
      { numRuns: 60 },
    );
  });
});
