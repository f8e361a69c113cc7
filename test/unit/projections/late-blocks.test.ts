import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { withDay, withoutPeak } from '../../../projections/baselines/learning.js';
import { withLateBlock, withSummary } from '../../../projections/baselines/late-blocks.js';
import { baselineOf, NO_PROFILE } from '../../../projections/baselines/profile.js';
import { ReadModels } from '../../../src/detector/read-models.js';
import { DAY, HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import { DEFAULT_RULES } from '../../../src/rules/defaults.js';
import type { Verdict } from '../../../src/rules/respond.js';
import { dayOf } from '../../../src/sending/day-summary.js';
import { summary } from '../../support/days.js';
import { ALICE } from '../../support/given.js';
import { throughFrames } from '../../support/restored.js';
import { DAWN, Watching } from '../../support/watching.js';

/* A day is summarised an hour after midnight. A person looks at a proposal in the morning. */

const RULES = DEFAULT_RULES.slice(DEFAULT_RULES.indexOf('version:'));
const HOME = { ip: '192.0.2.7', ehlo: 'pc.example.com' };
const THIEF = { ip: '203.0.113.9', ehlo: 'bot.invalid' };
const ATTACK = 12;
const EVENING = DAWN + ATTACK * DAY + 20 * HOUR;
const MORNING = DAWN + (ATTACK + 1) * DAY + 8 * HOUR;

const days = (from: number, to: number): readonly number[] =>
  Array.from({ length: to - from }, (_, index) => from + index);

interface Proposed {
  readonly watching: Watching;
  readonly verdict: Verdict;
  readonly proposal: string;
}

/** An installation twelve days old, and a thief in the evening: the rule `day` proposes. */
function proposed(): Proposed {
  const watching = new Watching(RULES);
  watching.habit(days(0, ATTACK), HOME, 2);
  const found = watching.until(EVENING).send(THIEF, 200, 5 * SECOND);
  const verdict = found.find(({ rule }) => rule.id === 'day') ?? assert.fail();
  return { watching, verdict, proposal: watching.propose(verdict) };
}

/** What a person sees ten days later: the limits, and the networks that the account knows. */
function seenLater(watching: Watching): unknown {
  watching.morning(ATTACK + 10);
  return seen(watching);
}

function seen(watching: Watching): unknown {
  const profile = profileOf(watching.models, watching.now);
  return { limits: watching.limits(ALICE), networks: profile.networks.map(({ name }) => name) };
}

function profileOf(models: ReadModels, now: number): ReturnType<typeof models.sendVolume.profiles.profile> {
  return models.sendVolume.profiles.profile('account', ALICE.value, dayOf(now));
}

const containedDays = ({ models, now }: Watching): readonly number[] =>
  profileOf(models, now).withheld.map(({ day }) => day - dayOf(DAWN));

describe('a proposal that is approved', () => {
  test('on the next morning contains the day of the attack, as one that is approved the same evening', () => {
    const [evening, morning] = [proposed(), proposed()];
    evening.watching.impose(evening.verdict, evening.proposal);
    morning.watching.until(MORNING).impose(morning.verdict, morning.proposal);
    assert.deepEqual(containedDays(morning.watching), [ATTACK]);
    assert.deepEqual(seenLater(morning.watching), seenLater(evening.watching));
  });

  test('days later contains all days since its first evidence, though its newest is of today', () => {
    const { watching, proposal } = proposed();
    watching.until(MORNING + DAY);
    const verdict =
      watching.send(THIEF, 900, SECOND).find(({ rule }) => rule.id === 'day') ?? assert.fail('no verdict');
    watching.propose(verdict, proposal);
    watching.until(MORNING + 2 * DAY).impose(verdict, proposal);
    assert.deepEqual(containedDays(watching), [ATTACK, ATTACK + 2]);
    assert.deepEqual(
      profileOf(watching.models, watching.now).networks.map(({ name }) => name),
      [HOME.ip],
    );
  });

  test('contains the day also of the accounts that its evidence names', () => {
    const { watching, verdict } = proposed();
    const place = { type: 'ip', value: THIEF.ip } as const;
    const named = { ...verdict, subject: place, evidence: { ...verdict.evidence, accounts: [ALICE.value] } };
    const proposal = watching.propose(named);
    watching.until(MORNING).impose(named, proposal);
    assert.deepEqual(containedDays(watching), [ATTACK]);
  });

  test('and then called wrong teaches what it had taken out', () => {
    const { watching, verdict, proposal } = proposed();
    const never = proposed();
    watching.until(MORNING).impose(verdict, proposal);
    watching.release(proposal, true, verdict);
    never.watching.until(MORNING).dismiss(never.proposal, true, never.verdict);
    assert.deepEqual(containedDays(watching), []);
    assert.deepEqual(seenLater(watching), seenLater(never.watching));
  });
});

describe('a proposal that nobody approves', () => {
  test('leaves the day as it was learnt', () => {
    const [lapsed, dismissed, never] = [proposed(), proposed(), proposed()];
    for (const { watching } of [lapsed, dismissed, never]) watching.until(MORNING);
    lapsed.watching.fold('ProposalLapsed', { block: lapsed.proposal }, { stream: 'block-test' });
    dismissed.watching.dismiss(dismissed.proposal, false, dismissed.verdict);
    const networks = profileOf(never.watching.models, MORNING).networks.map(({ name }) => name);
    assert.deepEqual(networks, [HOME.ip, THIEF.ip]);
    for (const { watching } of [lapsed, dismissed]) {
      assert.deepEqual(containedDays(watching), []);
      assert.deepEqual(seenLater(watching), seenLater(never.watching));
    }
  });

  test('keeps no more days than could be given back', () => {
    const { watching } = proposed();
    watching.habit(days(ATTACK + 1, ATTACK + 9), HOME);
    const { tail } = profileOf(watching.models, watching.now);
    assert.equal(tail?.summaries.length, 4);
  });
});

describe('a block whose evidence reaches over midnight', () => {
  test('contains the day before, though it was summarised an hour ago', () => {
    const watching = new Watching(RULES);
    watching.habit(days(0, 40), HOME, 2);
    watching.until(DAWN + 40 * DAY + 22 * HOUR);
    watching.send(THIEF, 20, 10 * MINUTE);
    const found = watching.until(DAWN + 41 * DAY + 2 * HOUR).send(THIEF, 60, MINUTE);
    watching.impose(found.find(({ rule }) => rule.id === 'day') ?? assert.fail());
    assert.deepEqual(containedDays(watching), [40]);
    assert.deepEqual(
      profileOf(watching.models, watching.now).networks.map(({ name }) => name),
      [HOME.ip],
    );
  });
});

describe('the day before', () => {
  const kept = (watching: Watching): number => {
    const { profiles } = watching.models.sendVolume.profiles.dump();
    return profiles.account.filter(([, { tail }]) => tail !== undefined).length;
  };

  test('is kept of those alone whom it taught something, and given up a day later', () => {
    const watching = new Watching(RULES);
    const bob = { ip: HOME.ip, ehlo: HOME.ehlo, account: 'bob@example.com' };
    watching.send(bob, 2, HOUR);
    watching.habit(days(0, 10), HOME, 2);
    watching.morning(10);
    assert.equal(kept(watching), 0, 'nothing new');
    watching.send(bob, 9, MINUTE);
    watching.habit(days(11, 12), HOME, 2);
    assert.equal(kept(watching), 1, 'bob wrote more than ever');
    watching.habit(days(12, 14), HOME, 2);
    assert.equal(kept(watching), 0);
  });
});

describe('a day that a block contains afterwards', () => {
  test('is the same after a snapshot between its summary and the block, and after a replay', () => {
    const { watching, verdict, proposal } = proposed();
    watching.until(MORNING);
    const restored = modelsOf();
    restored.restore(throughFrames(watching.models.dump()));
    watching.impose(verdict, proposal);
    restored.apply(watching.log.at(-1)!);
    const replayed = modelsOf();
    for (const each of watching.log) replayed.apply(each);
    const expected = profileOf(watching.models, watching.now);
    assert.deepEqual(profileOf(restored, watching.now), expected);
    assert.deepEqual(profileOf(replayed, watching.now), expected);
  });

  test('does not bring back a window whose number now belongs to another', () => {
    const day = dayOf(DAWN);
    const [old, other] = [['messages/1h'], ['messages/2h']];
    const known = withDay(NO_PROFILE, summary(day, { peaks: { 'messages/1h': 5 } }), old);
    const learnt = withSummary(known, summary(day + 1, { peaks: { 'messages/1h': 90 } }), old);
    const contained = withLateBlock(withoutPeak(learnt, 0), 'b', { since: day + 1, today: day + 2 }, other);
    assert.deepEqual(
      contained.withheld.map((each) => each.day),
      [day + 1],
    );
    assert.equal(baselineOf(contained, 0, day + 2, -Infinity).record, 0);
  });
});

function modelsOf(): ReadModels {
  return new ReadModels({
    onVerdict: () => undefined,
    onBlockEvent: () => undefined,
    onRulesChanged: () => undefined,
    onSkipped: ({ type }, reason) => assert.fail(`${type}: ${reason}`),
  });
}
