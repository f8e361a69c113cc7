import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { z } from 'zod';
import type { Act } from '../../../src/blocks/commands.js';
import type { Evidence } from '../../../src/blocks/events.js';
import { windowShape } from '../../../src/api/senders.js';
import { newId } from '../../../src/runtime/ids.js';
import { DAY, HOUR, formatInstant } from '../../../src/kernel/time.js';
import type { SenderDaySummarised } from '../../../src/sending/day-summary.js';
import { dayOf, profileStream } from '../../../src/sending/day-summary.js';
import { sendStream } from '../../../src/sending/events.js';
import { ApiServer } from '../../support/api/server.js';
import { sent } from '../../support/sends.js';

const NEWS = { type: 'account', value: 'news@example.com' } as const;
const RULES = `version: 1
learning: { days: 5, age: 7d, installation: 1h }
rules:
  - id: hour
    per: account
    count: messages
    window: 1h
    limit: { baseline: 2.5x, record: 2x, floor: 20, start: 40 }
    then: propose
    for: 2h
  - { id: wide, per: account, count: recipients, leaveOut: 2, window: 10m, limit: 40, then: propose, for: 2h }
  - id: first
    per: account
    count: recipients
    window: 24h
    limit: 9
    when: { learning: true }
    then: propose
    for: 2h
  - id: odd
    per: account
    count: messages
    window: 10m
    limit: 5
    when: { learning: false, distinct: { networks: 3 } }
    then: propose
    for: 2h
  - id: together
    per: domain
    count: accounts
    window: 30m
    limit: 3
    turned: { count: messages, window: 20m, limit: { baseline: 1x, floor: 2 }, alarm: 30m, after: 1m }
    then: propose
    for: 1h
`;

/** What one sender usually does, in fields that an answer may have. */
interface Shown {
  readonly usual: { readonly windows: readonly unknown[] } & Readonly<Record<string, unknown>>;
  readonly windows: readonly z.infer<typeof windowShape>[];
}

describe('what is usual, over HTTP', () => {
  let server: ApiServer;
  let today: number;
  before(async () => {
    server = await ApiServer.start();
    today = dayOf(server.clock.now());
    const rules = await server.call('PUT', '/api/v1/rules', { body: { source: RULES } });
    assert.equal(rules.status, 200, rules.text);
  });
  after(() => server.stop());

  /** A day so many days ago. */
  async function summarised(
    ago: number,
    peak: number,
    more: Partial<SenderDaySummarised> = {},
  ): Promise<void> {
    const data: SenderDaySummarised = {
      subject: NEWS,
      day: today - ago,
      messages: peak,
      recipients: 2 * peak,
      refusedRecipients: 1,
      bounces: 0,
      largest: 9,
      peaks: { 'messages/1h': peak },
      hours: 1 << 9,
      contained: [],
      networks: ['192.0.2.7'],
      ehlos: ['pc.example.com'],
      ...more,
    };
    const event = {
      id: newId(),
      type: 'SenderDaySummarised',
      data,
      at: server.clock.now(),
      by: 'system:test',
    };
    const { position } = await server.deps.store.append(profileStream(NEWS), [event], 'any');
    await server.deps.models.reached(position);
  }

  const shown = async (): Promise<Shown> =>
    (await server.get('/api/v1/senders/account/news@example.com')).json as unknown as Shown;
  const dateOf = (ago: number): string => new Date((today - ago) * DAY).toISOString().slice(0, 10);

  test('is null for a sender of which nothing is known', async () => {
    assert.equal((await shown()).usual, null);
    const { json } = await server.get('/api/v1/senders/ip/192.0.2.7');
    assert.equal((json as unknown as Shown).usual, null, 'a network has no baselines');
  });

  test('comes from the summaries of days, and limits follow it', async () => {
    for (const ago of [30, 23, 16, 9]) await summarised(ago, 100);
    await summarised(2, 300, { contained: ['a-block'] });
    const { usual, windows } = await shown();
    assert.deepEqual(usual, {
      known: true,
      firstDay: dateOf(30),
      lastDay: dateOf(2),
      weeks: 5,
      windows: [{ window: 'messages/1h', typical: 100, record: 100 }],
      largestMessage: { typical: 9, record: 9 },
      messages: 400,
      recipients: 800,
      refusedRecipients: 4,
      bounces: 0,
      hours: Array.from({ length: 24 }, (_, hour) => (hour === 9 ? 4 : 0)),
      networks: [{ name: '192.0.2.7', lastDay: dateOf(9) }],
      ehlos: [{ name: 'pc.example.com', lastDay: dateOf(9) }],
      countries: [],
      asns: [],
      placesKnown: [],
      containedDays: [dateOf(2)],
    });
    assert.equal(windows.find(({ rule }) => rule === 'hour')?.limit, 250);
    assert.equal(windows.find(({ rule }) => rule === 'wide')?.leaveOut, 2);
  });

  test('says which limits apply now, why others do not, and what they ask for besides', async () => {
    const told = async (account: string): Promise<unknown> => {
      const { json } = await server.get(`/api/v1/senders/account/${account}`);
      const { windows } = json as unknown as Shown;
      for (const each of windows) windowShape.strict().parse(each);
      return windows
        .map(({ rule, applies, reason, besides }) => [rule, applies, reason, besides])
        .filter(([rule]) => rule !== 'together');
    };
    assert.deepEqual(await told(NEWS.value), [
      ['hour', true, null, []],
      ['wide', true, null, []],
      ['first', false, 'asks for a sender that is still being learnt: it is known', []],
      ['odd', true, null, ['more than 3 different networks (0 now)']],
    ]);
    assert.deepEqual(await told('new@example.com'), [
      ['hour', true, null, []],
      ['wide', true, null, []],
      ['first', true, null, []],
      ['odd', false, 'asks for a sender that is known: it is still being learnt', []],
    ]);
  });

  test('says of an account and of its domain how many turn abnormal together', async () => {
    const { store, models, clock } = server.deps;
    server.clock.advance(HOUR);
    let last = 0;
    for (const account of ['a@example.com', 'b@example.com']) {
      const sender = { account, returnPath: account };
      const { type, data } = sent(clock.now(), 0, sender);
      const messages = Array.from({ length: 3 }, () => ({
        type,
        data,
        id: newId(),
        at: clock.now(),
        by: 'smtp:test',
      }));
      ({ position: last } = await store.append(sendStream(account), messages, 'any'));
    }
    await models.reached(last);
    const reading = async (path: string): Promise<unknown> => {
      const { windows } = (await server.get(path)).json as unknown as Shown;
      return windows.filter(({ rule }) => rule === 'together');
    };
    const common = {
      rule: 'together',
      sinceTrip: null,
      direction: 'outbound',
      applies: true,
      reason: null,
      besides: [],
    };
    const group = { domain: 'example.com', accounts: 2, limit: 3, window: '30m', alarmUntil: null };
    const besides = ['it is where it was on no day before, or sends more than twice as much'];
    const own = { count: 'messages', window: '20m', limit: 2, ...common, besides };
    const turnedAt = formatInstant(clock.now());
    const ofAccount = (value: string, observed: number, turned: string | null): object => ({
      subject: { type: 'account', value },
      ...own,
      observed,
      outbreak: { ...group, turnedAt: turned },
    });
    const ofDomain = {
      subject: { type: 'domain', value: 'example.com' },
      count: 'accounts',
      window: '30m',
      limit: 3,
      ...common,
      observed: 2,
      outbreak: { ...group, turnedAt: null },
    };
    assert.deepEqual(await reading('/api/v1/senders/account/a@example.com'), [
      ofAccount('a@example.com', 3, turnedAt),
    ]);
    assert.deepEqual(await reading('/api/v1/senders/domain/example.com'), [ofDomain]);
    assert.deepEqual(await reading('/api/v1/check?account=c@example.com'), [
      ofAccount('c@example.com', 0, null),
      ofDomain,
    ]);
  });

  test('is in the evidence that it made', async () => {
    const habit = { typical: 100, record: 100, weeks: 5, learnt: true };
    const last = (await server.deps.store.head()) + 1;
    const evidence: Evidence = {
      rule: 'hour',
      version: 2,
      count: 'messages',
      window: HOUR,
      limit: 250,
      observed: 251,
      firstPosition: last,
      lastPosition: last,
      lastAt: server.clock.now(),
      habit,
      signals: ['EHLO name win never seen before'],
      sentence: 'too many',
      accounts: ['ann@example.com', 'bob@example.net'],
    };
    const terms: Act['terms'] = {
      direction: 'outbound',
      description: '',
      refusal: 'soft',
      duration: HOUR,
      escalate: undefined,
      lapse: DAY,
      renewWhileTrying: false,
    };
    const id = newId();
    const act: Act = { kind: 'act', action: 'propose', subject: NEWS, terms, evidence, newId: id };
    const { position } = await server.deps.blockCommands.execute(NEWS, act, { by: 'rule:hour@2' });
    await server.deps.models.reached(position);
    const { json } = await server.get(`/api/v1/blocks/${id}`);
    const told = json.evidence as unknown as Evidence;
    assert.deepEqual([told.habit, told.signals, told.accounts], [habit, evidence.signals, evidence.accounts]);
  });
});
