import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { overrideStream } from '../../../src/overrides/events.js';
import { DAY, HOUR, MINUTE } from '../../../src/kernel/time.js';
import type { Subject } from '../../../src/sending/subjects.js';
import { summary } from '../../support/days.js';
import { ALICE } from '../../support/given.js';
import { DAWN, Watching } from '../../support/watching.js';

const LIMIT = '{ baseline: 2x, record: 1.5x, floor: 5, start: 20, ceiling: 100 }';
const rule = (limit: string, more = ''): string =>
  `  - { id: hour, per: account, count: messages, window: 1h, limit: ${limit}, then: block, for: 1h${more} }`;
const WEEK = [0, 1, 2, 3, 4, 5, 6];
const limit = (watching: Watching, subject: Subject = ALICE): number | undefined =>
  watching.limits(subject)['hour'];

describe('a limit that follows baselines', () => {
  test('is the start for a sender that is being learnt, and the floor for a known one', () => {
    const watching = new Watching(rule(LIMIT));
    watching.habit([0, 1, 2, 3]);
    watching.morning(7);
    assert.equal(limit(watching), 20, 'known for a week, but on four days');
    watching.send();
    assert.equal(limit(watching.morning(8)), 5);
    const quick = new Watching(rule(LIMIT));
    quick.habit(WEEK.slice(0, 6));
    assert.equal(limit(quick.until(DAWN + 7 * DAY - 1)), 20, 'six days old');
    assert.equal(limit(quick.until(DAWN + 7 * DAY)), 5, 'seven');
  });

  test('is the rule’s own again as soon as the only override is removed', () => {
    const watching = new Watching(rule('10'));
    const subject = { type: 'account', value: ALICE.value } as const;
    watching.override(subject, { limits: { hour: 100 } });
    watching.send({}, 50, MINUTE);
    const data = { subject, origin: 'api' };
    watching.fold('OverrideRemoved', data, { stream: overrideStream(subject), by: 'admin:test' });
    assert.equal(watching.send()[0]?.evidence.limit, 10);
  });

  test('is one that an override sets above what a bucket holds, also for a flood within one bucket', () => {
    const daily =
      '  - { id: day, per: account, count: recipients, window: 24h, limit: 400, then: block, for: 1h }';
    const watching = new Watching(daily);
    watching.override({ type: 'account', value: ALICE.value }, { limits: { day: 70_000 } });
    assert.deepEqual(watching.send({ recipients: 1000 }, 70), []);
    assert.equal(watching.send({ recipients: 1 })[0]?.evidence.observed, 70_001);
  });

  test('is as the rules say when somebody counts as known', () => {
    const watching = new Watching(`version: 1\nlearning: { days: 2, age: 3d }\nrules:\n${rule(LIMIT)}`);
    watching.habit([0, 1]);
    assert.equal(limit(watching.morning(2)), 20);
    assert.equal(limit(watching.morning(3)), 5);
  });

  test('is a multiple of the median, or a smaller one of the record: what is more', () => {
    const watching = new Watching(rule(LIMIT));
    watching.habit(WEEK, {}, 6, MINUTE);
    assert.equal(limit(watching.morning(7)), 12, 'twice six');
    watching.habit([8], {}, 12, MINUTE);
    assert.equal(limit(watching.morning(9)), 24, 'the median of two is the upper one');
    watching.habit([14], {}, 6, MINUTE);
    assert.equal(limit(watching.morning(15)), 18, 'the median is six again, the record twelve');
  });

  test('is whole: what it allows is what the sentence says', () => {
    const watching = new Watching(rule('{ baseline: 1.5x, floor: 2 }'));
    watching.habit(WEEK, {}, 7, MINUTE);
    watching.morning(7);
    assert.equal(limit(watching), 10);
    const [verdict] = watching.send({}, 12, MINUTE);
    assert.deepEqual([verdict?.evidence.observed, verdict?.evidence.limit], [11, 10]);
    assert.match(
      verdict!.evidence.sentence,
      /11 messages within 1h; in a week usually 7 at most, never above 7 in one week/,
    );
    assert.match(verdict!.evidence.sentence, /rule "hour" allows 10\.$/);
    assert.deepEqual(verdict!.evidence.habit, { typical: 7, record: 7, weeks: 1, learnt: true });
  });

  test('is a multiple of the record and something more', () => {
    const watching = new Watching(rule('{ record: 2.5x, plus: 8, ceiling: 100 }'));
    assert.equal(limit(watching), 8, 'nothing is known');
    watching.habit(WEEK, {}, 7, MINUTE);
    watching.morning(7);
    assert.equal(limit(watching), 25, '2.5 × 7 and 8');
    const [verdict] = watching.send({}, 26, MINUTE);
    assert.match(
      verdict!.evidence.sentence,
      /26 messages within 1h; .*; rule "hour" allows 25 \(2\.5 × 7 \+ 8\)\.$/,
    );
    assert.equal(verdict!.evidence.habit?.bound, undefined);
    watching.habit([8], {}, 30, MINUTE);
    assert.equal(limit(watching.morning(9)), 83);
    watching.habit([10], {}, 50, MINUTE);
    assert.equal(limit(watching.morning(11)), 100, 'the ceiling');
  });

  test('adds to the highest multiple, and is at least the floor', () => {
    const watching = new Watching(rule('{ baseline: 3x, record: 1x, plus: 4, floor: 20, start: 30 }'));
    assert.equal(limit(watching), 30);
    watching.habit(WEEK, {}, 5, MINUTE);
    assert.equal(limit(watching.morning(7)), 20, '19 is less');
    watching.habit([8, 9], {}, 6, MINUTE);
    watching.habit([14], {}, 6, MINUTE);
    assert.equal(limit(watching.morning(15)), 22, '3 × 6 and 4');
  });

  test('is never above its ceiling', () => {
    const watching = new Watching(rule(LIMIT));
    watching.habit(WEEK, {}, 59, MINUTE);
    assert.equal(limit(watching.morning(7)), 100);
  });

  test('follows the largest message if it is told to', () => {
    const wide = (largest: string): Watching => {
      const text = `  - { id: hour, per: account, count: recipients, leaveOut: 1, window: 10m, limit: { baseline: 2x, ${largest}floor: 40 }, then: block, for: 1h }`;
      const watching = new Watching(text);
      watching.habit(WEEK, { recipients: 117 });
      return watching.morning(7);
    };
    assert.equal(limit(wide('')), 40);
    assert.equal(limit(wide('largest: 1.5x, ')), 175);
  });

  test('is not raised by the mail of today', () => {
    const watching = new Watching(rule(LIMIT));
    watching.habit(WEEK, {}, 3, MINUTE);
    watching.morning(7);
    assert.equal(limit(watching), 6);
    for (let count = 0; count < 5; count++) {
      watching.send({}, 50, MINUTE);
      assert.equal(limit(watching), 6);
    }
  });

  test('is that of the sender that has the row, also if another had it the same day', () => {
    const minutely = rule('{ baseline: 2x, floor: 3 }').replace('window: 1h', 'window: 1m');
    const watching = new Watching(minutely);
    watching.habit(WEEK, {}, 20, 1000);
    watching.morning(7);
    assert.deepEqual(watching.send({}, 40, 1000), []);
    watching.pass(HOUR);
    // Each that comes looks at two rows, and takes one that is given up.
    const others = Array.from({ length: 8 }, (_, user) =>
      watching.send({ account: `new${user}@example.com` }, 4, 1000).map(({ evidence }) => evidence.limit),
    );
    assert.deepEqual(
      others,
      others.map(() => [3]),
    );
    assert.equal(watching.models.sendVolume.sizes().account, 8, 'alice has none any more');
  });

  test('of a domain follows what the domain does', () => {
    const watching = new Watching(rule('{ baseline: 2x, floor: 3 }').replace('per: account', 'per: domain'));
    for (const day of WEEK) {
      for (const user of [1, 2, 3, 4]) watching.morning(day).send({ account: `u${user}@example.com` });
    }
    watching.morning(7);
    assert.equal(limit(watching, { type: 'domain', value: 'example.com' }), 8);
    assert.equal(limit(watching, { type: 'domain', value: 'example.net' }), 3);
  });

  test('is its floor if nothing ever comes of a day: of a return path, a network', () => {
    // Rules like these are refused by the parser; what was recorded may hold them.
    const watching = new Watching(rule('5').replace('per: account', 'per: address'));
    assert.equal(limit(watching, { type: 'address', value: ALICE.value }), 5);
  });
});

describe('what is bought', () => {
  const known = (): Watching => {
    const watching = new Watching(rule(LIMIT));
    watching.habit(WEEK, {}, 6, MINUTE);
    return watching.morning(7);
  };

  test('takes the place of a learnt limit, or multiplies it', () => {
    const watching = known();
    watching.override({ type: 'account', value: ALICE.value }, { limits: { hour: 50 } });
    assert.equal(limit(watching), 50);
    watching.override({ type: 'account', value: ALICE.value }, { factor: 3 });
    assert.equal(limit(watching), 36);
    watching.override({ type: 'account', value: ALICE.value }, { limits: { hour: 'off' } });
    assert.equal(limit(watching), undefined);
    assert.deepEqual(watching.send({}, 80, 1000), []);
  });

  test('may be less than the floor', () => {
    const watching = known();
    watching.override({ type: 'account', value: ALICE.value }, { limits: { hour: 2 } });
    const [verdict] = watching.send({}, 3, MINUTE);
    assert.deepEqual([verdict?.evidence.observed, verdict?.evidence.limit], [3, 2]);
    assert.match(verdict!.evidence.sentence, /allows 2 instead of 12/);
  });

  test('may be more than the ceiling', () => {
    const watching = known();
    watching.override({ type: 'domain', value: 'example.com' }, { limits: { hour: 500 } });
    assert.equal(limit(watching), 500);
  });
});

describe('the hour after a release', () => {
  test('triples a learnt limit as any other', () => {
    const watching = new Watching(rule(LIMIT));
    watching.habit(WEEK, {}, 6, MINUTE);
    watching.morning(7);
    const [verdict] = watching.send({}, 13, MINUTE);
    watching.release(watching.impose(verdict!), false, verdict);
    assert.equal(limit(watching), 36);
    assert.equal(limit(watching.pass(HOUR)), 12);
  });

  test('that follows a false positive begins with what the run would have reached', () => {
    const watching = new Watching(rule(LIMIT));
    watching.habit(WEEK, {}, 6, MINUTE);
    watching.morning(14);
    const [verdict] = watching.send({}, 13, MINUTE);
    assert.equal(verdict?.evidence.observed, 13);
    watching.release(watching.impose(verdict), true, verdict);
    // Twice thirteen, and that is the upper median of two weeks: twice that.
    assert.equal(limit(watching.pass(HOUR)), 52);
    assert.deepEqual(watching.send({}, 52, MINUTE / 2), [], 'on the very same day');
    watching.morning(15);
    // The day itself has had its fifty-two, which is the record now, and the upper median.
    assert.equal(limit(watching), 100, 'the ceiling');
  });
});

describe('a fresh installation', () => {
  /** The result for an unknown sender. */
  const doubtful = (watching: Watching): readonly string[] =>
    watching
      .send({ account: `new${watching.log.length}@example.com` }, 21, 1000)
      .map(({ rule: asked }) => asked.then);

  test('only proposes what a baseline says of an unknown sender, for a month', () => {
    const watching = new Watching(rule(LIMIT));
    assert.deepEqual(doubtful(watching), ['propose']);
    assert.deepEqual(doubtful(watching.until(DAWN + 8 * HOUR + 31 * DAY - MINUTE)), ['propose']);
    const later = new Watching(rule(LIMIT));
    assert.deepEqual(doubtful(later.until(DAWN + 8 * HOUR + 31 * DAY)), ['block']);
  });

  test('blocks a known sender', () => {
    const watching = new Watching(rule(LIMIT));
    watching.habit(WEEK);
    watching.morning(8);
    assert.deepEqual(
      watching.send({}, 8, 1000).map(({ rule: asked }) => asked.then),
      ['block'],
    );
  });

  test('blocks by fixed limits, and by rules that are for those who are being learnt', () => {
    for (const [limits, more] of [
      ['20', ''],
      [LIMIT, ', when: { learning: true }'],
    ] as const) {
      assert.deepEqual(doubtful(new Watching(rule(limits, more))), ['block']);
    }
  });

  test('is as old as its first event, or as the history that was imported', () => {
    const watching = new Watching(rule(LIMIT));
    const subject = { type: 'account', value: 'old@example.com' } as const;
    watching.fold('SenderDaySummarised', summary(DAWN / DAY - 40, { subject, peaks: { 'messages/1h': 3 } }));
    assert.deepEqual(doubtful(watching), ['block']);
  });

  test('of another learning time proposes for so long', () => {
    const text = `version: 1\nlearning: { installation: 2d }\nrules:\n${rule(LIMIT)}`;
    const watching = new Watching(text);
    watching.pass(2 * DAY - MINUTE);
    assert.deepEqual(doubtful(watching), ['propose']);
    assert.deepEqual(doubtful(watching.pass(HOUR + MINUTE)), ['block']);
  });
});

describe('a window that rules begin to use', () => {
  const MINUTES =
    '  - { id: hour, per: account, count: messages, window: 1m, limit: { baseline: 2x, floor: 5, start: 30 }, then: block, for: 1h }';
  const days = (first: number, count: number): readonly number[] =>
    Array.from({ length: count }, (_, index) => first + index);
  const known = (): Watching => {
    const watching = new Watching(rule(LIMIT));
    watching.habit(days(0, 60), {}, 20, 2000);
    watching.morning(60).rules(MINUTES);
    return watching;
  };

  test('is learnt from zero: its limit is the start, and it only proposes', () => {
    const watching = known();
    assert.equal(limit(watching), 30, 'not the floor of a sender whose minutes nobody ever counted');
    assert.deepEqual(
      watching.send({}, 31, 100).map((each) => each.rule.then),
      ['propose'],
    );
  });

  test('has baselines once it is known for as long as a new sender, and by its own weeks alone', () => {
    const watching = known();
    watching.habit(days(60, 7), {}, 20, 2000);
    assert.equal(limit(watching.morning(66)), 40, 'more than the start');
    assert.deepEqual(
      watching.send({}, 41, 100).map((each) => each.rule.then),
      ['propose'],
    );
    assert.deepEqual(
      watching
        .morning(67)
        .send({}, 200, 100)
        .map((each) => each.rule.then),
      ['block'],
    );
  });

  test('is known where the rules had it until a week ago', () => {
    const watching = known();
    watching.habit(days(60, 8), {}, 20, 2000);
    watching.morning(68).rules(rule(LIMIT));
    watching.morning(75).rules(MINUTES);
    assert.equal(limit(watching), 40);
    watching.rules(rule(LIMIT));
    watching.morning(83).rules(MINUTES);
    assert.equal(limit(watching), 30, 'eight days are too many');
  });

  test('is known where history tells of it', () => {
    const watching = new Watching(rule(LIMIT));
    for (const day of days(-30, 30)) {
      const peaks = { 'messages/1h': 60, 'messages/1m': 12 };
      watching.fold('SenderDaySummarised', summary(DAWN / DAY + day, { messages: 60, peaks }));
    }
    watching.rules(MINUTES);
    assert.equal(limit(watching), 24);
  });

  test('of accounts that turn together makes none of them turn', () => {
    const watching = new Watching(rule(LIMIT));
    for (const day of days(0, 40)) {
      for (const user of [1, 2, 3])
        watching.morning(day).send({ account: `u${user}@example.com` }, 9, MINUTE);
    }
    const turned = 'turned: { count: messages, window: 30m, limit: { baseline: 1x, floor: 2 } }';
    watching
      .morning(41)
      .rules(
        `  - { id: all, per: domain, count: accounts, window: 30m, limit: 2, ${turned}, then: block, for: 1h }`,
      );
    const crowd = (messages: number): number =>
      [1, 2, 3].reduce(
        (sum, user) => sum + watching.send({ account: `u${user}@example.com` }, messages, 1000).length,
        0,
      );
    assert.equal(crowd(8), 0);
    watching.morning(51);
    assert.ok(crowd(17) > 0, 'after ten days it can say');
  });
});
