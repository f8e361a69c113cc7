import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { WindowReading } from '../../../projections/volume/rule-evaluation.js';
import { HOUR, MINUTE } from '../../../src/kernel/time.js';
import { DEFAULT_RULES } from '../../../src/rules/defaults.js';
import { isDistinctCount } from '../../../src/rules/model.js';
import { effectiveAt } from '../../../src/sending/events.js';
import { domainOf } from '../../../src/sending/identity.js';
import type { Subject } from '../../../src/sending/subjects.js';
import { ALICE } from '../../support/given.js';
import { SUBJECTS, folding, histories, logOf } from '../../support/history.js';
import { DAWN, Watching } from '../../support/watching.js';

const BUILT_IN = DEFAULT_RULES.slice(DEFAULT_RULES.indexOf('version:'));
const SITE: Subject = { type: 'domain', value: 'example.com' };
const user = (number: number): Subject => ({ type: 'account', value: `u${number}@example.com` });

function read(watching: Watching, subject: Subject = ALICE): Readonly<Record<string, WindowReading>> {
  const readings = watching.models.sendVolume.readings(subject, watching.now);
  return Object.fromEntries(readings.map((reading) => [reading.rule, reading]));
}

/** Why rules cannot trip for a subject now. */
function notNow(watching: Watching, subject: Subject = ALICE): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.values(read(watching, subject)).flatMap((each) =>
      each.notNow === undefined ? [] : [[each.rule, each.notNow]],
    ),
  );
}

describe('of the built-in rules', () => {
  const days = (from: number, to: number): readonly number[] =>
    Array.from({ length: to - from }, (_, index) => from + index);

  test('those for the first days are not for an account that is known', () => {
    const watching = new Watching(BUILT_IN);
    watching.habit(days(0, 9));
    watching.morning(9);
    assert.deepEqual(notNow(watching), {
      'start-first': 'asks for a sender that is still being learnt: it is known',
      'start-second':
        'asks for 10d of watching: Stopgap has watched for 9d; asks for a sender that is still being learnt: it is known',
    });
    assert.deepEqual(read(watching)['strange']?.besides, [
      '2 points of a network never seen before (1), an EHLO name never seen before (1)',
    ]);
    assert.deepEqual(read(watching)['minute']?.besides, []);
  });

  test('one of the two is for a stranger; what is new, or turns, is nothing that a stranger is blamed for', () => {
    const watching = new Watching(BUILT_IN);
    const young = 'asks for a sender that is known, or 10d of watching: it is still being learnt';
    watching.pass(HOUR);
    assert.deepEqual(notNow(watching), {
      addresses: 'asks for an EHLO name never seen before: it is still being learnt',
      elsewhere:
        'asks for 2 points, and 0 can come together now: not a network never seen before (it is still being learnt), nor an EHLO name never seen before (it is still being learnt)',
      strange:
        'asks for 2 points, and 0 can come together now: not a network never seen before (it is still being learnt), nor an EHLO name never seen before (it is still being learnt), nor 30d of silence before today (it has not sent on any day before)',
      'start-second': 'asks for 10d of watching: Stopgap has watched for 1h',
      together: young,
    });
    watching.morning(11);
    assert.deepEqual(Object.keys(notNow(watching)), ['elsewhere', 'start-first', 'strange', 'addresses']);
    watching.morning(32);
    assert.deepEqual(Object.keys(notNow(watching)), [
      'elsewhere',
      'start-first',
      'start-second',
      'strange',
      'addresses',
    ]);
  });

  test('those that ask for nothing besides are for everybody, of each type', () => {
    const watching = new Watching(BUILT_IN);
    for (const [subject, rules] of [
      [SITE, ['domain', 'together']],
      [{ type: 'ip', value: '192.0.2.7' }, ['guessing', 'fleet']],
      [{ type: 'address', value: ALICE.value }, []],
    ] as const) {
      assert.deepEqual(Object.keys(read(watching, subject)), rules);
      assert.deepEqual(notNow(watching, subject), {});
    }
  });
});

describe('accounts that turn together', () => {
  const ALL =
    '  - { id: all, per: domain, count: accounts, window: 30m, limit: 2, turned: { count: messages, window: 20m, limit: { baseline: 2x, floor: 2 }, alarm: 1h, after: 1m }, then: block, for: 1h }\n';
  const RULES = `version: 1\nlearning: { days: 1, age: 1m, installation: 1m }\nrules:\n${ALL}`;
  const begun = (): Watching => new Watching(RULES).pass(HOUR);

  test('are told of an account: its own window, whether it has turned, and how many of its domain have', () => {
    const watching = begun();
    const group = { domain: 'example.com', limit: 2, window: 30 * MINUTE };
    const besides = ['it is where it was on no day before, or sends more than twice as much'];
    const own = { rule: 'all', count: 'messages', window: 20 * MINUTE, direction: 'outbound', besides };
    watching.send({ account: 'u1@example.com' }, 2);
    assert.deepEqual(watching.models.sendVolume.readings(user(1), watching.now), [
      { ...own, observed: 2, limit: 2, outbreak: { ...group, accounts: 0 } },
    ]);
    watching.pass(MINUTE).send({ account: 'u1@example.com' });
    const turnedAt = watching.now;
    watching.pass(MINUTE);
    assert.deepEqual(watching.models.sendVolume.readings(user(1), watching.now), [
      { ...own, observed: 3, limit: 2, outbreak: { ...group, accounts: 1, turnedAt } },
    ]);
    assert.deepEqual(read(watching, user(2))['all']?.outbreak, { ...group, accounts: 1 });
    assert.deepEqual(watching.models.sendVolume.readings(SITE, watching.now), [
      {
        rule: 'all',
        count: 'accounts',
        window: 30 * MINUTE,
        direction: 'outbound',
        besides: [],
        observed: 1,
        limit: 2,
        outbreak: { ...group, accounts: 1 },
      },
    ]);
    // Its own window is empty before it is out of the domain's
    watching.until(turnedAt + 25 * MINUTE);
    assert.equal(read(watching, user(1))['all']?.observed, 0);
    assert.equal(read(watching, user(1))['all']?.outbreak?.turnedAt, turnedAt);
    watching.until(turnedAt + 30 * MINUTE);
    assert.deepEqual(read(watching, user(1))['all']?.outbreak, { ...group, accounts: 0 });
    assert.equal(read(watching, { type: 'account', value: 'u1@example.net' })['all']?.outbreak?.accounts, 0);
  });

  test('are on alarm once they are too many, and counted afresh', () => {
    const watching = begun();
    for (const number of [1, 2, 3]) watching.send({ account: user(number).value }, 3);
    const alarmUntil = watching.now + HOUR;
    for (const subject of [SITE, user(1), user(4)]) {
      const { accounts, turnedAt, alarmUntil: until } = read(watching, subject)['all']!.outbreak!;
      assert.deepEqual([accounts, turnedAt, until], [0, undefined, alarmUntil]);
    }
    watching.until(alarmUntil - 1);
    assert.equal(read(watching, SITE)['all']?.outbreak?.alarmUntil, alarmUntil);
    watching.until(alarmUntil);
    assert.equal(read(watching, SITE)['all']?.outbreak?.alarmUntil, undefined);
  });

  test('are those that may: not a stranger at first, nor who was just called honest', () => {
    const watching = new Watching(RULES.replace('after: 1m', 'after: 2h').replace('days: 1', 'days: 9'));
    assert.deepEqual(notNow(watching, user(1)), {
      all: 'asks for a sender that is known, or 2h of watching: it is still being learnt',
    });
    watching.pass(2 * HOUR);
    assert.deepEqual(notNow(watching, user(1)), {});
    watching.release(watching.block(user(1)), true);
    assert.deepEqual(notNow(watching, user(1)), {
      all: 'does not count it for an hour after a person has called a verdict on it wrong',
    });
    assert.equal(read(watching, user(1))['all']?.limit, 6);
    watching.pass(HOUR);
    watching.release(watching.block(user(1)), false);
    assert.deepEqual(notNow(watching, user(1)), {});
  });

  test('go by what the domain has bought', () => {
    const watching = begun();
    watching.override({ type: 'domain', value: 'example.com' }, { total: { limits: { all: 7 } } });
    assert.equal(read(watching, SITE)['all']?.limit, 7);
    assert.equal(read(watching, user(1))['all']?.outbreak?.limit, 7);
    assert.equal(read(watching, user(1))['all']?.limit, 2, 'what is its own nobody has bought');
    watching.override({ type: 'domain', value: 'example.com' }, { total: { limits: { all: 'off' } } });
    for (const subject of [SITE, user(1)])
      assert.deepEqual(watching.models.sendVolume.readings(subject, watching.now), []);
  });

  test('have a domain', () => {
    const watching = begun();
    for (const type of ['account', 'address', 'ehlo', 'ip'] as const)
      assert.deepEqual(watching.models.sendVolume.readings({ type, value: 'root' }, watching.now), []);
  });
});

test('conditions on what was sent are told with their present state, also for a sender that has sent nothing', () => {
  const when = 'when: { distinct: { networks: 1 }, share: { of: refusedRecipients, above: 0.5, least: 2 } }';
  const watching = new Watching(
    `version: 1\nrules:\n  - { id: bad, per: account, count: recipients, window: 1h, limit: 9, ${when}, then: block, for: 1h }\n`,
    DAWN + 8 * HOUR,
  );
  const besides = (networks: number, share: string): readonly string[] => [
    `more than 1 different networks (${networks} now)`,
    `at least 2 refused recipients, more than 50 % of all recipients (${share} now)`,
  ];
  assert.deepEqual(read(watching)['bad']?.besides, besides(0, '0 of 0'));
  watching.send({ ip: '192.0.2.7' }, 2);
  watching.send({ ip: '192.0.2.8' });
  const sender = { account: ALICE.value, direction: 'outbound', transaction: 't', entitled: true };
  watching.fold('RecipientsRefused', { ...sender, count: 1, code: 550 });
  assert.deepEqual(read(watching)['bad']?.besides, besides(2, '1 of 4'));
});

test('no rule trips right after a reading that says that it cannot', () => {
  const seen = { verdicts: 0, notNow: 0, turned: 0 };
  fc.assert(
    fc.property(histories, (history) => {
      const { models, verdicts } = folding();
      for (const event of logOf(history)) {
        const now = effectiveAt(event);
        const before = new Map(
          SUBJECTS.map((subject) => [
            `${subject.type} ${subject.value}`,
            models.sendVolume.readings(subject, now),
          ]),
        );
        const since = verdicts.length;
        models.apply(event);
        for (const { kind, rule, subject, evidence } of verdicts.slice(since)) {
          const readings = before.get(`${subject.type} ${subject.value}`);
          if (kind !== 'act' || readings === undefined) continue;
          const reading = readings.find((each) => each.rule === rule.id);
          assert.ok(reading !== undefined && rule.id === reading.rule, `${rule.id} is not among them`);
          seen.verdicts++;
          if (rule.count !== 'accounts') {
            assert.equal(reading.notNow, undefined, `${rule.id}: ${evidence.sentence}`);
            if (!isDistinctCount(rule.count)) assert.ok(reading.observed <= evidence.observed);
            continue;
          }
          // One of these may have turned before; and it may have turned by this very event.
          const { outbreak: together } = reading;
          assert.equal(together?.domain, domainOf(subject.value));
          assert.ok(together?.turnedAt !== undefined || reading.notNow === undefined);
          assert.ok(evidence.observed - together!.accounts <= 1);
          seen.turned++;
        }
        for (const readings of before.values())
          seen.notNow += readings.filter((each) => each.notNow !== undefined).length;
      }
    }),
    { numRuns: 20 },
  );
  for (const [what, count] of Object.entries(seen)) assert.ok(count > 10, `only ${count} ${what}`);
});
