import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { baselineOf } from '../../../projections/baselines/profile.js';
import { SendVolume } from '../../../projections/volume/send-volume.js';
import type { BlockExtended, BlockFact, BlockImposed } from '../../../src/blocks/events.js';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import { UNREADABLE } from '../../../src/kernel/events.js';
import { DAY, HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import type { Verdict } from '../../../src/rules/respond.js';
import { dayOf } from '../../../src/sending/day-summary.js';
import type { Direction, MailDirection, Subject } from '../../../src/sending/subjects.js';
import { ALICE, evidence } from '../../support/given.js';
import { blockEvent, event, failed, rulesChanged, sent } from '../../support/sends.js';
import { ended } from '../../support/steps.js';

const START = Date.UTC(2026, 0, 1);
const BURST =
  '  - { id: burst, per: account, count: recipients, window: 10m, limit: 10, then: block, for: 1h }';

/** Folds events one after another: positions rise by one from 2, after the rules at position 1. */
class Stage {
  readonly volume = new SendVolume();
  position = 1;
  constructor(rules: string) {
    this.volume.apply(rulesChanged(rules, START, 1));
  }
  fold(make: (position: number) => RecordedEvent): readonly Verdict[] {
    return this.volume.apply(make(++this.position));
  }
  send(at: number, more: Parameters<typeof sent>[2] = {}, envelope = {}): readonly Verdict[] {
    return this.fold((position) => sent(at, position, more, envelope));
  }
  block(at: number, fact: BlockFact): void {
    assert.deepEqual(
      this.fold((position) => blockEvent(fact, at, position)),
      [],
    );
  }
  observed(subject: Subject, now: number): readonly number[] {
    return this.volume.readings(subject, now).map(({ observed }) => observed);
  }
  limits(subject: Subject, now: number): readonly number[] {
    return this.volume.readings(subject, now).map(({ limit }) => limit);
  }
}

const imposed = (block: string, subject: Subject): Extract<BlockFact, { type: 'BlockImposed' }> => ({
  type: 'BlockImposed',
  data: {
    block,
    subject,
    direction: 'outbound',
    description: '',
    refusal: 'soft',
    until: START + DAY,
    origin: 'rule',
    rule: 'burst',
    renewWhileTrying: false,
  },
});
/** The same block, by the rule's evidence. */
function imposedBy(more: Partial<BlockImposed> & Pick<BlockImposed, 'block' | 'subject'>): BlockFact {
  const { type, data } = imposed(more.block, more.subject);
  return { type, data: { ...data, evidence: evidence({ lastAt: START }), ...more } };
}
const expired = (block: string, dueAt: number): BlockFact => ({
  type: 'BlockExpired',
  data: { block, dueAt },
});
const released = (block: string): BlockFact => ({
  type: 'BlockReleased',
  data: { block, falsePositive: false },
});

describe('a verdict', () => {
  test('comes with the send that exceeds the limit, and says why', () => {
    const stage = new Stage(BURST);
    for (let count = 1; count <= 10; count++) assert.deepEqual(stage.send(START + count * SECOND), []);
    const [verdict, ...more] = stage.send(START + 11 * SECOND);
    assert.deepEqual(more, []);
    assert.deepEqual(verdict!.subject, ALICE);
    assert.deepEqual([verdict!.kind, verdict!.mode, verdict!.at], ['act', 'enforce', START + 11 * SECOND]);
    assert.deepEqual(verdict!.evidence, {
      rule: 'burst',
      version: 1,
      count: 'recipients',
      window: 10 * MINUTE,
      limit: 10,
      observed: 11,
      firstPosition: 2,
      lastPosition: 12,
      lastAt: START + 11 * SECOND,
      sentence: 'Account alice@example.com: 11 recipients within 10m; rule "burst" allows 10.',
    });
  });

  test('uses its evidence once: the rule counts from zero after it', () => {
    const stage = new Stage(BURST);
    assert.equal(stage.send(START, { recipients: 11 }).length, 1);
    assert.equal(stage.send(START + 10 * SECOND, { recipients: 10 }).length, 0);
    const [again] = stage.send(START + 20 * SECOND);
    assert.equal(again?.evidence.observed, 11);
    assert.ok(again.evidence.firstPosition > 1);
  });

  test('uses it once also where sends come out of order', () => {
    const stage = new Stage(BURST);
    assert.equal(stage.send(START + 5 * MINUTE, { recipients: 10 }).length, 0);
    assert.equal(stage.send(START + MINUTE).length, 1);
    assert.equal(stage.send(START + 6 * MINUTE).length, 0, 'the ten of minute 5 were evidence already');
  });

  test('names no position after the first send that counted, also out of order', () => {
    const stage = new Stage(BURST);
    stage.send(START + 20 * MINUTE);
    stage.send(START + 40 * MINUTE, { account: 'bob@example.com' });
    stage.send(START + 35 * MINUTE, { recipients: 5 }); // position 4
    stage.send(START + 39 * MINUTE, { recipients: 5 });
    const [verdict] = stage.send(START + 44 * MINUTE, { recipients: 1 });
    const { firstPosition, lastPosition } = verdict!.evidence;
    assert.ok(firstPosition <= 4 && firstPosition >= 2, String(firstPosition));
    assert.equal(lastPosition, 6);
  });

  test('follows the store’s clock if the sender’s is more than five minutes off', () => {
    const stage = new Stage(BURST);
    stage.send(START + DAY, { recipients: 9 }, { recordedAt: START });
    stage.send(START, { recipients: 1 }, { recordedAt: START + 9 * MINUTE });
    assert.deepEqual(stage.observed(ALICE, START + 10 * MINUTE), [10]);
  });
});

describe('the subjects that are counted', () => {
  const PER = (['account', 'address', 'domain', 'ehlo', 'ip'] as const)
    .map(
      (per) =>
        `  - { id: ${per}, per: ${per}, count: messages, window: 1h, limit: 99, then: observe, direction: all }`,
    )
    .join('\n');
  const counted = (more: Parameters<typeof sent>[2]): Record<string, string> => {
    const stage = new Stage(PER);
    stage.send(START, more);
    const found: Record<string, string> = {};
    for (const type of ['account', 'address', 'domain', 'ehlo', 'ip'] as const) {
      const [top, ...others] = ended(stage.volume.busiest(type, 'messages', 5, START));
      assert.deepEqual(others, []);
      if (top !== undefined) found[type] = top.value;
    }
    return found;
  };

  test('further recipients of a message, and no other message', () => {
    const stage = new Stage(
      ['messages', 'recipients']
        .map(
          (count) =>
            `  - { id: ${count}, per: account, count: ${count}, window: 10m, limit: 100, then: block, for: 1h }`,
        )
        .join('\n'),
    );
    stage.send(START, { recipients: 1 });
    const [verdict] = stage.send(START + MINUTE, { recipients: 119, size: 0, further: true });
    assert.equal(verdict?.rule.id, 'recipients');
    assert.equal(verdict.evidence.observed, 120);
    const [observed] = stage.observed({ type: 'account', value: 'alice@example.com' }, START + MINUTE);
    assert.equal(observed, 1);
  });

  test('every sender identity of a message, in normal form', () => {
    assert.deepEqual(
      counted({ account: 'Alice@Example.COM', returnPath: 'Alice+x@EXAMPLE.com.', ehlo: 'PC.example.com.' }),
      {
        account: 'alice@example.com',
        address: 'alice@example.com',
        domain: 'example.com',
        ehlo: 'pc.example.com',
        ip: '192.0.2.7',
      },
    );
  });
  test('not a return path, nor its domain, that the account may not speak for', () => {
    const strangers = { returnPath: 'victim@victim.example', entitled: false };
    assert.deepEqual(counted({ ...strangers, ehlo: '', ip: 'x' }), {
      account: 'alice@example.com',
      domain: 'example.com',
      ip: 'x',
    });
    assert.deepEqual(counted({ ...strangers, account: 'alice', ehlo: '', ip: 'x' }), {
      account: 'alice',
      ip: 'x',
    });
  });
  test('not the login of another account as a return path, no matter who reports that it may use it', () => {
    const stage = new Stage(PER);
    const bob = { account: 'bob@example.com', returnPath: 'bob@example.com' };
    stage.send(START, bob);
    stage.send(START, { ...bob, account: 'alice@example.com', returnPath: 'Bob+x@example.com' });
    stage.send(START, { account: 'alice@example.com', returnPath: 'list@example.com' });
    const observed = (value: string): number | undefined =>
      stage.observed({ type: 'address', value }, START)[0];
    assert.deepEqual([observed('bob@example.com'), observed('list@example.com')], [1, 1]);
  });
  describe('a return path that a proposal was about, and that never was a login:', () => {
    const info: Subject = { type: 'address', value: 'info@example.com' };
    const PATH =
      '  - { id: path, per: address, count: messages, window: 1h, limit: 5, then: propose, for: 1h }';
    const path = evidence({ rule: 'path', count: 'messages', lastAt: START });
    const { until: _until, origin: _origin, ...terms } = imposed('p1', info).data;
    const waits = { duration: HOUR, lapsesAt: START + HOUR, rule: 'path', evidence: path };
    const proposalOf = (direction: Direction): BlockFact => ({
      type: 'BlockProposed',
      data: { ...terms, ...waits, direction },
    });
    const proposal = proposalOf('all');
    const dismissed = (falsePositive: boolean): BlockFact => ({
      type: 'ProposalDismissed',
      data: { block: 'p1', falsePositive, evidence: path },
    });
    const ends: Readonly<Record<string, BlockFact>> = {
      'has lapsed': { type: 'ProposalLapsed', data: { block: 'p1' } },
      'is dismissed': dismissed(false),
      'is a block of arriving mail': imposedBy({ block: 'p1', subject: info, direction: 'inbound' }),
      'is a block of both directions': imposedBy({ block: 'p1', subject: info, direction: 'all' }),
    };
    const all = { ...ends, waits: undefined, 'is dismissed as a false positive': dismissed(true) };
    for (const [end, fact] of Object.entries(all)) {
      test(`a login that sends under it counts for it when the proposal ${end}`, () => {
        const stage = new Stage(PATH);
        stage.block(START, proposal);
        if (fact !== undefined) stage.block(START + SECOND, fact);
        for (let count = 1; count <= 5; count++)
          stage.send(START + 2 * HOUR, { account: 'zoe@example.com', returnPath: info.value });
        assert.deepEqual(stage.observed(info, START + 2 * HOUR), [5]);
        assert.equal(stage.volume.profiles.knows('account', info.value), false);
      });
    }
    for (const [end, fact] of Object.entries(ends)) {
      test(`its profile is gone when the proposal ${end}, or when a block of arriving mail in its place has ended`, () => {
        const stage = new Stage(PATH);
        stage.block(START, proposal);
        assert.equal(stage.volume.profiles.sizes.profiles, 1);
        stage.block(START + SECOND, fact);
        if (end === 'is a block of arriving mail') {
          assert.equal(stage.volume.profiles.sizes.profiles, 1);
          stage.block(START + MINUTE, expired('p1', START + MINUTE));
        }
        assert.equal(stage.volume.profiles.sizes.profiles, 0);
      });
    }
    test('it has no profile while a proposal on arriving mail alone waits, until that is about sent mail too', () => {
      const stage = new Stage(PATH);
      const { profiles } = stage.volume;
      stage.block(START, proposalOf('inbound'));
      assert.equal(profiles.sizes.profiles, 0);
      stage.block(START, proposal);
      assert.deepEqual(profiles.profile('account', info.value, dayOf(START)).tail?.proposals, ['p1']);
    });
  });
  test('an IPv6 client by its /64, an IPv4 one behind a dual-stack listener by its address', () => {
    assert.equal(counted({ ip: '2001:db8:0:1:2:3:4:5' })['ip'], '2001:db8:0:1::/64');
    assert.equal(counted({ ip: '::ffff:192.0.2.7' })['ip'], '192.0.2.7');
    assert.equal(counted({ ip: '::ffff:c000:207' })['ip'], '192.0.2.7');
  });
  test('a sender that nobody authenticated, by return path and its domain', () => {
    const data = {
      direction: 'inbound',
      returnPath: 'bob@b.example',
      ip: '192.0.2.9',
      recipients: 1,
      size: 1,
    };
    const stage = new Stage(PER);
    stage.fold((position) => event('MessageAccepted', { ...data, entitled: false }, START, position));
    assert.deepEqual(stage.volume.sizes(), { account: 0, address: 1, domain: 1, ehlo: 0, ip: 1 });
  });

  test('mail that arrives for itself alone, under any name', () => {
    for (const [per, value] of [
      ['address', ALICE.value],
      ['domain', 'example.com'],
      ['ehlo', 'pc.example.com'],
      ['ip', '192.0.2.7'],
    ] as const) {
      const stage = new Stage(
        `  - { id: r, per: ${per}, count: messages, window: 1h, limit: 3, direction: all, then: block, for: 1h }`,
      );
      const who = { returnPath: ALICE.value, ehlo: 'pc.example.com', ip: '192.0.2.7' };
      const forged = { ...who, direction: 'inbound', recipients: 1, size: 1, entitled: true };
      const trips = (times: number, data: object): readonly string[] =>
        Array.from({ length: times }).flatMap(() =>
          stage
            .fold((position) => event('MessageAccepted', data, START, position))
            .map(({ rule, subject }) => `${rule.direction} ${subject.value}`),
        );
      const own = { ...forged, direction: 'outbound', account: ALICE.value };
      assert.deepEqual(trips(3, own), [], per);
      assert.deepEqual(trips(4, forged), [`inbound ${value}`], per);
      assert.deepEqual(trips(1, own), [`all ${value}`], `${per}: her own fourth, and not before`);
      assert.deepEqual(
        stage.volume.readings({ type: per, value }, START).map(({ direction }) => direction),
        ['outbound', 'inbound'],
      );
    }
  });

  test('bounces, which anybody may send to anybody, for proposals alone', () => {
    for (const rule of [
      'count: bounces, limit: 1',
      'count: messages, limit: 1, when: { share: { of: bounces, above: 0.1, least: 1 } }',
      'count: messages, limit: 1, score: { threshold: 1, signals: [{ points: 1, share: { of: bounces, above: 0.1, least: 1 } }] }',
    ]) {
      const stage = new Stage(`  - { id: b, per: account, ${rule}, window: 1h, then: block, for: 1h }`);
      const bounce = { address: ALICE.value, ip: '192.0.2.1' };
      const verdicts = [1, 2].flatMap(() => [
        ...stage.fold((position) => event('BounceReceived', bounce, START, position)),
        ...stage.send(START),
      ]);
      assert.deepEqual(
        verdicts.map(({ rule: { then } }) => then),
        ['propose'],
        rule,
      );
    }
  });

  test('bounces at the address they return to; failed logins at the network, feigned ones nowhere', () => {
    const stage = new Stage(`  - { id: b, per: account, count: bounces, window: 1h, limit: 1, then: observe }
  - { id: g, per: ip, count: authFailures, window: 1h, limit: 10, then: observe }`);
    const bounce = { address: 'Alice+news@example.com', ip: '192.0.2.1' };
    assert.equal(stage.fold((position) => event('BounceReceived', bounce, START, position)).length, 0);
    assert.equal(stage.fold((position) => event('BounceReceived', bounce, START, position)).length, 1);
    assert.equal(stage.fold((position) => failed(START, position, { count: 11, kind: 'feigned' })).length, 0);
    assert.equal(stage.fold((position) => failed(START, position, { count: 10 })).length, 0);
    assert.equal(stage.fold((position) => failed(START, position)).length, 1);
  });

  const GUESSING = '  - { id: g, per: ip, count: authFailures, window: 1h, limit: 60, then: block, for: 1h }';
  const guess = (stage: Stage, network: string, count: number): readonly string[] =>
    stage
      .fold((position) => failed(START, position, { network, count }))
      .map(({ subject: { value } }) => value);
  const siteOf = (index: number): string => `2001:db8:7:${(index << 8).toString(16)}::/64`;

  test('few wrong passwords from each of many networks of a site are those of the /56 and of the /48', () => {
    const narrow = new Stage(GUESSING);
    const within = Array.from({ length: 13 }, (_, index) => `2001:db8:7:7${index.toString(16)}::/64`);
    assert.deepEqual(
      within.flatMap((network) => guess(narrow, network, 10)),
      ['2001:db8:7::/56'],
    );
    const told = new Stage(GUESSING);
    const [verdict] = within.flatMap((network) =>
      told.fold((position) => failed(START, position, { network, count: 10 })),
    );
    assert.match(verdict!.evidence.sentence, /130 failed logins within 1h; rule "g" allows 120\.$/);
    const wide = new Stage(GUESSING);
    const across = Array.from({ length: 25 }, (_, index) => siteOf(index));
    assert.deepEqual(
      across.flatMap((network) => guess(wide, network, 10)),
      ['2001:db8:7::/48'],
    );
  });

  test('a network of a site is shown with the limits at which it trips', () => {
    const stage = new Stage(GUESSING);
    const limitsOf = (value: string): readonly number[] =>
      stage.volume.readings({ type: 'ip', value }, START).map(({ limit }) => limit);
    const networks = ['2001:db8:7::/64', '2001:db8:7::/56', '2001:db8:7::/48', '192.0.2.1'];
    assert.deepEqual(networks.map(limitsOf), [[60], [120], [240], [60]]);
  });

  test('many wrong passwords from one network, or from IPv4, are held against no neighbour', () => {
    const stage = new Stage(GUESSING);
    const tripped = Array.from({ length: 500 }, () => guess(stage, siteOf(1), 1)).flat();
    assert.deepEqual(new Set(tripped), new Set([siteOf(1)]));
    const ipv4 = Array.from({ length: 100 }, (_, index) => guess(stage, `192.0.2.${index}`, 10)).flat();
    assert.deepEqual(ipv4, []);
  });

  test('wrong passwords from all networks of a /56 are held against no other of its /48', () => {
    const stage = new Stage(GUESSING);
    const household = Array.from(
      { length: 256 },
      (_, index) => `2001:db8:7:${(0x700 + index).toString(16)}::/64`,
    );
    const tripped = household.flatMap((network) => guess(stage, network, 20));
    assert.deepEqual(new Set(tripped), new Set(['2001:db8:7:700::/56']));
  });

  test('our own refusals are no volume, and attempts only for a rule that renews', () => {
    const refusal = (block: string) => (position: number) =>
      event(
        'MessageRefused',
        { ...ALICE, block, direction: 'outbound', stage: 'rcpt', count: 50, reply: '4' },
        START,
        position,
      );
    const stage = new Stage(
      `${BURST}\n${BURST.replace('burst', 'hold').replace('for: 1h', 'for: 1h, renewWhileTrying: true')}`,
    );
    stage.block(START, imposed('b1', ALICE));
    const verdicts = stage.fold(refusal('b1'));
    assert.deepEqual(
      verdicts.map(({ kind, rule }) => [kind, rule.id]),
      [['renew', 'hold']],
    );
    assert.match(verdicts[0]!.evidence.sentence, /50 refused attempts within 10m/);
    assert.equal(verdicts[0]!.evidence.attempts, true);
    assert.deepEqual(stage.fold(refusal('unknown')), []);
    assert.deepEqual(stage.observed(ALICE, START), [0, 0]);
  });

  test('a damaged number counts for nothing', () => {
    const stage = new Stage(BURST);
    for (const recipients of [NaN, -5, undefined, null, 'many'] as never[]) stage.send(START, { recipients });
    assert.deepEqual(stage.observed(ALICE, START), [0]);
    assert.equal(stage.send(START, { recipients: 11 }).length, 1);
  });

  test('the direction of the rule decides which mail counts', () => {
    const stage = new Stage(
      BURST.replace('per: account', 'per: address').replace('then:', 'direction: inbound, then:'),
    );
    const inbound = { direction: 'inbound', recipients: 11 } as const;
    assert.equal(stage.send(START, { recipients: 11 }).length, 0);
    assert.equal(
      stage.fold((position) => {
        const { account: _, ...data } = sent(START, position, inbound).data as Record<string, unknown>;
        return event('MessageAccepted', data, START, position);
      }).length,
      1,
    );
  });
});

describe('a release', () => {
  const RULES = `${BURST}
  - { id: domain, per: domain, count: recipients, window: 1h, limit: 20, then: propose, for: 1h }`;

  test('empties the windows, triples the limits for an hour, and judges what came before', () => {
    const stage = new Stage(RULES);
    assert.equal(stage.send(START, { recipients: 11 }).length, 1);
    stage.block(START + SECOND, imposed('b1', ALICE));
    stage.block(START + 2 * SECOND, released('b1'));
    const judged = stage.position;
    assert.deepEqual(stage.observed(ALICE, START + 3 * SECOND), [0]);
    assert.deepEqual(stage.limits(ALICE, START + HOUR), [30]);
    assert.deepEqual(stage.limits(ALICE, START + 2 * SECOND + HOUR - 1), [30]);
    assert.deepEqual(stage.limits(ALICE, START + 2 * SECOND + HOUR), [10]);
    assert.equal(
      stage.send(START + 3 * SECOND, { recipients: 30 }).filter(({ rule }) => rule.id === 'burst').length,
      0,
    );
    const [verdict] = stage.send(START + 4 * SECOND);
    assert.equal(verdict?.evidence.limit, 30);
    assert.match(verdict.evidence.sentence, /allows 30, its 10 tripled for the hour after a release/);
    assert.ok(verdict.evidence.firstPosition > judged);
  });

  test('triples nothing once a clock that was ahead has been put right', () => {
    const stage = new Stage(RULES);
    stage.block(START + 365 * DAY, imposed('b1', ALICE));
    stage.block(START + 365 * DAY, released('b1'));
    assert.deepEqual(stage.limits(ALICE, START + 365 * DAY + MINUTE), [30]);
    assert.deepEqual(stage.limits(ALICE, START), [10]);
  });

  test('takes the account’s sends out of its domain’s window, and leaves the others’', () => {
    const stage = new Stage(RULES);
    const domain: Subject = { type: 'domain', value: 'example.com' };
    stage.send(START, { recipients: 11 });
    stage.send(START, { recipients: 5, account: 'bob@example.com' });
    assert.deepEqual(stage.observed(domain, START), [16]);
    stage.block(START, imposed('b1', ALICE));
    stage.block(START, released('b1'));
    assert.deepEqual(stage.observed(domain, START), [5]);
    assert.deepEqual(stage.limits(domain, START), [20], 'the domain itself has no grace');
  });

  test('does so also if the two windows have cells of different widths', () => {
    const stage = new Stage(`${RULES}
  - { id: wide, per: account, count: recipients, window: 1h, limit: 100000, then: observe }`);
    stage.send(START, { recipients: 11 });
    stage.block(START, imposed('b1', ALICE));
    stage.block(START, released('b1'));
    assert.deepEqual(stage.observed({ type: 'domain', value: 'example.com' }, START), [0]);
  });

  test('is minded by rules with longer windows that come into force later', () => {
    const stage = new Stage(BURST);
    stage.send(START, { recipients: 11 });
    stage.block(START, imposed('b1', ALICE));
    stage.block(START, released('b1'));
    const judged = stage.position;
    const bob: Subject = { type: 'account', value: 'bob@example.com' };
    stage.block(START + 2 * HOUR, imposed('b2', bob));
    stage.block(START + 2 * HOUR, released('b2'));
    stage.fold((position) => rulesChanged(BURST.replace('10m', '24h'), START + 2 * HOUR, position, 2));
    const [verdict] = stage.send(START + 3 * HOUR, { recipients: 11 });
    assert.ok(verdict!.evidence.firstPosition > judged, 'else it would be taken for evidence judged already');
  });

  test('a dismissal does the same', () => {
    const stage = new Stage(RULES);
    stage.send(START, { recipients: 9 });
    const waits = { duration: HOUR, lapsesAt: START + HOUR, rule: 'burst', evidence: evidence() };
    const data = { ...imposed('p1', ALICE).data, ...waits };
    stage.fold((position) => event('BlockProposed', data, START, position));
    stage.block(START, { type: 'ProposalDismissed', data: { block: 'p1' } });
    assert.deepEqual(stage.observed(ALICE, START), [0]);
  });
});

describe('a block or proposal that ends by itself', () => {
  /** Its buckets are 24 minutes long. */
  const DAILY =
    '  - { id: daily, per: account, count: messages, window: 24h, limit: 5, then: block, for: 1m }';

  /** After six messages, a block by the rule and its end a minute later. */
  function over(rules: string, more: { recipients?: number } = {}): Stage {
    const stage = new Stage(rules);
    for (let count = 1; count <= 5; count++) stage.send(START + count * SECOND, more);
    assert.equal(stage.send(START + 6 * SECOND, more).length, 1);
    const { type, data } = imposed('b1', ALICE);
    stage.block(START + 6 * SECOND, { type, data: { ...data, evidence: evidence() } });
    for (let count = 0; count < 9; count++)
      assert.deepEqual(stage.send(START + 30 * SECOND, more), [], 'the block is on all of it');
    stage.block(START + MINUTE, { type: 'BlockExpired', data: { block: 'b1', dueAt: START + MINUTE } });
    return stage;
  }

  test('has all that comes next count at once, and nothing of before', () => {
    const stage = over(DAILY);
    for (let count = 1; count <= 5; count++) assert.deepEqual(stage.send(START + 61 * SECOND), []);
    assert.deepEqual(stage.observed(ALICE, START + 62 * SECOND), [5]);
    const [verdict] = stage.send(START + 62 * SECOND);
    assert.equal(verdict?.evidence.observed, 6);
    assert.deepEqual(stage.send(START + 63 * SECOND), [], 'that is used up too');
  });

  test('has it count in the buckets that follow too, until the window has moved on', () => {
    const stage = over(DAILY);
    for (let count = 1; count <= 3; count++) stage.send(START + 61 * SECOND);
    stage.send(START + HOUR);
    assert.deepEqual(stage.observed(ALICE, START + HOUR), [4]);
    assert.deepEqual(stage.observed(ALICE, START + DAY + 30 * MINUTE), [1]);
  });

  test('leaves out the largest messages of that bucket, whenever they came', () => {
    const rule = DAILY.replace('messages', 'recipients').replace('limit: 5', 'limit: 40, leaveOut: 1');
    const stage = over(rule, { recipients: 10 });
    for (let count = 1; count <= 7; count++) stage.send(START + 61 * SECOND, { recipients: 6 });
    assert.deepEqual(
      stage.observed(ALICE, START + 62 * SECOND),
      [32],
      '42 without the 10 of a message of before',
    );
  });

  test('is minded after a restart from a snapshot', () => {
    const stage = over(DAILY);
    stage.send(START + 61 * SECOND);
    const other = new SendVolume();
    other.restore(stage.volume.dump());
    const [reading] = other.readings(ALICE, START + 62 * SECOND);
    assert.equal(reading!.observed, 1);
  });

  test('goes on counting over a change of rules', () => {
    const stage = over(DAILY);
    for (let count = 1; count <= 5; count++) stage.send(START + 61 * SECOND);
    stage.fold((position) => rulesChanged(DAILY, START + 62 * SECOND, position, 2));
    assert.deepEqual(stage.observed(ALICE, START + 62 * SECOND), [5]);
    assert.equal(stage.send(START + 63 * SECOND).length, 1);
  });

  test('leaves its evidence used when the rule comes to count otherwise, at the second change of rules too', () => {
    const flood =
      '  - { id: flood, per: account, count: messages, window: 10m, limit: 5, then: block, for: 1m }';
    const rules = (rule: string, limit: number): string =>
      `${rule}\n  - { id: other, per: account, count: messages, window: 24h, limit: ${limit}, then: observe }
  - { id: wide, per: account, count: recipients, window: 10m, limit: 5000, then: observe }`;
    const others = {
      window: flood.replace('window: 10m', 'window: 24h'),
      count: flood.replace('messages', 'recipients').replace('limit: 5', 'limit: 30'),
    };
    for (const [what, other] of Object.entries(others)) {
      const stage = new Stage(rules(flood, 1000));
      for (let count = 1; count <= 6; count++) stage.send(START + count * 15 * SECOND, { recipients: 9 });
      const end = START + 3 * MINUTE;
      stage.block(START + 91 * SECOND, imposedBy({ block: 'b1', subject: ALICE }));
      stage.block(end, expired('b1', end));
      stage.fold((position) => rulesChanged(rules(flood, 1200), START + 4 * MINUTE, position, 2));
      stage.fold((position) => rulesChanged(rules(other, 1200), START + 5 * MINUTE, position, 3));
      const [observed] = stage.observed(ALICE, START + 5 * MINUTE);
      assert.equal(observed, 0, what);
      assert.deepEqual(stage.send(START + 6 * MINUTE), [], what);
    }
  });

  test('leaves nothing in its domain’s count of an account that has sent since, and is released', () => {
    const rules = DAILY.replace('account', 'domain').replace('limit: 5', 'limit: 30');
    const stage = new Stage(rules + BURST.replace('  -', '\n  -').replace('limit: 10', 'limit: 1000'));
    const domain: Subject = { type: 'domain', value: 'example.com' };
    for (let count = 1; count <= 31; count++) stage.send(START + SECOND, { account: 'bob@example.com' });
    stage.block(START + 2 * SECOND, imposedBy({ block: 'd1', subject: domain }));
    stage.block(START + MINUTE, expired('d1', START + MINUTE));
    for (let count = 1; count <= 21; count++) stage.send(START + 61 * SECOND);
    stage.block(START + 62 * SECOND, imposed('a1', ALICE));
    assert.deepEqual(stage.observed(domain, START + 62 * SECOND), [21]);
    stage.block(START + 63 * SECOND, released('a1'));
    assert.deepEqual(stage.observed(domain, START + 63 * SECOND), [0]);
  });

  test('counts at once also where a colleague’s mail leaves the window', () => {
    const rules = DAILY.replace('account', 'domain').replace('limit: 5', 'limit: 50');
    const stage = new Stage(rules + BURST.replace('  -', '\n  -').replace('limit: 10', 'limit: 1000'));
    const domain: Subject = { type: 'domain', value: 'example.com' };
    const bob = { account: 'bob@example.com', returnPath: 'bob@example.com' };
    for (let count = 1; count <= 45; count++) stage.send(START + SECOND);
    for (let count = 1; count <= 6; count++) stage.send(START + 2 * SECOND, bob);
    const { type, data } = imposed('d1', domain);
    stage.block(START + 2 * SECOND, { type, data: { ...data, evidence: evidence() } });
    stage.block(START + MINUTE, { type: 'BlockExpired', data: { block: 'd1', dueAt: START + MINUTE } });
    stage.block(START + MINUTE, imposed('a1', ALICE));
    stage.block(START + MINUTE, released('a1'));
    stage.send(START + 61 * SECOND, bob);
    assert.deepEqual(stage.observed(domain, START + 61 * SECOND), [1]);
  });

  test('has the sender of a lapsed proposal count again too', () => {
    const stage = new Stage(DAILY.replace('block', 'propose'));
    const waits = { duration: HOUR, lapsesAt: START + HOUR, rule: 'daily', evidence: evidence() };
    const data = { ...imposed('p1', ALICE).data, ...waits };
    for (let count = 1; count <= 6; count++) stage.send(START + count * SECOND);
    stage.fold((position) => event('BlockProposed', data, START, position));
    stage.block(START + MINUTE, { type: 'ProposalLapsed', data: { block: 'p1' } });
    for (let count = 1; count <= 5; count++) assert.deepEqual(stage.send(START + 61 * SECOND), []);
    assert.equal(stage.send(START + 61 * SECOND).length, 1);
  });
});

test('a block of arriving mail uses up no evidence of rules on mail that is sent', () => {
  const stage = new Stage(BURST.replace('account', 'address'));
  const address = { ...ALICE, type: 'address' } as const;
  stage.send(START, { recipients: 8 });
  const { type, data } = imposed('b1', address);
  stage.block(START + SECOND, { type, data: { ...data, direction: 'inbound', evidence: evidence() } });
  assert.deepEqual(stage.observed(address, START + SECOND), [8]);
  stage.block(START + 2 * SECOND, { type, data: { ...data, block: 'b2', evidence: evidence() } });
  assert.deepEqual(stage.observed(address, START + 2 * SECOND), [0]);
});

describe('a block of arriving mail that the sender’s own mail makes one of both', () => {
  const address: Subject = { ...ALICE, type: 'address' };
  const RULES = `  - { id: in, per: address, direction: inbound, count: messages, window: 24h, limit: 10, then: block, for: 24h }
  - { id: hour, per: address, count: messages, window: 1h, limit: 20, then: block, for: 1m }
  - { id: day, per: address, count: messages, window: 24h, limit: 25, then: block, for: 24h }`;
  const inbound = { account: undefined, direction: 'inbound' } as const;
  const extended = (more: Partial<BlockExtended>): BlockFact => {
    const data = { block: 'b1', until: START + DAY, direction: 'all', ...more } as const;
    return { type: 'BlockExtended', data };
  };

  /** A block of one direction, made before there was anything else. */
  function blocked(direction: MailDirection): Stage {
    const stage = new Stage(RULES);
    stage.block(START, imposedBy({ block: 'b1', subject: address, direction, rule: 'in' }));
    for (let count = 1; count <= 6; count++) stage.send(START + SECOND, inbound);
    for (let count = 1; count <= 21; count++) stage.send(START + SECOND);
    return stage;
  }
  const own = evidence({ rule: 'hour', lastAt: START + SECOND });

  test('uses up the evidence of all rules on what it now stops too, and has what comes after it count', () => {
    const stage = blocked('inbound');
    stage.block(START + 2 * SECOND, extended({ evidence: own }));
    assert.deepEqual(stage.observed(address, START + 2 * SECOND), [6, 0, 0]);
    stage.block(START + MINUTE, expired('b1', START + MINUTE));
    for (let count = 1; count <= 5; count++) assert.deepEqual(stage.send(START + 61 * SECOND), []);
    assert.deepEqual(stage.observed(address, START + 61 * SECOND), [6, 5, 5]);
  });

  test('uses up nothing of mail that it had stopped before, by a later end or once more', () => {
    const stage = blocked('inbound');
    stage.block(START + 2 * SECOND, extended({ direction: 'inbound', evidence: own }));
    assert.deepEqual(stage.observed(address, START + 2 * SECOND), [6, 0, 21]);
    stage.block(START + 2 * SECOND, extended({ evidence: own }));
    stage.send(START + HOUR);
    stage.block(START + HOUR, extended({ evidence: own }));
    assert.deepEqual(stage.observed(address, START + HOUR), [6, 1, 1]);
  });

  test('uses up arriving mail alone where it was one of sent mail', () => {
    const stage = blocked('outbound');
    stage.block(START + 2 * SECOND, extended({ evidence: own }));
    assert.deepEqual(stage.observed(address, START + 2 * SECOND), [0, 0, 21]);
  });

  test('uses up nothing where a person made it so', () => {
    const stage = blocked('inbound');
    stage.block(START + 2 * SECOND, extended({}));
    assert.deepEqual(stage.observed(address, START + 2 * SECOND), [6, 0, 21]);
  });

  test('contains the days of a proposal on sent mail in whose place it came, by whomever it is made so', () => {
    const waits = { block: 'b1', subject: address, direction: 'outbound', evidence: own } as const;
    for (const proof of [own, undefined]) {
      const stage = new Stage(RULES);
      stage.send(START);
      stage.block(START + SECOND, {
        type: 'BlockProposed',
        data: {
          ...waits,
          description: '',
          refusal: 'soft',
          duration: HOUR,
          lapsesAt: START + 9 * DAY,
          rule: 'day',
          renewWhileTrying: false,
        },
      });
      stage.send(START + DAY);
      stage.send(START + 2 * DAY);
      const at = START + 2 * DAY;
      stage.block(at, imposedBy({ block: 'b1', subject: address, direction: 'inbound', rule: 'in' }));
      const contained = () => stage.volume.profiles.open('account', ALICE.value).map((day) => day.contained);
      assert.deepEqual(contained().flat(), []);
      stage.block(at, extended(proof === undefined ? {} : { evidence: { ...proof, lastAt: at } }));
      assert.ok(contained().length > 1);
      assert.deepEqual(
        contained(),
        contained().map(() => ['b1']),
      );
    }
  });

  test('contains the day from then on, also after a restart from a snapshot', () => {
    const stage = blocked('inbound');
    const [day] = stage.volume.profiles.open('account', ALICE.value);
    assert.deepEqual(day?.contained, []);
    const other = new SendVolume();
    other.restore(stage.volume.dump());
    for (const volume of [stage.volume, other]) {
      volume.apply(blockEvent(extended({ evidence: own }), START + 2 * SECOND, 99));
      const days = volume.profiles.open('account', ALICE.value);
      assert.deepEqual(
        days.map(({ contained }) => contained),
        [['b1']],
      );
    }
  });
});

test('a block of arriving mail contains no day on which its subject sends', () => {
  const address: Subject = { ...ALICE, type: 'address' };
  const stage = new Stage(BURST);
  stage.send(START);
  stage.block(START + SECOND, imposedBy({ block: 'b1', subject: address, direction: 'inbound' }));
  const contained = (): unknown => stage.volume.profiles.open('account', ALICE.value)[0]?.contained;
  assert.deepEqual(contained(), []);
  stage.block(START + SECOND, imposedBy({ block: 'b2', subject: address }));
  assert.deepEqual(contained(), ['b2']);
});

test('a false positive of a rule on arriving mail teaches nothing of what its subject sends', () => {
  const address: Subject = { ...ALICE, type: 'address' };
  const rules =
    '  - { id: in, per: address, direction: inbound, count: messages, window: 1h, limit: 9, then: block, for: 1h }';
  const record = (direction: Direction, rule: string): number => {
    const stage = new Stage(`${rules}\n${BURST.replace('recipients', 'messages').replace('10m', '1h')}`);
    const of = evidence({ rule, count: 'messages', window: HOUR, lastAt: START });
    stage.block(START, imposedBy({ block: 'b1', subject: address, direction, evidence: of }));
    stage.block(START, { type: 'BlockReleased', data: { block: 'b1', falsePositive: true, evidence: of } });
    const today = dayOf(START);
    return baselineOf(stage.volume.profiles.profile('account', ALICE.value, today), 0, today, -Infinity)
      .record;
  };
  assert.equal(record('inbound', 'in'), 0);
  assert.equal(record('inbound', 'of both'), 0, 'what arrived tripped a rule of both directions');
  assert.equal(record('all', 'in'), 0, 'a block of both, whose newest evidence is of what arrived');
  assert.equal(record('all', 'burst'), 202);
});

describe('a change of rules', () => {
  test('from observe to block has all that comes next count, also of the time in which the rule has tripped', () => {
    const daily = '  - { id: daily, per: account, count: messages, window: 24h, limit: 5, then: observe }';
    const stage = new Stage(daily);
    for (let count = 1; count <= 9; count++) stage.send(START + count * SECOND);
    const blocking = daily.replace('observe', 'block, for: 1h');
    stage.fold((position) => rulesChanged(blocking, START + MINUTE, position, 2));
    for (let count = 1; count <= 5; count++) assert.deepEqual(stage.send(START + MINUTE), []);
    assert.equal(stage.send(START + MINUTE).length, 1);
  });

  test('carries on the windows that both have, trips and limits included', () => {
    const stage = new Stage(BURST);
    stage.send(START, { recipients: 8 });
    stage.send(START, { recipients: 11, account: 'bob@example.com' });
    stage.fold((position) =>
      rulesChanged(BURST.replace('limit: 10', 'limit: 30000'), START + MINUTE, position, 2),
    );
    assert.deepEqual(stage.observed(ALICE, START + MINUTE), [8], 'narrow cells become wide ones');
    stage.fold((position) => rulesChanged(BURST, START + MINUTE, position, 3));
    const [verdict] = stage.send(START + MINUTE, { recipients: 3 });
    assert.deepEqual([verdict?.evidence.observed, verdict?.evidence.version], [11, 3]);
    assert.equal(
      stage.send(START + MINUTE, { account: 'bob@example.com' }).length,
      0,
      'bob’s evidence is used',
    );
  });

  test('counts afresh in a window that is new', () => {
    const stage = new Stage(BURST);
    stage.send(START, { recipients: 8 });
    stage.fold((position) => rulesChanged(BURST.replace('10m', '20m'), START, position, 2));
    assert.deepEqual(stage.observed(ALICE, START), [0]);
  });
});

describe('what is none of its business', () => {
  test('unknown types and unreadable events change nothing', () => {
    const [plain, mixed] = [new Stage(BURST), new Stage(BURST)];
    for (let count = 0; count < 12; count++) {
      for (const type of [UNREADABLE, 'SomethingNewer', 'constructor', '__proto__']) {
        assert.deepEqual(mixed.volume.apply(event(type, 'no object', START, mixed.position)), []);
      }
      assert.deepEqual(mixed.send(START + count), plain.send(START + count));
    }
    assert.deepEqual(mixed.observed(ALICE, START), plain.observed(ALICE, START));
  });
});

describe('the busiest of many senders', () => {
  test('are looked for step by step, and are the same', () => {
    const stage = new Stage(BURST);
    for (let number = 0; number < 9000; number++)
      stage.send(START, { account: `u${number}@example.com`, recipients: number === 8500 ? 9 : 1 });
    const steps = stage.volume.busiest('account', 'recipients', 1, START);
    assert.deepEqual([steps.next().done, steps.next().done], [false, false]);
    assert.equal(ended(steps)[0]?.value, 'u8500@example.com');
  });
});
