import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ActiveBlocks } from '../../../projections/blocks/active-blocks.js';
import { BlockLedger } from '../../../projections/blocks/block-ledger.js';
import { Exemptions } from '../../../projections/blocks/exemptions.js';
import { PastBlocks } from '../../../projections/blocks/past-blocks.js';
import { AutomaticBlocks } from '../../../projections/blocks/rule-precision.js';
import type { WindowReading } from '../../../projections/volume/rule-evaluation.js';
import { undetected, unstopped } from '../../../projections/blocks/unstopped.js';
import type { BlockEvent, BlockFact, Evidence } from '../../../src/blocks/events.js';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import { pseudonymOf } from '../../../src/kernel/pseudonym.js';
import { HOUR, MINUTE } from '../../../src/kernel/time.js';
import type { Action, Rule } from '../../../src/rules/model.js';
import { parseRules } from '../../../src/rules/parse.js';
import type { Verdict } from '../../../src/rules/respond.js';
import { ALICE, T0, evidence } from '../../support/given.js';
import { blockEvent } from '../../support/sends.js';
import { dismissed, expired, imposedByRule, lapsed, proposed, released } from '../blocks/facts.js';

const RULES = parseRules(`version: 1
maxAutomaticBlocks: 2 in 10m
rules:
  - { id: burst, per: account, count: recipients, window: 1h, limit: 100, then: block, for: 1h }
  - { id: slow, per: account, count: recipients, window: 1h, limit: 50, then: propose, for: 1h }
`);
const rule = (then: Action): Rule => RULES.rules.find((each) => each.then === then)!;

type Event = readonly [at: number, fact: BlockFact];

/** What is known after these events. @param readings of each sender */
function known(events: readonly Event[], readings: readonly WindowReading[] = []) {
  const models = {
    ledger: new BlockLedger(),
    activeBlocks: new ActiveBlocks(),
    exemptions: new Exemptions(),
    automaticBlocks: new AutomaticBlocks(),
    pastBlocks: new PastBlocks(),
  };
  events.forEach(([at, fact], index) => {
    const event = { ...blockEvent(fact, at, index + 1), by: 'rule:burst@1' } as RecordedEvent & BlockEvent;
    for (const model of Object.values(models)) model.apply(event);
  });
  return { ...models, sendVolume: { rules: RULES, readings: () => readings } };
}

const observed = (at: number, action: Action, subject = ALICE, more: Partial<Evidence> = {}): Event => {
  const found = evidence({ rule: rule(action).id, window: HOUR, lastAt: at, ...more });
  return [at, { type: 'RuleObserved', data: { subject, action, evidence: found } }];
};

const verdict = (at: number, then: Action, observed = 101): Verdict => ({
  kind: 'act',
  rule: rule(then),
  mode: 'enforce',
  subject: ALICE,
  at,
  evidence: evidence({ observed, lastAt: at }),
});

/** Blocks of others, by rules. */
const blocks = (count: number, at: number): readonly Event[] =>
  Array.from({ length: count }, (_, n) => {
    const subject = { type: 'account', value: `user${n}@example.com` } as const;
    return [at, imposedByRule({ block: `o${n}`, subject })];
  });

const NOW = T0 + 10 * MINUTE;

describe('a sender that a proposal waits on', () => {
  const waiting: Event = [T0, proposed({ rule: 'slow' })];
  const withObserved = (...events: readonly Event[]): readonly (string | undefined)[] =>
    unstopped(known(events), [], NOW).map(({ rule: id }) => id);

  test('is named when it goes on where rules only observe, and would be blocked for that', () => {
    assert.deepEqual(withObserved(waiting, observed(T0 + MINUTE, 'block')), ['burst']);
  });
  test('is not named for what was before the proposal, or would be proposed again', () => {
    assert.deepEqual(withObserved(observed(T0 - MINUTE, 'block'), waiting), []);
    assert.deepEqual(withObserved(waiting, observed(T0 + MINUTE, 'propose')), []);
  });
  test('is named no less when the proposal lapses', () => {
    const lapsing: readonly Event[] = [
      waiting,
      observed(T0 + MINUTE, 'block'),
      observed(T0 + 2 * MINUTE, 'propose'),
      [T0 + 5 * MINUTE, lapsed(T0 + 5 * MINUTE)],
    ];
    assert.deepEqual(withObserved(...lapsing), ['burst']);
    assert.deepEqual(withObserved(...lapsing, observed(T0 + 6 * MINUTE, 'propose')), ['slow']);
  });
  test('is not named once a person has dismissed it, or blocked and released the sender, since', () => {
    const flood = observed(T0 + MINUTE, 'block');
    assert.deepEqual(withObserved(waiting, flood, [T0 + 5 * MINUTE, dismissed]), []);
    const block: Event = [T0 + 2 * MINUTE, imposedByRule({ block: 'p1' })];
    assert.deepEqual(withObserved(waiting, flood, block), []);
    const letGo: BlockFact = { type: 'BlockReleased', data: { block: 'p1', falsePositive: false } };
    assert.deepEqual(withObserved(waiting, flood, block, [T0 + 3 * MINUTE, letGo]), []);
  });

  const undetectedOf = (events: readonly Event[], ...verdicts: readonly Verdict[]): readonly string[] => {
    const models = known(events);
    const found = undetected(models, verdicts, NOW);
    assert.deepEqual(unstopped(models, verdicts, NOW), found);
    return found.map(({ rule: id, why }) => `${id} ${why}`);
  };
  test('is named while no detector acts, if a detector would block it', () => {
    assert.deepEqual(undetectedOf([waiting], verdict(T0 + MINUTE, 'block')), ['burst detector']);
    assert.deepEqual(undetectedOf([waiting], verdict(T0 - MINUTE, 'block')), []);
    assert.deepEqual(undetectedOf([waiting], verdict(T0 + MINUTE, 'propose')), []);
  });
  test('is not named where a detector has only proposed since the circuit breaker is open', () => {
    const open = [...blocks(2, T0), waiting];
    assert.deepEqual(undetectedOf(open, verdict(T0 + MINUTE, 'block')), []);
    // Senders far beyond their limit are blocked even then, and a breaker closes.
    assert.deepEqual(undetectedOf(open, verdict(T0 + MINUTE, 'block', 501)), ['burst detector']);
    const closed = [...blocks(2, T0 - 20 * MINUTE), waiting];
    assert.deepEqual(undetectedOf(closed, verdict(T0 + MINUTE, 'block')), ['burst detector']);
  });
});

test('a sender is named although a block, proposal or end of one is of mail of the other direction alone', () => {
  const named = (...events: readonly Event[]): readonly string[] =>
    unstopped(known(events), [], NOW).map(({ rule: id, why }) => `${id} ${why}`);
  const [flood, end] = [observed(T0, 'block'), T0 + 2 * MINUTE];
  const inbound: Event = [T0 + MINUTE, imposedByRule({ direction: 'inbound' })];
  assert.deepEqual(named(flood, inbound), ['burst direction']);
  assert.deepEqual(named(inbound, observed(end, 'propose')), ['slow direction']);
  assert.deepEqual(named(flood, inbound, [end, expired(end)]), ['burst observe']);
  assert.deepEqual(named(flood, inbound, [end, released()]), [], 'a person has decided');
  const both: Event = [end, { type: 'BlockExtended', data: { block: 'b1', until: null, direction: 'all' } }];
  assert.deepEqual(named(flood, inbound, both), []);
  const later: Event = [T0 + 3 * MINUTE, imposedByRule({ block: 'b2', direction: 'inbound' })];
  const before: Event = [T0 + MINUTE, imposedByRule()];
  assert.deepEqual(named(flood, before, [end, expired(end)], later), [], 'it was blocked since');
  const waiting: Event = [T0 + MINUTE, proposed({ direction: 'inbound' })];
  assert.deepEqual(named(observed(T0, 'propose'), waiting), ['slow observe']);
  const arriving: Event = [
    T0,
    {
      type: 'RuleObserved',
      data: { subject: ALICE, action: 'propose', direction: 'inbound', evidence: evidence({ window: HOUR }) },
    },
  ];
  assert.deepEqual(named(arriving, [T0 + MINUTE, imposedByRule()]), ['burst direction']);
  assert.deepEqual(named(arriving, inbound), []);

  const unanswered = (direction: 'inbound' | 'outbound'): number =>
    undetected(known([[T0, imposedByRule({ direction })]]), [verdict(T0 + MINUTE, 'block')], NOW).length;
  assert.deepEqual([unanswered('inbound'), unanswered('outbound')], [1, 0]);
});

test('a sender without a proposal is named until it is blocked, and what it does after a release is named again', () => {
  const flood = observed(T0, 'block');
  const block: Event = [T0 + MINUTE, imposedByRule()];
  const end: Event = [T0 + 2 * MINUTE, released()];
  const again = observed(T0 + 3 * MINUTE, 'block');
  const counts = [[flood], [flood, block], [flood, block, end], [flood, block, end, again]].map(
    (events) => unstopped(known(events), [], NOW).length,
  );
  assert.deepEqual(counts, [1, 0, 0, 1]);
});

test('a sender is named while the rules in force do not allow what it did', () => {
  const limited = (limit: number, more: object = {}): WindowReading => ({
    rule: 'burst',
    count: 'recipients',
    window: HOUR,
    direction: 'outbound',
    observed: 0,
    limit,
    besides: [],
    ...more,
  });
  const named = (event: Event, ...readings: readonly WindowReading[]): number =>
    unstopped(known([event], readings), [], NOW).length;
  const flood = observed(T0, 'block', ALICE, { observed: 500 });
  assert.equal(named(flood, limited(499)), 1);
  assert.equal(named(flood, limited(500)), 0, 'somebody has raised the limit since');
  assert.equal(named(flood, limited(500, { inWindow: 501 })), 1, 'it goes on');
  assert.equal(named(flood, limited(500, { rule: 'slow' })), 1, 'of another rule');
  assert.equal(named(flood), 1, 'the rule does not apply at this hour');
  const outbreak = { domain: 'example.com', accounts: 6, limit: 4, window: HOUR };
  assert.equal(named(flood, limited(500, { outbreak })), 1, 'the limit is of one account');
  assert.equal(named(observed(T0, 'block', ALICE, { rule: 'gone' })), 0, 'the rule is gone');

  const watched: Verdict = { ...verdict(T0, 'block', 500), mode: 'observe' };
  const unanswered = (limit: number): number => unstopped(known([], [limited(limit)]), [watched], NOW).length;
  assert.deepEqual([unanswered(499), unanswered(500)], [1, 0]);
});

test('somebody who is forgotten is not named', () => {
  const forgotten = { type: 'account', value: pseudonymOf('1a2b3c4d') } as const;
  assert.equal(unstopped(known([observed(T0, 'block', forgotten)]), [], T0 + MINUTE).length, 0);
});

test('a wide network is named although a network within it is blocked, unless a wider one is', () => {
  const ip = (value: string) => ({ type: 'ip', value }) as const;
  const guessing = observed(T0, 'block', ip('2001:db8:7::/48'));
  const named = (blocked: string): number => {
    const block = imposedByRule({ subject: ip(blocked), direction: 'all', until: null });
    return unstopped(known([guessing, [T0 - MINUTE, block]]), [], NOW).length;
  };
  assert.deepEqual(['2001:db8:7::/64', '2001:db8:7::', '2001:db8::/32'].map(named), [1, 1, 0]);
});

test('a wide network within one that is blocked is not named, however long its first networks are blocked besides', () => {
  const ip = (value: string) => ({ type: 'ip', value }) as const;
  const all = { direction: 'all' } as const;
  const named = (...besides: readonly string[]): number => {
    const blocks = besides.map((value, n): Event => {
      return [T0 - MINUTE, imposedByRule({ ...all, block: `n${n}`, subject: ip(value), until: null })];
    });
    const wide = imposedByRule({ ...all, block: 'wide', subject: ip('2001:db8::/32'), until: T0 + HOUR });
    const events: readonly Event[] = [[T0 - MINUTE, wide], ...blocks];
    return unstopped(known([...events, observed(T0, 'block', ip('2001:db8:7::/48'))]), [], NOW).length;
  };
  assert.equal(named('2001:db8:7::/64'), 0);
  assert.equal(named('2001:db8:7::/64', '2001:db8:7::'), 0);
});
