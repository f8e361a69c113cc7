import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DAY, HOUR, MINUTE } from '../../../src/kernel/time.js';
import type { Baseline, Rule, RuleSet } from '../../../src/rules/model.js';
import { LEARNING } from '../../../src/rules/model.js';
import { InvalidRules, parseRules } from '../../../src/rules/parse.js';

/* What rules can say of baselines: each key good and bad. Every line of a rule is line 3 of its file, and on. */

const BASE: Readonly<Record<string, string>> = {
  id: 'r',
  per: 'account',
  count: 'recipients',
  window: '10m',
  limit: '100',
  then: 'block',
  for: '1h',
};
/** A rule with a line for each key: what is given over what {@link BASE} has; undefined leaves a key out. */
function file(...rules: readonly Readonly<Record<string, string | undefined>>[]): string {
  const text = rules.map((more) =>
    Object.entries({ ...BASE, ...more })
      .filter(([, value]) => value !== undefined)
      .map(([key, value], index) => `  ${index === 0 ? '-' : ' '} ${key}: ${value!}\n`)
      .join(''),
  );
  return `version: 1\nrules:\n${text.join('')}`;
}
const read = (more: Readonly<Record<string, string | undefined>>): Rule => parseRules(file(more)).rules[0]!;

type Fault = readonly [line: number | undefined, path: string, message: string];
function faults(text: string): readonly Fault[] {
  try {
    parseRules(text, 'rules.yaml');
  } catch (error) {
    assert.ok(error instanceof InvalidRules, String(error));
    return error.faults.map(({ line, path, message }) => [line, path, message]);
  }
  return assert.fail(`was accepted:\n${text}`);
}

const FOLLOWS: Baseline = { typical: 5, record: 0, largest: 0, floor: 40, start: 40, ceiling: null };
const ACCOUNTS = {
  per: 'domain',
  count: 'accounts',
  window: '30m',
  limit: '4',
  turned: '{ count: messages, window: 30m, limit: { baseline: 0.5x, record: 0.5x, floor: 2 } }',
};

describe('a limit that follows baselines', () => {
  for (const [text, expected, lowest] of [
    ['{ baseline: 5x, floor: 40 }', FOLLOWS, 40],
    ['{ baseline: 5, floor: 40 }', FOLLOWS, 40],
    ['{ baseline: "5 X", floor: 40 }', FOLLOWS, 40],
    [
      '{ baseline: 1.5x, record: 1.25x, largest: 0.5x, floor: 40, start: 80, ceiling: 2000 }',
      { typical: 1.5, record: 1.25, largest: 0.5, floor: 40, start: 80, ceiling: 2000 },
      40,
    ],
    ['{ baseline: 2x, floor: 90, start: 8 }', { ...FOLLOWS, typical: 2, floor: 90, start: 8 }, 8],
    [
      '{ baseline: 2x, floor: 90, ceiling: 90 }',
      { ...FOLLOWS, typical: 2, floor: 90, start: 90, ceiling: 90 },
      90,
    ],
    [
      '{ record: 2.5x, plus: 10 }',
      { ...FOLLOWS, typical: 0, record: 2.5, plus: 10, floor: 10, start: 10 },
      10,
    ],
    [
      '{ record: 2.5x, plus: 10, floor: 12, start: 40, ceiling: 400 }',
      { ...FOLLOWS, typical: 0, record: 2.5, plus: 10, floor: 12, start: 40, ceiling: 400 },
      12,
    ],
  ] as const) {
    test(`is read: ${text}`, () => {
      const rule = read({ limit: text });
      assert.deepEqual(rule.baseline, expected);
      assert.equal(rule.limit, lowest, 'the lowest that it can be');
    });
  }
  test('of bytes takes sizes', () => {
    const { baseline } = read({ count: 'bytes', limit: '{ baseline: 2x, floor: 5MB, ceiling: 1GiB }' });
    assert.deepEqual([baseline?.floor, baseline?.ceiling], [5e6, 2 ** 30]);
  });
  test('is absent if the limit is a number', () => {
    assert.ok(!('baseline' in read({})));
  });
});

describe('what else must hold', () => {
  for (const [text, expected] of [
    ['{ newIp: true, newEhlo: true, newCountry: true, newAsn: true }', undefined],
    ['{ firstSeenWithin: 7d, learning: false }', { firstSeenWithin: 7 * DAY, learning: false }],
    ['{ dormantFor: 30d }', { dormantFor: 30 * DAY }],
    ['{ installedWithin: 31d, installedFor: 10d }', { installedWithin: 31 * DAY, installedFor: 10 * DAY }],
    ['{ quietHours: unusual }', { quietHours: { kind: 'unusual' } }],
    ['{ quietHours: "22:00-6:30" }', { quietHours: { kind: 'fixed', from: 1320, to: 390, zone: 'UTC' } }],
    [
      '{ quietHours: "0:00 - 23:59 Europe/Berlin" }',
      { quietHours: { kind: 'fixed', from: 0, to: 1439, zone: 'Europe/Berlin' } },
    ],
    ['{ distinct: { networks: 3, returnPaths: 15 } }', { distinct: { networks: 3, returnPaths: 15 } }],
    ['{ share: { of: bounces, above: 1, least: 5 } }', { share: { of: 'bounces', above: 1, least: 5 } }],
    [
      '{ share: { of: refusedRecipients, above: 0.3, least: 20 } }',
      { share: { of: 'refusedRecipients', above: 0.3, least: 20 } },
    ],
  ] as const) {
    test(`is read: ${text}`, () => {
      const all = { newIp: true, newEhlo: true, newCountry: true, newAsn: true };
      assert.deepEqual(read({ when: text }).when, expected ?? all);
    });
  }
  test('as signals that add up', () => {
    const text =
      '{ threshold: 3, signals: [{ newIp: true, points: 2 }, { dormantFor: 30d, newEhlo: true, points: 1.5 }] }';
    assert.deepEqual(read({ score: text }).score, {
      threshold: 3,
      signals: [
        { newIp: true, points: 2 },
        { dormantFor: 30 * DAY, newEhlo: true, points: 1.5 },
      ],
    });
  });
});

describe('the rest', () => {
  test('of different ones, largest messages and what teaches is read', () => {
    assert.equal(read({ leaveOut: '2' }).leaveOut, 2);
    assert.equal(read({ teaches: 'true' }).teaches, true);
    for (const count of ['networks', 'ehlos', 'returnPaths', 'recipientDomains'] as const) {
      assert.equal(read({ count, limit: '15' }).count, count);
    }
  });
  test('of accounts that turn is read', () => {
    const baseline = { typical: 0.5, record: 0.5, largest: 0, floor: 2, start: 2, ceiling: null };
    assert.deepEqual(read(ACCOUNTS).turned, {
      count: 'messages',
      window: 30 * MINUTE,
      baseline,
      alarm: 30 * MINUTE,
      after: 10 * DAY,
    });
    const turned = ACCOUNTS.turned.replace('{ count', '{ alarm: 4h, after: 31d, count');
    assert.deepEqual(read({ ...ACCOUNTS, turned }).turned, {
      count: 'messages',
      window: 30 * MINUTE,
      baseline,
      alarm: 4 * HOUR,
      after: 31 * DAY,
    });
  });
  test('of learning is read, with what it leaves unsaid', () => {
    const learning = (text: string): RuleSet['learning'] =>
      parseRules(`${file({})}learning: ${text}\n`).learning;
    assert.deepEqual(learning('{}'), LEARNING);
    assert.deepEqual(learning('{ days: 16 }'), { ...LEARNING, days: 16 });
    assert.deepEqual(learning('{ days: 1, age: 1m, installation: 365d }'), {
      days: 1,
      age: MINUTE,
      installation: 365 * DAY,
    });
  });
});

/** A fault in one key: its value, where it is found beneath the rule, and what is said. */
const BAD: readonly (readonly [key: string, value: string, path: string, message: RegExp])[] = [
  ['limit', '', 'limit', /must be a number, or follow the sender such as/],
  ['limit', '[1]', 'limit', /must be a number, or follow the sender such as/],
  ['limit', '{}', 'limit.floor', /is missing|whole number/],
  ['limit', '{ floor: 8 }', 'limit.baseline', /is missing|multiple such as 5x/],
  ['limit', '{ baseline: 5x }', 'limit.floor', /is missing|whole number/],
  ['limit', '{ plus: 8 }', 'limit.baseline', /is missing/],
  ['limit', '{ largest: 2x, plus: 8 }', 'limit.baseline', /is missing/],
  ['limit', '{ record: 2x }', 'limit.floor', /is missing: give it, or plus/],
  ['limit', '{ record: 2x, plus: 0 }', 'limit.plus', /whole number of at least 1/],
  ['limit', '{ record: 2x, plus: 8, floor: 7 }', 'limit.floor', /not be lower than plus/],
  ['limit', '{ record: 2x, plus: 8, start: 7 }', 'limit.start', /not be lower than plus/],
  ['limit', '{ record: 2x, plus: 8, ceiling: 7 }', 'limit.ceiling', /not be lower than floor and start/],
  [
    'limit',
    '{ baseline: 5x, floor: 8, median: 3 }',
    'limit.median',
    /not a known key; known are baseline, record, /,
  ],
  ['limit', '{ baseline: 0x, floor: 8 }', 'limit.baseline', /multiple such as 5x, above 0 and at most 1000x/],
  ['limit', '{ baseline: 1001x, floor: 8 }', 'limit.baseline', /at most 1000x/],
  ['limit', '{ baseline: -1, floor: 8 }', 'limit.baseline', /above 0/],
  ['limit', '{ baseline: x5, floor: 8 }', 'limit.baseline', /multiple such as 5x/],
  ['limit', '{ baseline: 5%, floor: 8 }', 'limit.baseline', /multiple such as 5x/],
  ['limit', '{ baseline: 5x, record: twice, floor: 8 }', 'limit.record', /multiple such as 5x/],
  ['limit', '{ baseline: 5x, floor: 0 }', 'limit.floor', /whole number of at least 1/],
  ['limit', '{ baseline: 5x, floor: 2.5 }', 'limit.floor', /whole number of at least 1/],
  ['limit', '{ baseline: 5x, floor: 40, ceiling: 39 }', 'limit.ceiling', /not be lower than floor and start/],
  [
    'limit',
    '{ baseline: 5x, floor: 4, start: 9, ceiling: 8 }',
    'limit.ceiling',
    /lower than floor and start/,
  ],
  ['leaveOut', '3', 'leaveOut', /must be 1 or 2/],
  ['leaveOut', '0', 'leaveOut', /must be 1 or 2/],
  ['teaches', 'false', 'teaches', /must be true; leave it out/],
  ['when', '{}', 'when', /at least one condition/],
  ['when', '{ newIP: true }', 'when.newIP', /^is not a known key; did you mean newIp\?$/],
  ['when', '{ newIp: false }', 'when.newIp', /must be true; leave it out/],
  ['when', '{ newIp: 1 }', 'when.newIp', /must be true/],
  ['when', '{ learning: maybe }', 'when.learning', /true or false/],
  ['when', '{ dormantFor: 12h }', 'when.dormantFor', /from 24h to 365d/],
  ['when', '{ dormantFor: 366d }', 'when.dormantFor', /from 24h to 365d/],
  ['when', '{ dormantFor: 30 }', 'when.dormantFor', /duration such as/],
  ['when', '{ firstSeenWithin: 1h }', 'when.firstSeenWithin', /from 24h to 365d/],
  ['when', '{ installedWithin: 59m }', 'when.installedWithin', /from 1h to 365d/],
  ['when', '{ quietHours: night }', 'when.quietHours', /unusual, or hours such as/],
  ['when', '{ quietHours: "22:00-24:00" }', 'when.quietHours', /hours such as 22:00-06:00/],
  ['when', '{ quietHours: "22:60-06:00" }', 'when.quietHours', /hours such as 22:00-06:00/],
  ['when', '{ quietHours: "22:00" }', 'when.quietHours', /hours such as 22:00-06:00/],
  ['when', '{ quietHours: "22:00-06:00 Europe/Nowhere" }', 'when.quietHours', /a zone of the IANA database/],
  ['when', '{ quietHours: "08:00-8:00" }', 'when.quietHours', /begin and end at different times/],
  ['when', '{ quietHours: [22, 6] }', 'when.quietHours', /unusual, or hours such as/],
  ['when', '{ distinct: {} }', 'when.distinct', /must name one of networks/],
  ['when', '{ distinct: { ips: 3 } }', 'when.distinct.ips', /not a known key; known are networks, /],
  ['when', '{ distinct: { networks: 16 } }', 'when.distinct.networks', /from 1 to 15/],
  ['when', '{ distinct: { networks: 0 } }', 'when.distinct.networks', /from 1 to 15/],
  ['when', '{ distinct: { networks: 2.5 } }', 'when.distinct.networks', /from 1 to 15/],
  [
    'when',
    '{ share: { of: messages, above: 0.3, least: 9 } }',
    'when.share.of',
    /refusedRecipients or bounces/,
  ],
  ['when', '{ share: { of: bounces, above: 30, least: 9 } }', 'when.share.above', /share from 0 to 1/],
  ['when', '{ share: { of: bounces, above: 30%, least: 9 } }', 'when.share.above', /share from 0 to 1/],
  ['when', '{ share: { of: refusedRecipients, above: 1, least: 9 } }', 'when.share.above', /must be below 1/],
  ['when', '{ share: { of: bounces, above: 0.3, least: 0 } }', 'when.share.least', /at least 1/],
  ['when', '{ share: { of: bounces, above: 0.3 } }', 'when.share.least', /missing|whole number/],
  ['score', '{ threshold: 1, signals: [] }', 'score.signals', /at least one signal/],
  ['score', '{ threshold: 1, signals: none }', 'score.signals', /list of signals/],
  ['score', '{ threshold: 0, signals: [{ newIp: true, points: 1 }] }', 'score.threshold', /above 0/],
  ['score', '{ threshold: 3, signals: [{ newIp: true, points: 2 }] }', 'score.threshold', /never be reached/],
  ['score', '{ threshold: 1, signals: [{ points: 1 }] }', 'score.signals[0]', /at least one condition/],
  ['score', '{ threshold: 1, signals: [{ newIp: true, points: -1 }] }', 'score.signals[0].points', /above 0/],
  ['score', '{ threshold: 1, signals: [{ newIp: true }] }', 'score.signals[0].points', /missing|above 0/],
  [
    'score',
    '{ threshold: 1, signals: [{ newIp: true, weight: 1, points: 1 }] }',
    'score.signals[0].weight',
    /known key/,
  ],
];

/** What each key would be right, but not together. */
const TOGETHER: readonly (readonly [
  what: Readonly<Record<string, string>>,
  path: string,
  message: RegExp,
])[] = [
  [
    { per: 'ip', count: 'messages', limit: '{ baseline: 2x, floor: 9 }' },
    'limit',
    /only accounts and domains have baselines/,
  ],
  [
    { per: 'domain', direction: 'inbound', limit: '{ baseline: 2x, floor: 9 }' },
    'direction',
    /baselines: they are those of who sends/,
  ],
  [
    { per: 'domain', direction: 'all', limit: '{ baseline: 2x, floor: 9 }' },
    'direction',
    /baselines: they are those of who sends/,
  ],
  [
    { count: 'networks', limit: '{ baseline: 2x, floor: 9 }' },
    'limit',
    /must be a number for a count of networks/,
  ],
  [{ count: 'networks', limit: '16' }, 'limit', /must be below 16/],
  [{ count: 'ehlos', per: 'domain', limit: '9' }, 'per', /must be account for a count of ehlos/],
  [
    { count: 'returnPaths', limit: '9', renewWhileTrying: 'true' },
    'renewWhileTrying',
    /does not go with a count of returnPaths/,
  ],
  [
    { count: 'messages', limit: '{ baseline: 2x, largest: 1x, floor: 9 }' },
    'limit',
    /largest is for a count of recipients/,
  ],
  [{ count: 'messages', leaveOut: '1' }, 'leaveOut', /count of recipients per account/],
  [{ per: 'domain', leaveOut: '1' }, 'leaveOut', /count of recipients per account/],
  [{ per: 'domain', when: '{ newIp: true }' }, 'when', /rules per account/],
  [
    { per: 'ip', score: '{ threshold: 1, signals: [{ newIp: true, points: 1 }] }' },
    'score',
    /rules per account/,
  ],
  [{ ...ACCOUNTS, when: '{ learning: false }' }, 'when', /rules per account/],
  [{ ...ACCOUNTS, per: 'account' }, 'per', /must be domain/],
  [{ ...ACCOUNTS, limit: '{ baseline: 2x, floor: 4 }' }, 'limit', /must be a number for a count of accounts/],
  [{ ...ACCOUNTS, limit: '1000' }, 'limit', /must be below 1000/],
  [{ ...ACCOUNTS, renewWhileTrying: 'true' }, 'renewWhileTrying', /count of accounts/],
  [{ ...ACCOUNTS, direction: 'all' }, 'direction', /baselines: they are those of who sends/],
  [
    { ...ACCOUNTS, turned: '{ count: bytes, window: 30m, limit: { baseline: 1x, floor: 1 } }' },
    'turned.count',
    /messages or recipients/,
  ],
  [
    { ...ACCOUNTS, turned: '{ count: messages, window: 30s, limit: { baseline: 1x, floor: 1 } }' },
    'turned.window',
    /from 1m/,
  ],
  [{ ...ACCOUNTS, turned: '{ count: messages, window: 30m, limit: 4 }' }, 'turned.limit', /./],
  [
    { ...ACCOUNTS, turned: '{ count: messages, window: 30m, limit: { baseline: 1x, floor: 1 }, alarm: 8d }' },
    'turned.alarm',
    /to 7d/,
  ],
  [{ turned: ACCOUNTS.turned }, 'turned', /for a count of accounts/],
  [
    { when: '{ learning: true, newEhlo: true }' },
    'when.newEhlo',
    /nothing of who is still being learnt: it could never hold/,
  ],
  [{ when: '{ learning: true, quietHours: unusual }' }, 'when.quietHours', /could never hold/],
  [
    { when: '{ installedWithin: 10d, installedFor: 10d }' },
    'when.installedFor',
    /shorter than installedWithin/,
  ],
  [{ when: '{ firstSeenWithin: 10d, dormantFor: 30d }' }, 'when.dormantFor', /shorter than firstSeenWithin/],
  [
    { score: '{ threshold: 1, signals: [{ learning: true, newAsn: true, points: 1 }] }' },
    ...(['score.signals[0].newAsn', /could never hold/] as const),
  ],
  [{ count: 'bounces', when: '{ newIp: true }' }, 'when', /what is new at a count of bounces/],
  [
    { count: 'bounces', score: '{ threshold: 1, signals: [{ newCountry: true, points: 1 }] }' },
    ...(['score', /what is new at a count of bounces/] as const),
  ],
];

describe('what is wrong is refused, with its line and what would be right', () => {
  const refused = (
    what: Readonly<Record<string, string | undefined>>,
    path: string,
    message: RegExp,
  ): void => {
    const text = file(what);
    const found = faults(text);
    const full = `rules[0].${path}`;
    const fault = found.find((each) => each[1] === full && message.test(each[2]));
    assert.ok(fault !== undefined, JSON.stringify(found));
    assert.doesNotMatch(fault[2], /^Invalid|^Unrecognized|expected/, 'in our words');
    const key = /^\w+/.exec(path)![0];
    const line = text.split('\n').findIndex((each) => new RegExp(`^ {2}(- | {2})${key}:`).test(each));
    // What is missing has no line of its own: that of the rule is the nearest.
    assert.equal(fault[0], line < 0 ? 3 : line + 1);
  };
  for (const [key, value, path, message] of BAD) {
    test(`${key}: ${value}`, () => refused({ [key]: value }, path, message));
  }
  for (const [what, path, message] of TOGETHER) {
    test(JSON.stringify(what), () => refused(what, path, message));
  }
  test('no limit at all', () => refused({ limit: undefined }, 'limit', /^is missing$/));
  test('a count of accounts that does not say when one has turned', () => {
    refused({ ...ACCOUNTS, turned: undefined }, 'turned', /is missing: say when an account has turned/);
  });

  for (const [text, path, message] of [
    ['{ days: 0 }', 'learning.days', /from 1 to 16/],
    ['{ days: 17 }', 'learning.days', /from 1 to 16/],
    ['{ days: 2.5 }', 'learning.days', /from 1 to 16/],
    ['{ age: 30s }', 'learning.age', /from 1m to 365d/],
    ['{ installation: 2000d }', 'learning.installation', /from 1m to 365d/],
    ['{ weeks: 3 }', 'learning.weeks', /not a known key/],
    ['7d', 'learning', /./],
  ] as const) {
    test(`learning: ${text}`, () => {
      const found = faults(`version: 1\nlearning: ${text}\nrules: []`);
      assert.ok(
        found.some((each) => each[0] === 2 && each[1] === path && message.test(each[2])),
        JSON.stringify(found),
      );
    });
  }

  test('more windows that follow baselines than are kept', () => {
    const follows = (index: number): Readonly<Record<string, string>> => ({
      id: `r${index}`,
      window: `${index + 1}m`,
      limit: '{ baseline: 2x, floor: 9 }',
    });
    const many = Array.from({ length: 24 }, (_, index) => follows(index));
    // The same window once more, in another rule and of a domain, is none more; nor is one with a fixed limit.
    const same = { ...follows(0), id: 'same', per: 'domain' };
    const fixed = { id: 'fixed', window: '99m' };
    assert.equal(parseRules(file(...many, same, fixed)).rules.length, 26);
    const [[line, path, message] = assert.fail(), ...others] = faults(file(...many, same, follows(30)));
    assert.deepEqual(others, []);
    assert.equal(path, 'rules[25].limit');
    assert.equal(
      file(...many, same, follows(30)).split('\n')[line! - 1],
      '    limit: { baseline: 2x, floor: 9 }',
    );
    assert.match(
      message,
      /recipients\/31m would be the 25th window whose limit follows baselines: at most 24/,
    );
  });
});
