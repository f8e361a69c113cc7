import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { totalsOf, baselineOf } from '../../../projections/baselines/profile.js';
import { SendVolume } from '../../../projections/volume/send-volume.js';
import { DAY, HOUR, MINUTE } from '../../../src/kernel/time.js';
import type { Verdict } from '../../../src/rules/respond.js';
import type { SenderDaySummarised } from '../../../src/sending/day-summary.js';
import { dayOf } from '../../../src/sending/day-summary.js';
import { summary } from '../../support/days.js';
import { ALICE } from '../../support/given.js';
import { event, rulesChanged, shadowChanged } from '../../support/sends.js';
import { DAWN, Watching } from '../../support/watching.js';

const KNOWN = 'version: 1\nlearning: { days: 1, age: 1m, installation: 1m }\nrules:\n';
const HOURLY =
  '  - { id: hour, per: account, count: messages, window: 1h, limit: { baseline: 2x, record: 1x, floor: 10 }, then: block, for: 1h }\n';
const DOMAIN =
  '  - { id: site, per: domain, count: messages, window: 1h, limit: 900, direction: all, then: observe }\n';

const summaries = (watching: Watching): readonly SenderDaySummarised[] =>
  watching.log
    .filter(({ type }) => type === 'SenderDaySummarised')
    .map(({ data }) => data as SenderDaySummarised);
const profile = (watching: Watching): ReturnType<Watching['models']['sendVolume']['profiles']['profile']> =>
  watching.models.sendVolume.profiles.profile('account', ALICE.value, dayOf(watching.now));
const record = (watching: Watching, peak = 0): number =>
  baselineOf(profile(watching), peak, dayOf(watching.now), -Infinity).record;

describe('days', () => {
  test('are those of senders: a bounce makes none of an address that never did', () => {
    const watching = new Watching(KNOWN + HOURLY + DOMAIN);
    watching.send();
    for (const address of ['forged@example.com', 'nobody@example.net', ALICE.value]) {
      watching.fold('BounceReceived', { address });
    }
    watching.morning(1);
    watching.fold('BounceReceived', { address: ALICE.value });
    watching.morning(2);
    assert.deepEqual(
      summaries(watching).map(({ subject, day, messages, bounces }) => [
        subject.value,
        day - DAWN / DAY,
        messages,
        bounces,
      ]),
      [
        [ALICE.value, 0, 1, 1],
        ['example.com', 0, 1, 2],
        [ALICE.value, 1, 0, 1],
        ['example.com', 1, 0, 1],
      ],
    );
    assert.equal(totalsOf(profile(watching), dayOf(watching.now)).bounces, 2);
  });

  test('are not those of strangers whose mail comes in', () => {
    const watching = new Watching(KNOWN + DOMAIN);
    watching.send({ direction: 'inbound', returnPath: 'stranger@example.net', account: '' }, 5);
    assert.deepEqual(watching.limits({ type: 'domain', value: 'example.net' }), { site: 900 });
    watching.morning(1);
    assert.deepEqual(summaries(watching), []);
  });

  test('hold what the windows of their rules stood at, also without the largest messages', () => {
    const wide = (leaveOut: string): string =>
      `  - { id: w${leaveOut.length}, per: account, count: recipients, ${leaveOut}window: 10m, limit: 900, then: observe }\n`;
    const watching = new Watching(KNOWN + HOURLY + wide('') + wide('leaveOut: 1, ') + wide('leaveOut:  2, '));
    for (const recipients of [30, 5, 40, 20]) watching.send({ recipients });
    watching.pass(2 * HOUR).send({ recipients: 6 });
    watching.morning(1);
    assert.deepEqual(summaries(watching)[0]?.peaks, {
      'messages/1h': 4,
      'recipients/10m': 95,
      'recipients-1/10m': 55,
      'recipients-2/10m': 25,
    });
  });

  test('take no part of a summary of the future, nor a damaged one', () => {
    const volume = new SendVolume();
    volume.apply(rulesChanged(KNOWN + HOURLY, DAWN, 1));
    const before = structuredClone(volume.dump());
    for (const data of [
      summary(DAWN / DAY + 1),
      summary(1e9),
      { ...summary(DAWN / DAY), day: 'x' },
      null,
      {},
    ]) {
      assert.throws(() => volume.apply(event('SenderDaySummarised', data, DAWN, 2)));
    }
    assert.deepEqual(volume.dump(), before);
  });
});

describe('a block', () => {
  const attacked = (more = ''): { watching: Watching; verdict: Verdict } => {
    const watching = new Watching(KNOWN + HOURLY.replace('for: 1h', `for: 1h${more}`));
    watching.send({}, 4);
    const [verdict] = watching.morning(14).send({}, 11);
    return { watching, verdict: verdict! };
  };

  test('keeps its day from becoming a habit', () => {
    const { watching, verdict } = attacked();
    watching.impose(verdict);
    watching.morning(15);
    assert.equal(record(watching), 4);
  });

  test('of a rule that teaches does not', () => {
    const { watching, verdict } = attacked(', teaches: true');
    watching.impose(verdict);
    watching.morning(15);
    assert.equal(record(watching), 11);
  });

  test('by a person does, too', () => {
    const { watching } = attacked();
    watching.block(ALICE);
    watching.morning(15);
    assert.equal(record(watching), 4);
  });

  test('that is only proposed does not', () => {
    const { watching, verdict } = attacked();
    watching.propose(verdict);
    watching.morning(15);
    assert.equal(record(watching), 11);
  });

  test('that was proposed and dismissed does not: its day teaches what was seen, when it is over', () => {
    const { watching, verdict } = attacked();
    watching.dismiss(watching.propose(verdict), false, verdict);
    assert.equal(record(watching), 4, 'limits come from the days before');
    watching.morning(15);
    assert.deepEqual(summaries(watching).at(-1)?.contained, []);
    assert.equal(record(watching), 11);
    assert.equal(totalsOf(profile(watching), dayOf(watching.now)).messages, 15);
  });

  test('that was dismissed as a false positive teaches at once, and twice what was seen', () => {
    const { watching, verdict } = attacked();
    watching.dismiss(watching.propose(verdict), true, verdict);
    assert.equal(record(watching), 22);
    assert.deepEqual(watching.limits(ALICE), { hour: 3 * 44 }, 'and for an hour three times as much');
    watching.morning(15);
    assert.equal(record(watching), 22);
    assert.deepEqual(watching.limits(ALICE), { hour: 44 }, 'twice the upper median of 4 and 22');
    assert.equal(totalsOf(profile(watching), dayOf(watching.now)).messages, 15);
  });

  test('reaches back over midnight with its evidence', () => {
    const watching = new Watching(KNOWN + HOURLY);
    watching.send({}, 4);
    watching.until(DAWN + 15 * DAY - MINUTE).send({}, 6, MINUTE / 10);
    const [verdict] = watching.until(DAWN + 15 * DAY + MINUTE).send({}, 5);
    assert.equal(verdict?.evidence.observed, 11);
    watching.impose(verdict);
    watching.morning(16);
    assert.deepEqual(
      summaries(watching).map(({ contained }) => contained.length),
      [0, 1, 1],
    );
    assert.equal(record(watching), 4);
  });

  test('taken back as a false positive teaches its day, and twice what was cut off', () => {
    const { watching, verdict } = attacked();
    watching.release(watching.impose(verdict), true, verdict);
    assert.equal(record(watching), 22);
    watching.morning(15);
    assert.equal(record(watching), 22);
    assert.deepEqual(summaries(watching).at(-1)?.contained, []);
  });

  test('taken back after its day was summarised teaches it, too', () => {
    const { watching, verdict } = attacked();
    const block = watching.impose(verdict);
    watching.morning(15);
    assert.equal(record(watching), 4);
    assert.equal(totalsOf(profile(watching), dayOf(watching.now)).messages, 4);
    watching.release(block, true, verdict);
    assert.equal(record(watching), 22);
    assert.equal(totalsOf(profile(watching), dayOf(watching.now)).messages, 15);
  });

  test('taken back for another reason teaches nothing', () => {
    const { watching, verdict } = attacked();
    watching.release(watching.impose(verdict), false, verdict);
    watching.morning(15);
    assert.equal(record(watching), 4);
  });

  test('for different ones or for turning, taken back, takes up no place of a window', () => {
    for (const count of ['networks', 'accounts']) {
      const { watching, verdict } = attacked();
      const evidence = { ...verdict.evidence, count };
      watching.release(watching.impose({ ...verdict, evidence }), true, { ...verdict, evidence });
      assert.deepEqual(watching.models.sendVolume.profiles.peaks.names, ['messages/1h']);
      watching.morning(15);
      assert.equal(record(watching), 11, 'but its day is learnt');
    }
  });
});

describe('a rule set in the shadow', () => {
  const MINUTES = HOURLY.replace('window: 1h', 'window: 1m').replace('hour', 'minute');

  test('knows, once it is promoted, what is usual in windows that only it looked at', () => {
    const watching = new Watching(KNOWN + HOURLY);
    const take = (more: Parameters<Watching['take']>[0]): unknown =>
      watching.take({ ...more, stream: 'rules' });
    const position = (): number => watching.log.length + 1;
    take(shadowChanged(KNOWN + MINUTES, watching.now, position()));
    watching.habit([0, 1, 2], {}, 20, 1000);
    watching.morning(3);
    assert.deepEqual(summaries(watching)[0]?.peaks, { 'messages/1h': 20, 'messages/1m': 20 });
    take(event('ShadowRulesPromoted', { version: 1 }, watching.now, position()));
    take(rulesChanged(KNOWN + MINUTES, watching.now, position(), 2));
    assert.deepEqual(watching.limits(ALICE), { minute: 40 });
  });

  test('is known to a process that takes the same rules in another way', () => {
    const watching = new Watching(KNOWN + HOURLY);
    watching.take({ ...shadowChanged(KNOWN + MINUTES, watching.now, 2), stream: 'rules' });
    watching.habit([0, 1, 2], {}, 20, 1000);
    watching.morning(3).rules(KNOWN + MINUTES);
    assert.deepEqual(watching.limits(ALICE), { minute: 40 });
  });
});
