import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SendVolume } from '../../../projections/volume/send-volume.js';
import { DAY, MINUTE } from '../../../src/kernel/time.js';
import { LEARNING } from '../../../src/rules/model.js';
import type { RulesChanged } from '../../../src/rules/model.js';
import type { Verdict } from '../../../src/rules/respond.js';
import { summary } from '../../support/days.js';
import { ALICE } from '../../support/given.js';
import { event, rulesChanged } from '../../support/sends.js';
import { DAWN, Watching } from '../../support/watching.js';

const KNOWN = 'version: 1\nlearning: { days: 1, age: 1m, installation: 1m }\nrules:\n';
const HOURLY =
  '  - { id: hour, per: account, count: messages, window: 1h, limit: { baseline: 2x, record: 1x, floor: 10 }, then: block, for: 1h }\n';

const asked = (verdicts: readonly Verdict[]): readonly string[] =>
  verdicts.map(({ rule, subject }) => `${rule.id} ${rule.then} ${subject.value}`);

describe('a rule', () => {
  test('on what is new minds where refused recipients come from', () => {
    const rule =
      '  - { id: list, per: account, count: refusedRecipients, window: 1h, limit: 5, when: { newIp: true }, then: block, for: 1h }\n';
    const refused = (ip: string): readonly Verdict[] => {
      const watching = new Watching(KNOWN + rule);
      watching.send();
      watching.morning(1);
      const sender = { account: ALICE.value, ip, direction: 'outbound', transaction: 't', entitled: true };
      return watching.fold('RecipientsRefused', { ...sender, count: 6, code: 550 });
    };
    assert.deepEqual(refused('192.0.2.7'), []);
    const [verdict] = refused('203.0.113.9');
    assert.match(
      verdict!.evidence.sentence,
      /6 refused recipients within 1h; network 203\.0\.113\.9 never seen before; /,
    );
  });

  test('on a share sees what was refused and what was tried', () => {
    const rule =
      '  - { id: list, per: account, count: refusedRecipients, window: 1h, limit: 4, when: { share: { of: refusedRecipients, above: 0.3, least: 5 } }, then: block, for: 1h }\n';
    const watching = new Watching(KNOWN + rule);
    const sender = { account: ALICE.value, direction: 'outbound', transaction: 't', entitled: true };
    const refused = (): readonly Verdict[] =>
      watching.fold('RecipientsRefused', { ...sender, count: 1, code: 550 });
    watching.send({ recipients: 14 });
    for (let count = 0; count < 6; count++)
      assert.deepEqual(refused(), [], 'six of twenty is no more than 0.3');
    const [verdict] = refused();
    assert.match(
      verdict!.evidence.sentence,
      /7 refused recipients within 1h; 7 of 21 recipients were refused; rule "list" allows 4/,
    );
  });

  test('on different ones uses its evidence once, and counts afresh', () => {
    const rule =
      '  - { id: nets, per: account, count: networks, window: 1h, limit: 2, then: block, for: 1h }\n';
    const watching = new Watching(KNOWN + rule);
    const from = (last: number): readonly Verdict[] => watching.pass(1000).send({ ip: `192.0.2.${last}` });
    assert.deepEqual(
      [1, 2, 3, 4, 5, 4, 3].map((last) => from(last).length),
      [0, 0, 1, 0, 0, 0, 1],
    );
    const [verdict] = [6, 7, 8].map(from).flat();
    assert.match(verdict!.evidence.sentence, /3 different networks within 1h; rule "nets" allows 2\.$/);
  });

  test('on the messages beside the largest lets one or two of any size pass', () => {
    const rule =
      '  - { id: wide, per: account, count: recipients, leaveOut: 2, window: 10m, limit: 40, then: block, for: 1h }\n';
    const watching = new Watching(KNOWN + rule);
    assert.deepEqual(watching.send({ recipients: 900 }, 2), []);
    assert.deepEqual(watching.send({ recipients: 40 }), []);
    const [verdict] = watching.send({ recipients: 1 });
    assert.deepEqual([verdict?.evidence.observed, verdict?.evidence.leaveOut], [41, 2]);
    assert.match(verdict!.evidence.sentence, /41 recipients within 10m besides its two largest messages/);
    const next = watching.pass(MINUTE).send({ recipients: 900 }, 2);
    assert.deepEqual(
      next.filter(({ kind }) => kind === 'act'),
      [],
      'and begins with two more',
    );
    assert.equal(watching.send({ recipients: 41 }).length, 1);
  });

  test('that was recorded before there was learning still folds, as if it said the usual', () => {
    const changed = rulesChanged(HOURLY, DAWN, 1);
    const { rules, ...rest } = changed.data as RulesChanged;
    const { learning, ...old } = rules;
    assert.deepEqual(learning, LEARNING);
    const volumes = [rules, old].map((each) => {
      const volume = new SendVolume();
      volume.apply({ ...changed, data: { ...rest, rules: each } });
      return volume;
    });
    for (let day = 0; day < 9; day++) {
      for (const volume of volumes) {
        volume.apply(
          event(
            'SenderDaySummarised',
            summary(DAWN / DAY + day, { peaks: { 'messages/1h': 9 } }),
            DAWN + (day + 1) * DAY,
            day + 2,
          ),
        );
      }
    }
    const [now, then] = volumes.map((volume) => volume.readings(ALICE, DAWN + 10 * DAY));
    assert.deepEqual(then, now);
    assert.equal(now?.[0]?.limit, 18);
  });
});

describe('accounts that turn together', () => {
  const together = (then: string): string =>
    `  - { id: all, per: domain, count: accounts, window: 30m, limit: 2, turned: { count: messages, window: 30m, limit: { baseline: 2x, floor: 2 }, alarm: 1h, after: 1m }, then: ${then}, for: 1h }\n`;
  const crowd = (watching: Watching, users: readonly number[], messages: number): readonly Verdict[] =>
    users.flatMap((user) => watching.pass(1000).send({ account: `u${user}@example.com` }, messages));

  test('are told of one by one, each with what it did', () => {
    const watching = new Watching(KNOWN + together('block'));
    watching.pass(MINUTE);
    assert.deepEqual(crowd(watching, [1, 2], 3), []);
    const verdicts = crowd(watching, [3], 3);
    assert.deepEqual(
      asked(verdicts),
      [1, 2, 3].map((user) => `all block u${user}@example.com`),
    );
    assert.match(
      verdicts[0]!.evidence.sentence,
      /^Account u1@example\.com: 3 messages within 30m.* one of 3 accounts of example\.com that turned abnormal together; rule "all" allows 2 /,
    );
    assert.match(crowd(watching, [4], 3)[0]!.evidence.sentence, /alarm/);
  });

  test('are told of once, also if nothing is done about it', () => {
    for (const then of ['observe', 'propose']) {
      const watching = new Watching(KNOWN + together(then));
      watching.pass(MINUTE);
      assert.equal(crowd(watching, [1, 2, 3], 3).length, 3);
      watching.pass(MINUTE);
      const more = crowd(watching, [1, 2, 3], 2);
      assert.deepEqual(asked(more), [], 'what they sent is evidence no more');
      assert.equal(crowd(watching, [1], 1).length, 1, 'until there is as much again');
    }
  });

  test('are none with a block in force or a judgement', () => {
    const watching = new Watching(KNOWN + together('block'));
    watching.pass(MINUTE);
    crowd(watching, [1, 2], 3);
    watching.release(watching.block({ type: 'account', value: 'u1@example.com' }));
    assert.deepEqual(crowd(watching, [3], 3), []);
    assert.equal(crowd(watching, [4], 3).length, 3);
  });

  test('are as many as were bought for the domain', () => {
    const watching = new Watching(KNOWN + together('block'));
    watching.override({ type: 'domain', value: 'example.com' }, { total: { limits: { all: 4 } } });
    watching.pass(MINUTE);
    assert.deepEqual(crowd(watching, [1, 2, 3, 4], 3), []);
    assert.equal(crowd(watching, [5], 3).length, 5);
  });
});
