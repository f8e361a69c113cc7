import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DAY, HOUR, MINUTE } from '../../../src/kernel/time.js';
import { DEFAULT_RULES } from '../../../src/rules/defaults.js';
import { amount, explain, nameOf } from '../../../src/rules/explain.js';
import type { Rule } from '../../../src/rules/model.js';
import { neverBlock, ruleActor } from '../../../src/rules/model.js';
import { InvalidRules, parseRules, renewedRules } from '../../../src/rules/parse.js';

const GOOD = '{ id: r, per: account, count: recipients, window: 10m, limit: 100, then: block, for: 1h }';
const file = (...rules: readonly string[]): string =>
  `version: 1\nrules:\n${rules.map((rule) => `  - ${rule}\n`).join('')}`;
const ofReader = (name: string): string =>
  `  - { subject: { type: account, value: ${name}@x.example }, reason: x }\n`;

describe('rules', () => {
  test('are read, with what they leave unsaid', () => {
    assert.deepEqual(parseRules(file(GOOD)), {
      mode: 'enforce',
      maxAutomaticBlocks: { max: 20, window: 10 * MINUTE },
      rules: [
        {
          id: 'r',
          per: 'account',
          count: 'recipients',
          window: 10 * MINUTE,
          limit: 100,
          then: 'block',
          for: HOUR,
          lapse: DAY,
          direction: 'outbound',
          refuse: 'soft',
          renewWhileTrying: false,
        },
      ],
      exempt: [],
      learning: { days: 5, age: 7 * DAY, installation: 31 * DAY },
    });
  });
  test('look a time zone up once, however often they name it, and at most fifty of them', (t) => {
    const looked: unknown[] = [];
    const { DateTimeFormat } = Intl;
    t.after(() => (Intl.DateTimeFormat = DateTimeFormat));
    Intl.DateTimeFormat = new Proxy(DateTimeFormat, {
      construct(target, [locale, options]: ConstructorParameters<typeof DateTimeFormat>) {
        looked.push(options?.timeZone);
        return new target(locale, options);
      },
    });
    const withZones = (zones: readonly string[]): string =>
      file(
        ...zones.map((zone, index) => {
          const when = `when: { quietHours: "22:00-06:00 ${zone}" }`;
          return GOOD.replace('id: r', `id: r${index}`).replace('}', `, ${when} }`);
        }),
      );
    assert.equal(parseRules(withZones(Array.from({ length: 150 }, () => 'Asia/Tokyo'))).rules.length, 150);
    assert.deepEqual(looked.splice(0), ['Asia/Tokyo']);
    const many = Array.from({ length: 150 }, (_, index) => `Etc/Nowhere${index}`);
    assert.throws(
      () => parseRules(withZones(many)),
      (error: InvalidRules) =>
        error.faults.some(({ message }) => message === 'names more than 50 time zones'),
    );
    assert.equal(looked.length, 50);
  });
  test('that extend the built-in ones keep these, with their own in place of the same id and beside', () => {
    const built = parseRules(DEFAULT_RULES);
    const own = GOOD.replace('id: r', 'id: minute');
    const set = parseRules(
      file(own, GOOD).replace('rules:', 'extends: defaults\nlearning: { days: 3 }\nrules:'),
    );
    const [minute] = parseRules(file(own)).rules;
    const [added] = parseRules(file(GOOD)).rules;
    assert.deepEqual(set.rules, [
      ...built.rules.map((rule) => (rule.id === 'minute' ? minute : rule)),
      added,
    ]);
    assert.deepEqual(set.learning, { ...built.learning!, days: 3 });
    assert.deepEqual(parseRules('version: 1\nextends: defaults\nmode: observe\n'), {
      ...built,
      mode: 'observe',
    });
  });

  test('that extend say which of their own lines is at fault, and what they may extend', () => {
    const faulty = `version: 1\nextends: defaults\nrules:\n  - ${GOOD.replace('10m', '10')}\n`;
    assert.throws(() => parseRules(faulty, 'own.yaml'), /^InvalidRules: own\.yaml:4: rules\[0\]\.window: /);
    assert.throws(() => parseRules(`extends: mine\n${file(GOOD)}`), /rules:1: extends: must be defaults/);
    const windows = Array.from(
      { length: 30 },
      (_, n) =>
        `{ id: w${n}, per: account, count: bytes, window: ${n + 2}m, limit: { baseline: 2x, floor: 9 }, then: observe }`,
    );
    assert.throws(
      () => parseRules(file(...windows.slice(0, 23)).replace('rules:', 'extends: defaults\nrules:')),
      /rules:2: extends: with the built-in rules .* whose limit follows baselines/,
    );
  });

  test('are read with everything said', () => {
    const text = `version: 1
mode: observe
maxAutomaticBlocks: 5 in 1h
rules:
  - id: big.one
    description: Too much
    per: domain
    count: bytes
    window: 24h
    limit: 1.5GiB
    then: propose
    for: indefinite
    lapse: 2h
    direction: all
    refuse: honest
    renewWhileTrying: true
    escalate: { factor: 2, max: 7d, forget: 10d }
exempt:
  - { subject: { type: account, value: News@Example.com }, until: 2027-01-01, reason: weekly }
`;
    const { rules, exempt, mode, maxAutomaticBlocks } = parseRules(text);
    assert.deepEqual([mode, maxAutomaticBlocks], ['observe', { max: 5, window: HOUR }]);
    assert.deepEqual(rules[0], {
      id: 'big.one',
      description: 'Too much',
      per: 'domain',
      count: 'bytes',
      window: DAY,
      limit: 1.5 * 1024 ** 3,
      then: 'propose',
      for: null,
      lapse: 2 * HOUR,
      direction: 'all',
      refuse: 'honest',
      renewWhileTrying: true,
      escalate: { factor: 2, max: 7 * DAY, forget: 10 * DAY },
    });
    const subject = { type: 'account', value: 'news@example.com' };
    assert.deepEqual(exempt, [{ subject, until: Date.UTC(2027, 0, 1), reason: 'weekly' }]);
  });
  test('that ship are sound, block only what no mailbox does, and each has a description', () => {
    const { rules, mode } = parseRules(DEFAULT_RULES);
    assert.equal(mode, 'enforce');
    assert.ok(rules.length >= 6);
    for (const rule of rules) assert.ok((rule.description?.length ?? 0) > 10, rule.id);
  });

  const faults = (text: string): readonly (readonly [number | undefined, string, string])[] => {
    try {
      parseRules(text, 'rules.yaml');
    } catch (error) {
      assert.ok(error instanceof InvalidRules, String(error));
      assert.match(error.message, /^rules\.yaml/);
      return error.faults.map(({ line, path, message }) => [line, path, message]);
    }
    return assert.fail('was accepted');
  };
  const change = (from: string | RegExp, to: string): string => file(GOOD.replace(from, to));

  test('with ten thousand keys are told of the first hundred faults alone', () => {
    const keys = Array.from({ length: 10_000 }, (_, index) => `k${index}: 1\n`).join('');
    assert.equal(faults(keys).length, 100);
    const twice = 'the key k7 is there twice; write it once, with all that belongs to it';
    assert.deepEqual(faults(`${keys}k7: 2\n`), [[10_001, '', twice]]);
  });
  test('with more than a hundred aliases are refused before any of them is followed', () => {
    const text = `version: &a 1\nrules:\n${'  - *a\n'.repeat(101)}`;
    assert.deepEqual(faults(text), [[103, '', 'has more than 100 aliases; write the values out']]);
  });

  for (const [text, line, path, message] of [
    ['', 1, '', /mapping/],
    ['version: 2\nrules: []', 1, 'version', /must be 1/],
    ['version: 1', 1, 'rules', /list of rules|is missing/],
    ['version: 1\nrules: []\nmodes: observe', 3, 'modes', /^is not a known key; did you mean mode\?$/],
    ['version: 1\nrules: []\nrules: []', 3, '', /the key rules is there twice/],
    ['version: 1\nrules: [', 2, '', /./],
    [change('per: account', 'per: user'), 3, 'rules[0].per', /one of account/],
    [change('count: recipients', 'count: mails'), 3, 'rules[0].count', /one of messages/],
    [change('10m', '59s'), 3, 'rules[0].window', /from 1m to 35d/],
    [change('10m', '36d'), 3, 'rules[0].window', /from 1m to 35d/],
    [change('10m', '600'), 3, 'rules[0].window', /duration such as/],
    [change('limit: 100', 'limit: 0'), 3, 'rules[0].limit', /whole number/],
    [change('limit: 100', 'limit: 2.000'), 3, '', /^2\.000 would be 2: write 2, or 2000$/],
    [change('limit: 100', 'limit: "2.000"'), 3, 'rules[0].limit', /whole number/],
    [change('limit: 100', 'limit: 1.5'), 3, 'rules[0].limit', /whole number/],
    [change('limit: 100', 'limit: many'), 3, 'rules[0].limit', /whole number/],
    [change('then: block', 'then: ban'), 3, 'rules[0].then', /one of observe/],
    [change(', for: 1h', ''), 3, 'rules[0].for', /is missing/],
    [change('for: 1h', 'for: 30s'), 3, 'rules[0].for', /from 1m to 3650d, or indefinite$/],
    [change('for: 1h', 'for: 1h, extra: 1'), 3, 'rules[0].extra', /not a known key/],
    [
      change('for: 1h', 'for: 1h, escalate: { factor: 0.5, max: 7d }'),
      3,
      'rules[0].escalate.factor',
      /at least 1/,
    ],
    [change('for: 1h', 'for: 1h, escalate: { factor: 2, max: 30m }'), 3, 'rules[0].escalate', /shorter/],
    [change('for: 1h', 'for: 1h, direction: inbound'), 3, 'rules[0].direction', /no account/],
    [change('count: recipients', 'count: authFailures'), 3, 'rules[0].per', /must be ip/],
    [
      change('per: account, count: recipients', 'per: ip, count: bounces'),
      3,
      'rules[0].per',
      /account or address/,
    ],
    [
      change('per: account, count: recipients', 'per: ip, direction: inbound, count: authFailures'),
      3,
      'rules[0].direction',
      /outbound/,
    ],
    [
      change('per: account, count: recipients', 'per: address, count: accounts'),
      3,
      'rules[0].per',
      /domain or ip or ehlo/,
    ],
    [
      change('per: account, count: recipients', 'per: domain, count: accounts'),
      3,
      'rules[0].turned',
      /is missing/,
    ],
    [
      change(
        'per: account, count: recipients',
        'per: ip, turned: { count: messages, window: 30m, limit: { baseline: 1x, floor: 2 } }, count: accounts',
      ),
      3,
      'rules[0].turned',
      /is for a count of accounts per domain/,
    ],
    [
      change('per: account, count: recipients', 'per: ehlo, direction: all, count: accounts'),
      3,
      'rules[0].direction',
      /only they log in/,
    ],
    [change('id: r', 'id: "a b"'), 3, 'rules[0].id', /1 to 64/],
    [file(GOOD, GOOD), 4, 'rules[1].id', /already/],
    [
      `${file(GOOD)}exempt:\n  - { subject: { type: ip, value: 10/8 }, reason: x }`,
      5,
      'exempt[0].subject.value',
      /no network/,
    ],
    [
      `${file(GOOD)}exempt:\n  - { subject: { type: ip, value: 192.0.2.1 }, until: 2027-02-31, reason: x }`,
      5,
      'exempt[0].until',
      /a date/,
    ],
    [
      `${file(GOOD)}exempt:\n  - { subject: { type: ip, value: 192.0.2.1 } }`,
      5,
      'exempt[0].reason',
      /why|missing/,
    ],
    [
      `${file(GOOD)}exempt:\n${['A', 'b', 'a'].map(ofReader).join('')}`,
      7,
      'exempt[2]',
      /^account a@x\.example stands at exempt\[0\] already$/,
    ],
    [
      `version: 1\nextends: defaults\nexempt:\n${['a', 'a'].map(ofReader).join('')}`,
      5,
      'exempt[1]',
      /stands at exempt\[0\] already/,
    ],
    [`${file(GOOD)}maxAutomaticBlocks: 20 in 2d`, 4, 'maxAutomaticBlocks', /20 in 10m/],
  ] as const) {
    test(`are refused: ${path === '' ? JSON.stringify(text) : path} ${String(message)}`, () => {
      const found = faults(text);
      const fault = found.find((each) => each[1] === path && message.test(each[2]));
      assert.ok(fault !== undefined, JSON.stringify(found));
      assert.equal(fault[0], line);
    });
  }
  test('that exempt a subject twice are read anew where they were recorded', () => {
    const twice = `version: 1\nextends: defaults\nexempt:\n${['A', 'a'].map(ofReader).join('')}`;
    assert.equal(renewedRules(twice)!.exempt.length, 2);
  });
  test('are refused with every fault at once', () => {
    const found = faults(file(GOOD.replace('10m', 'x'), GOOD.replace('100', '-1').replace('id: r', 'id: s')));
    assert.deepEqual(
      found.map(([line, path]) => [line, path]),
      [
        [3, 'rules[0].window'],
        [4, 'rules[1].limit'],
      ],
    );
  });
});

describe('explanations', () => {
  const rule: Rule = parseRules(file(GOOD)).rules[0]!;
  const subject = { type: 'account', value: 'alice@example.com' } as const;
  const seen = { observed: 1234, limit: 100, untripled: 100, attempts: false };
  test('say what was seen and what is allowed', () => {
    assert.equal(
      explain(rule, subject, seen),
      'Account alice@example.com: 1,234 recipients within 10m; rule "r" allows 100.',
    );
    assert.match(
      explain(rule, subject, { ...seen, observed: 301, limit: 300, grace: 'release' }),
      /allows 300, its 100 tripled for the hour after a release\.$/,
    );
    assert.match(
      explain(rule, subject, { ...seen, observed: 101, attempts: true }),
      /101 refused attempts within 10m/,
    );
  });
  test('say the limit that was in force, where a tripled one came from, and why', () => {
    const tripled = { ...seen, observed: 1600, limit: 1500, untripled: 500, grace: 'dismissal' } as const;
    const habit = { typical: 12, record: 20, weeks: 6, learnt: true };
    const bought = '500 instead of 100, by the override of domain example.com (plan "pro")';
    for (const [more, expected] of [
      [{}, 'allows 1,500, its 500 tripled for the hour after a dismissal.'],
      [{ habit }, 'allows 1,500, its 500 tripled for the hour after a dismissal.'],
      [{ habit: { ...habit, bound: 'floor' } }, 'allows 1,500, everybody’s 500 tripled for the hour'],
      [{ habit: { ...habit, bound: 'start', learnt: false } }, 'allows 1,500, its 500 tripled for the hour'],
      [{ habit: { ...habit, bound: 'ceiling' } }, 'allows 1,500, its ceiling of 500 tripled for the hour'],
      [{ overridden: bought }, `allows 1,500: ${bought}, tripled for the hour after a dismissal.`],
      [{ overridden: bought, habit }, `allows 1,500: ${bought}, tripled for the hour after a dismissal.`],
    ] as const) {
      const sentence = explain(rule, subject, { ...tripled, ...more });
      assert.ok(sentence.includes(expected), sentence);
    }
  });
  test('say what is usual, what was bought and which signals counted', () => {
    const habit = { typical: 12, record: 20, weeks: 6, learnt: true };
    assert.equal(
      explain({ ...rule, leaveOut: 2 }, subject, {
        ...seen,
        habit,
        overridden: '500 instead of 100, by the override of account alice@example.com',
        signals: ['network 192.0.2.7 never seen before (1)', '1 points of 1 needed'],
      }),
      'Account alice@example.com: 1,234 recipients within 10m besides its two largest messages; ' +
        'in a week usually 12 at most, never above 20 in 6 weeks; ' +
        'network 192.0.2.7 never seen before (1); 1 points of 1 needed; ' +
        'rule "r" allows 500 instead of 100, by the override of account alice@example.com.',
    );
    const unknown = { typical: 0, record: 0, weeks: 0, learnt: false };
    for (const signals of [[], ['still being learnt']])
      assert.match(
        explain(rule, subject, { ...seen, habit: unknown, signals }),
        /; nothing is known of it yet, still being learnt; rule/,
      );
  });
  test('name one and many', () => {
    assert.deepEqual([amount('bounces', 1), amount('authFailures', 2)], ['1 bounce', '2 failed logins']);
    assert.equal(nameOf({ type: 'ip', value: '192.0.2.1' }), 'Network 192.0.2.1');
    assert.equal(ruleActor('burst', 3), 'rule:burst@3');
  });
});

describe('the never-block list', () => {
  test('spares what strangers share and what must be reachable, and nothing else', () => {
    const spared = (type: 'ehlo' | 'ip' | 'account' | 'address' | 'domain', value: string): boolean =>
      neverBlock({ type, value }) !== undefined;
    assert.ok(
      spared('ehlo', 'localhost') && spared('ehlo', 'localhost.localdomain') && spared('ehlo', '[192.0.2.1]'),
    );
    assert.ok(
      spared('ip', '192.168.1.1') && spared('ip', 'fd00::/64') && spared('address', 'postmaster@a.example'),
    );
    assert.ok(spared('ehlo', '.'), 'all who say no name share it');
    assert.ok(!spared('ehlo', 'localhostess.example') && !spared('ip', '198.51.100.1'));
    assert.ok(!spared('account', 'postmasters@a.example') && !spared('domain', 'example.com'));
    assert.ok(spared('ehlo', '*') && spared('ehlo', 'mx*.example.com') && spared('address', '*@a.example'));
  });
});
