import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SendVolume } from '../../../projections/volume/send-volume.js';
import { Appender, History, ImportedDaySummaries, KnownIds } from '../../../src/import/history.js';
import type { PastEvent } from '../../../src/import/sink.js';
import type { NewEvent, RecordedEvent } from '../../../src/kernel/events.js';
import { DAY, HOUR, MINUTE } from '../../../src/kernel/time.js';
import type { RulesChanged } from '../../../src/rules/model.js';
import type { DaySummaryFact, SenderDaySummarised } from '../../../src/sending/day-summary.js';
import { dayOf } from '../../../src/sending/day-summary.js';
import type { MessageAccepted } from '../../../src/sending/events.js';
import { event, rulesChanged, sent } from '../../support/sends.js';

const START = Date.UTC(2026, 9, 1);
const RULES = rulesChanged(
  `
  - { id: hour, per: account, count: recipients, window: 1h, limit: 30, then: block, for: 1h }
  - { id: site, per: domain, count: messages, window: 1d, limit: 300, then: propose, for: 1h }`,
  START,
  1,
);

/** A month of two accounts: office hours, and a newsletter on each Thursday. */
function month(): readonly PastEvent[] {
  const past: PastEvent[] = [];
  const add = (at: number, account: string, recipients: number): void => {
    const { data } = sent(at, past.length, { account, returnPath: account, recipients }) as RecordedEvent<
      string,
      MessageAccepted
    >;
    past.push({ id: `m${past.length}`, at, correlation: 'Q1', event: { type: 'MessageAccepted', data } });
  };
  for (let day = 0; day < 30; day++) {
    const morning = START + day * DAY + 8 * HOUR;
    for (let mail = 0; mail < 6; mail++)
      add(morning + mail * 50 * MINUTE, 'alice@example.com', 1 + (mail % 3));
    if (day % 7 === 0)
      for (let mail = 0; mail < 100; mail++) add(morning + 5 * HOUR + mail * 1000, 'news@example.com', 5);
  }
  return past;
}

/** What a server would have summarised that had been running then. */
function live(past: readonly PastEvent[]): readonly DaySummaryFact[] {
  const volume = new SendVolume();
  volume.apply(RULES);
  let position = 1;
  const facts: DaySummaryFact[] = [];
  let today = dayOf(START);
  for (const { at, event: each } of past) {
    while (today < dayOf(at)) {
      for (const fact of [...volume.profiles.due(++today)]) {
        facts.push(fact);
        volume.apply(event(fact.type, fact.data, today * DAY, ++position));
      }
    }
    volume.apply(event(each.type, each.data, at, ++position));
  }
  return facts;
}

const byDay = ({ data }: DaySummaryFact): string => `${data.subject.value} ${data.day}`;
const sorted = (facts: readonly DaySummaryFact[]): DaySummaryFact[] =>
  [...facts].sort((a, b) => (byDay(a) < byDay(b) ? -1 : 1));

describe('the days of imported history', () => {
  test('are summarised as if they had been seen', () => {
    const past = month();
    const days = new ImportedDaySummaries(RULES.data as RulesChanged);
    const facts = past.flatMap((each) => days.add(each));
    assert.deepEqual(sorted(facts), sorted(live(past)));
    const last = days.over(dayOf(past.at(-1)!.at) + 1);
    assert.deepEqual(last.map(byDay), [
      `alice@example.com ${dayOf(START) + 29}`,
      `example.com ${dayOf(START) + 29}`,
    ]);
    const thursday = facts.find(({ data }) => data.subject.value === 'news@example.com')!.data;
    assert.deepEqual(
      [thursday.messages, thursday.recipients, thursday.peaks['recipients/1h']],
      [100, 500, 500],
    );
  });

  test('are written once, and only those that are over', async () => {
    const past = month();
    // The last of these days has not ended yet.
    const now = past.at(-1)!.at + HOUR;
    const stored = new Map<string, NewEvent & { stream: string }>();
    const run = async (): Promise<Appender> => {
      const appender = new Appender({
        append: (stream, [each]) => {
          const duplicate = stored.has(each!.id);
          if (!duplicate) stored.set(each!.id, { ...each!, stream });
          return Promise.resolve({ revision: 0, position: stored.size, duplicate });
        },
      });
      const days = new ImportedDaySummaries(RULES.data as RulesChanged);
      const history = new History({ appender, days, source: 'postfix-log', now });
      for (const each of past) history.write(each);
      await history.finish();
      return appender;
    };
    const first = await run();
    const summaries = [...stored.values()].filter(({ type }) => type === 'SenderDaySummarised');
    assert.equal(first.added, past.length + summaries.length);
    assert.deepEqual(
      summaries.map(({ data }) => data as SenderDaySummarised).filter(({ day }) => day >= dayOf(now)),
      [],
    );
    assert.equal(summaries.length, 29 + 29 + 5, 'of two accounts and their domain');
    assert.ok(summaries.every(({ stream, by }) => stream.startsWith('profile-') && by === 'system:import'));
    const second = await run();
    assert.deepEqual([second.added, second.known], [0, first.added]);

    const log = { readAll: () => eachOf([...stored.values()]) };
    const known = await KnownIds.of(log);
    assert.equal(known.size, first.added);
    for (const id of stored.keys()) assert.ok(known.has(id));
    assert.equal(known.has('00000000-0000-5000-8000-000000000000'), false);
  });
});

async function* eachOf(events: readonly (NewEvent & { stream: string })[]): AsyncGenerator<RecordedEvent> {
  await Promise.resolve();
  yield event('MessageAccepted', {}, START, 1, { id: '00000000-0000-5000-8000-000000000000' });
  for (const [index, each] of events.entries())
    yield { ...each, revision: index, position: index + 2, recordedAt: each.at };
}
