import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { GROUPS_MAX, Outbreaks } from '../../../projections/volume/outbreak.js';
import type { Newcomer } from '../../../projections/volume/newcomers.js';
import { SendVolume } from '../../../projections/volume/send-volume.js';
import { DAY, HOUR, MINUTE } from '../../../src/kernel/time.js';
import type { Verdict } from '../../../src/rules/respond.js';
import { dayOf } from '../../../src/sending/day-summary.js';
import type { MessageAccepted } from '../../../src/sending/events.js';
import { throughFrames } from '../../support/restored.js';
import { event } from '../../support/sends.js';
import { Watching } from '../../support/watching.js';

const FLEET = (per: 'ip' | 'ehlo' = 'ip'): string =>
  `  - { id: fleet, per: ${per}, count: accounts, window: 2h, limit: 5, then: block, for: 4h }\n`;
const days = (from: number, to: number): readonly number[] =>
  Array.from({ length: to - from }, (_, index) => from + index);
/** Where none of the accounts ever was. */
const THERE = { ip: '203.0.113.9', ehlo: 'bot.invalid' };
const SIX = days(0, 6);

/** An installation whose accounts each have a place of their own. */
class Town {
  readonly watching: Watching;

  constructor(rules: string, mornings: readonly number[] = days(0, 10), accounts = 12) {
    this.watching = new Watching(rules);
    for (const day of mornings) {
      this.watching.morning(day);
      for (let account = 0; account < accounts; account++) this.watching.send(at(account, homeOf(account)));
    }
    this.watching.morning(mornings.at(-1)! + 1);
  }

  /** Each of these accounts sends a message, a minute apart. */
  send(
    accounts: readonly number[],
    place: Partial<MessageAccepted> = THERE,
    domains = 3,
  ): readonly Verdict[] {
    return accounts.flatMap((account) => this.watching.pass(MINUTE).send(at(account, place, domains)));
  }

  /** Where an account was on days that are over. */
  networksOf(account: number): readonly string[] {
    const { models, now } = this.watching;
    const profile = models.sendVolume.profiles.profile('account', at(account, {}).account!, dayOf(now));
    return profile.networks.map(({ name }) => name).toSorted();
  }
}

function homeOf(account: number): Partial<MessageAccepted> {
  return { ip: `198.51.${account}.7`, ehlo: `pc${account}.example` };
}

function at(account: number, place: Partial<MessageAccepted>, domains = 3): Partial<MessageAccepted> {
  const name = `u${account}@d${account % domains}.example`;
  return { account: name, returnPath: name, ...place };
}

/** What another rule would have said. */
function withoutAccounts(verdict: Verdict): Verdict {
  const { accounts: _accounts, ...evidence } = verdict.evidence;
  return { ...verdict, evidence };
}

const subjects = (verdicts: readonly Verdict[]): readonly string[] =>
  verdicts.map(({ subject: { type, value } }) => `${type} ${value}`);

describe('accounts that come to a place which is new to them', () => {
  test('get the place blocked when they are more than the limit, and the evidence names them', () => {
    const town = new Town(FLEET());
    assert.deepEqual(town.send(days(0, 5)), []);
    const [verdict, ...others] = town.send([5]);
    assert.deepEqual(others, []);
    assert.deepEqual(subjects([verdict!]), ['ip 203.0.113.9']);
    const { evidence } = verdict!;
    assert.equal(
      evidence.sentence,
      'Network 203.0.113.9: 6 accounts of 3 domains within 2h, none of which was there before; rule "fleet" allows 5.',
    );
    assert.deepEqual(
      evidence.accounts,
      SIX.map((account) => at(account, {}).account),
    );
    assert.equal(evidence.lastPosition - evidence.firstPosition, 5);
    assert.deepEqual(town.send([6]), [], 'evidence is used once');
  });

  test('are counted from the first message that each sent there, not from its last', () => {
    const town = new Town(FLEET());
    town.send(days(0, 5));
    town.send(days(0, 5));
    const { evidence } = town.send([5])[0]!;
    assert.equal(evidence.lastPosition - evidence.firstPosition, 10);
  });

  test('are counted within the window, though they began before', () => {
    const town = new Town(FLEET());
    for (let round = 0; round < 4; round++) {
      town.send([0]);
      town.watching.pass(HOUR);
    }
    const { evidence } = town.send(days(1, 6))[0]!;
    const before = evidence.lastPosition - evidence.firstPosition;
    assert.ok(before >= 5 && before <= 6, `${before}`);
  });

  test('are too few if they belong to two domains, as when an office moves', () => {
    const town = new Town(FLEET(), days(0, 32));
    assert.deepEqual(town.send(days(20, 32), THERE, 2), []);
    assert.equal(town.send([32], THERE, 3).length, 1, 'a third');
  });

  test('count for two hours after their last message', () => {
    const town = new Town(FLEET());
    town.send([0]);
    town.watching.pass(HOUR);
    town.send(days(1, 5));
    town.watching.pass(50 * MINUTE);
    town.send([0]);
    town.watching.pass(30 * MINUTE);
    assert.equal(town.send([5]).length, 1, 'the first has sent again');
    const again = new Town(FLEET());
    again.send(days(0, 5));
    again.watching.pass(2 * HOUR);
    assert.deepEqual(again.send([5]), []);
  });

  test('count only where the network and the EHLO name are both new', () => {
    const town = new Town(FLEET());
    town.send(days(0, 5));
    assert.deepEqual(town.send([5], { ...THERE, ehlo: 'pc5.example' }), [], 'a laptop on the road');
    assert.deepEqual(town.send([6], { ip: '203.0.113.9', ehlo: '' }), [], 'no name at all');
    assert.equal(town.send([7]).length, 1);
  });

  test('count only if they are logged in and what they send was taken', () => {
    const town = new Town(FLEET());
    town.send(days(0, 5));
    const stranger = { ...at(5, THERE), account: undefined } as unknown as MessageAccepted;
    assert.deepEqual(town.watching.send(stranger), []);
    assert.deepEqual(town.watching.send({ ...at(5, THERE), direction: 'inbound' }), []);
    const refused = { ...at(5, THERE), direction: 'outbound', count: 1, code: 550, entitled: true };
    assert.deepEqual(town.watching.fold('RecipientsRefused', refused), []);
    assert.equal(town.send([5]).length, 1);
  });

  test('share an IPv6 network whatever the address in it', () => {
    const town = new Town(FLEET());
    const verdicts = SIX.flatMap((n) => town.send([n], { ip: `2001:db8:1:2::${n + 1}`, ehlo: `bot${n}` }));
    assert.deepEqual(subjects(verdicts), ['ip 2001:db8:1:2::/64']);
  });

  test('count while they are being learnt only where Stopgap has watched for a month', () => {
    const young = new Town(FLEET(), days(0, 10));
    assert.deepEqual(young.send(days(20, 30)), []);
    const old = new Town(FLEET(), days(0, 32));
    assert.equal(old.send(days(20, 30)).length, 1);
  });

  test('are not held against a place while they are no more than three times those who know it, as when domains move to a host', () => {
    const town = new Town(FLEET());
    const host = { ip: '203.0.113.20', ehlo: 'host.example' };
    // On different days, so that they do not come together
    for (const account of days(0, 3)) {
      town.watching.morning(11 + account);
      town.send([account], host);
    }
    town.watching.morning(45);
    assert.deepEqual(town.send(days(20, 29), { ...host, ehlo: 'other.invalid' }), [], 'three know it');
    assert.equal(town.send([29], { ...host, ehlo: 'other.invalid' }).length, 1, 'ten are new');
  });
});

describe('a place that was blocked', () => {
  const blocked = (): { town: Town; verdict: Verdict; block: string } => {
    const town = new Town(FLEET());
    const [verdict] = town.send(SIX);
    return { town, verdict: verdict!, block: town.watching.impose(verdict!) };
  };

  test('is as new the next day to those who came: the day teaches nothing', () => {
    const { town } = blocked();
    town.watching.pass(DAY);
    assert.equal(town.send(SIX).length, 1);
  });

  test('is known to them if the block was a false positive', () => {
    const { town, verdict, block } = blocked();
    town.watching.release(block, true, verdict);
    town.watching.pass(DAY);
    assert.deepEqual(town.send(SIX), []);
  });

  test('is known to all whom a proposal came to name, if its block was a false positive', () => {
    const town = new Town(FLEET().replace('block', 'propose'), days(0, 10), 12);
    const { watching } = town;
    const [first] = town.send(SIX);
    watching.propose(first!, 'p');
    watching.pass(2 * HOUR);
    // A longer proposal takes the place of the one that waits
    const [second] = town.send(days(6, 12));
    watching.propose(second!, 'p');
    watching.impose(second!, 'p');
    watching.release('p', true, second);
    watching.pass(DAY);
    assert.deepEqual(town.networksOf(0), ['198.51.0.7', THERE.ip]);
    assert.deepEqual(town.networksOf(6), ['198.51.6.7', THERE.ip]);
  });

  test('is known to those who came, and welcomes others, if another rule had made the block longer', () => {
    const town = new Town(FLEET(), days(0, 10), 40);
    const { watching } = town;
    const [verdict] = town.send(SIX);
    const block = watching.impose(verdict!);
    const guessing = withoutAccounts(verdict!);
    watching.extend(block, guessing);
    watching.release(block, true, guessing);
    watching.pass(90 * MINUTE);
    assert.deepEqual(town.send(days(6, 12)), []);
    watching.pass(DAY);
    assert.deepEqual(town.networksOf(0), ['198.51.0.7', THERE.ip]);
  });

  test('is as new the next day to those whom later evidence names', () => {
    const town = new Town(FLEET(), days(0, 10), 40);
    const { watching } = town;
    const [verdict] = town.send(SIX);
    const block = watching.impose(verdict!);
    // Another node may not refuse yet
    watching.pass(2 * HOUR);
    const [later] = town.send(days(6, 12));
    watching.extend(block, later!);
    watching.pass(DAY);
    assert.deepEqual(town.networksOf(6), ['198.51.6.7']);
  });

  test('is not blocked again for newcomers on the day of the false positive', () => {
    const town = new Town(FLEET(), days(0, 10), 40);
    const [verdict] = town.send(SIX);
    town.watching.release(town.watching.impose(verdict!), true, verdict);
    town.watching.pass(90 * MINUTE);
    assert.deepEqual(town.send(days(6, 30)), []);
    const place = { type: 'ip', value: THERE.ip } as const;
    const [reading] = town.watching.models.sendVolume.readings(place, town.watching.now);
    assert.equal(
      reading?.notNow,
      'a block for newcomers to this place was a false positive today (UTC): nobody is one there until tomorrow',
    );
    // On the next day those who came know it, and it may have three times as many newcomers
    town.watching.pass(DAY);
    assert.deepEqual(town.send(days(0, 40)), []);
  });

  test('stays so on that day when something else is judged there, also after a restart', () => {
    for (const later of ['rule', 'false positive', 'person'] as const) {
      const town = new Town(FLEET(), days(0, 10), 40);
      const { watching } = town;
      const [verdict] = town.send(SIX);
      watching.release(watching.impose(verdict!), true, verdict);
      watching.pass(HOUR);
      if (later === 'person') watching.release(watching.block(verdict!.subject));
      else {
        const guessing = withoutAccounts(verdict!);
        watching.release(watching.impose(guessing), later === 'false positive', guessing);
      }
      watching.pass(90 * MINUTE);
      const restored = new SendVolume();
      restored.restore(throughFrames(watching.models.sendVolume.dump()));
      const place = { type: 'ip', value: THERE.ip } as const;
      assert.match(restored.readings(place, watching.now)[0]?.notNow ?? '', /^a block for newcomers/u, later);
      assert.deepEqual(town.send(SIX), [], later);
    }
  });

  test('is blocked again on that day if the false positive was one of another rule, or none', () => {
    for (const isOfNewcomers of [false, true]) {
      const town = new Town(FLEET(), days(0, 10), 40);
      const [verdict] = town.send(SIX);
      const of = isOfNewcomers ? verdict! : withoutAccounts(verdict!);
      town.watching.release(town.watching.impose(of), !isOfNewcomers, of);
      town.watching.pass(90 * MINUTE);
      assert.equal(town.send(days(6, 12)).length, 1);
    }
  });

  test('allows three times as many for an hour after a release', () => {
    const town = new Town(FLEET(), days(0, 10), 20);
    const [verdict] = town.send(SIX);
    town.watching.release(town.watching.impose(verdict!), false, verdict);
    assert.deepEqual(town.send(days(6, 20)), []);
    const { evidence } = town.send([0, 1])[0]!;
    assert.match(
      evidence.sentence,
      /16 accounts .* allows 15, its 5 tripled for the hour after a release\.$/,
    );
  });
});

describe('an EHLO name', () => {
  test('is blocked as a network is', () => {
    const town = new Town(FLEET('ehlo'));
    const verdicts = SIX.flatMap((n) => town.send([n], { ip: `203.0.113.${n}`, ehlo: 'Bot.Invalid' }));
    assert.deepEqual(subjects(verdicts), ['ehlo bot.invalid']);
    assert.match(verdicts[0]!.evidence.sentence, /none of which used it before; /);
  });

  /** Three accounts have used the name of a telephone, one a day. */
  const withTelephones = (rules: string): Town => {
    const town = new Town(rules);
    for (const account of [9, 10, 11]) {
      town.watching.morning(11 + account);
      town.send([account], { ip: `100.64.${account}.1`, ehlo: 'smtpclient.apple' });
    }
    town.watching.morning(30);
    return town;
  };

  test('that is common is not blocked for those who are new to it', () => {
    const town = withTelephones(FLEET('ehlo'));
    const places = days(0, 9).map((n) => ({ ip: `203.0.${n}.1`, ehlo: 'smtpclient.apple' }));
    assert.deepEqual(
      places.flatMap((place, account) => town.send([account], place)),
      [],
    );
  });

  test('that is common is blocked by no other rule either: it is only observed', () => {
    const rule =
      '  - { id: flood, per: ehlo, count: messages, window: 10m, limit: 20, then: block, for: 1h }\n';
    const town = withTelephones(rule);
    const phone = { ...at(0, {}), ip: '203.0.113.1', ehlo: 'smtpclient.apple' };
    const [verdict] = town.watching.send(phone, 21);
    assert.equal(verdict!.rule.then, 'observe');
    assert.match(
      verdict!.evidence.sentence,
      /; 3 accounts used this name on days before: no rule blocks it; /,
    );
    const [other] = town.watching.send({ ...phone, ehlo: 'pc0.example' }, 21);
    assert.equal(other!.rule.then, 'block');
  });

  test('is as common after a restart', () => {
    const town = withTelephones(FLEET());
    const { profiles } = town.watching.models.sendVolume;
    assert.equal(profiles.baselines.usersOf('smtpclient.apple'), 3);
    const restored = new SendVolume();
    restored.restore(throughFrames(town.watching.models.sendVolume.dump()));
    assert.equal(restored.profiles.baselines.usersOf('smtpclient.apple'), 3);
    assert.equal(restored.profiles.baselines.usersOf('pc0.example'), 1);
  });
});

describe('what is known of newcomers', () => {
  test('goes on after a restart', () => {
    const town = new Town(FLEET());
    town.send(days(0, 5));
    const { sendVolume } = town.watching.models;
    const restored = new SendVolume();
    restored.restore(throughFrames(sendVolume.dump()));
    const { now, log } = town.watching;
    const data = { ...at(5, THERE), direction: 'outbound', recipients: 1, size: 1, recipientDomains: [] };
    const sixth = event('MessageAccepted', data, now + MINUTE, log.length + 1);
    assert.deepEqual(restored.apply(sixth), sendVolume.apply(sixth));
    assert.equal(restored.dump().newcomers.length, 1);
  });

  test('is bounded in places: that to which nobody came for longest is forgotten', () => {
    const newcomers = new Outbreaks<Newcomer>();
    const terms = { window: 2 * HOUR, limit: 5, alarm: 0 };
    const note = (place: number, account = 'a'): void =>
      void newcomers.note(`fleet ${place}`, { account, at: 1, position: 1, first: 1 }, terms);
    for (let place = 0; place < GROUPS_MAX; place++) note(place);
    note(0, 'b');
    note(GROUPS_MAX);
    const kept = newcomers.dump();
    assert.equal(kept.length, GROUPS_MAX);
    assert.deepEqual([kept[0]!.key, kept.at(-2)!.key], ['fleet 2', 'fleet 0']);
  });

  test('is shown of a place: who came, and what must be so besides', () => {
    const town = new Town(FLEET());
    town.send(days(0, 4));
    const { sendVolume } = town.watching.models;
    const [reading] = sendVolume.readings({ type: 'ip', value: '203.0.113.9' }, town.watching.now);
    assert.deepEqual(reading, {
      rule: 'fleet',
      count: 'accounts',
      window: 2 * HOUR,
      observed: 4,
      limit: 5,
      direction: 'outbound',
      besides: [
        'they are of at least 3 domains (3 now)',
        'they are more than 3 times the accounts that know the place',
      ],
    });
  });

  test('is shown of a place that enough accounts know: it says why nothing trips', () => {
    const town = new Town(FLEET());
    town.watching.morning(11);
    for (const account of days(6, 8)) town.watching.send(at(account, THERE));
    town.watching.morning(12);
    assert.deepEqual(town.send(SIX), []);
    const [reading] = town.watching.models.sendVolume.readings(
      { type: 'ip', value: '203.0.113.9' },
      town.watching.now,
    );
    assert.equal(reading!.observed, 6);
    assert.deepEqual(reading!.besides.slice(1), [
      'they are more than 3 times the accounts that know the place (they are not now)',
    ]);
  });
});
