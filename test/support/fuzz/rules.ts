import fc from 'fast-check';

/* Rule sets as the grammar of docs/rules.md has them: most of what is made is in order, and some of it is not. */

const duration = fc.constantFrom(
  '1m',
  '10m',
  '1h',
  '24h',
  '7d',
  '35d',
  '36d',
  '0m',
  '90s',
  '1w',
  '-1m',
  '1.5h',
);
const amount = fc.oneof(
  fc.integer({ min: 1, max: 2000 }),
  fc.constantFrom('500MB', '1GiB', '0', 0.5, -1, 1e300),
);
const times = fc.constantFrom('1x', '2.5x', 3, '1000x', '1001x', '0x', 'x');
const baseline = fc.record(
  { baseline: times, record: times, largest: times, floor: amount, start: amount, ceiling: amount },
  { requiredKeys: ['baseline', 'floor'] },
);
const condition = {
  newIp: fc.constant(true),
  newEhlo: fc.constant(true),
  newCountry: fc.constant(true),
  newAsn: fc.constant(true),
  firstSeenWithin: fc.constantFrom('1d', '30d', '366d'),
  dormantFor: fc.constantFrom('1d', '30d'),
  installedWithin: fc.constantFrom('1h', '31d'),
  installedFor: fc.constantFrom('1h', '10d'),
  learning: fc.boolean(),
  quietHours: fc.constantFrom(
    'unusual',
    '22:00-06:00 Europe/Berlin',
    '22:00-22:00',
    '24:00-1:00',
    '1:00-2:00 Mars/X',
  ),
  distinct: fc.dictionary(
    fc.constantFrom('networks', 'ehlos', 'returnPaths', 'recipientDomains', 'x'),
    fc.integer({ min: 0, max: 17 }),
    { maxKeys: 2 },
  ),
  share: fc.record({
    of: fc.constantFrom('refusedRecipients', 'bounces'),
    above: fc.constantFrom(0, 0.5, 1, 2),
    least: fc.integer({ min: 0, max: 20 }),
  }),
};
const conditions = fc.record(condition, { requiredKeys: [] });
const signal = fc.record({ points: fc.constantFrom(1, 0.5, 0), ...condition }, { requiredKeys: ['points'] });

const rule = fc.record(
  {
    id: fc.constantFrom(
      'a',
      'b',
      'c',
      'minute',
      'hour',
      'together',
      'UPPER',
      '-',
      'x'.repeat(65),
      '__proto__',
    ),
    description: fc.string({ unit: 'grapheme', maxLength: 20 }),
    per: fc.constantFrom('account', 'account', 'account', 'address', 'domain', 'ehlo', 'ip', 'x'),
    count: fc.constantFrom(
      ...['messages', 'messages', 'recipients', 'recipients', 'bytes', 'refusedRecipients', 'bounces'],
      ...['authFailures', 'networks', 'ehlos', 'returnPaths', 'recipientDomains', 'accounts', 'x'],
    ),
    window: duration,
    limit: fc.oneof(amount, baseline),
    leaveOut: fc.constantFrom(1, 2, 3),
    when: conditions,
    score: fc.record({ threshold: fc.constantFrom(1, 2, 0), signals: fc.array(signal, { maxLength: 3 }) }),
    turned: fc.record({
      count: fc.constantFrom('messages', 'recipients'),
      window: duration,
      limit: baseline,
    }),
    // Nothing is blocked where it is not asked for.
    then: fc.constantFrom('observe', 'propose', 'block'),
    for: fc.oneof(duration, fc.constantFrom('indefinite', '3650d')),
    lapse: duration,
    escalate: fc.record({ factor: fc.constantFrom(1, 12, 101), max: duration, forget: duration }),
    direction: fc.constantFrom('outbound', 'inbound', 'all'),
    refuse: fc.constantFrom('soft', 'defer', 'honest'),
    renewWhileTrying: fc.boolean(),
    teaches: fc.constant(true),
  },
  { requiredKeys: ['id', 'per', 'count', 'window', 'limit', 'then', 'for'] },
);

const exemption = fc.record(
  {
    subject: fc.record({
      type: fc.constantFrom('account', 'address', 'domain', 'ehlo', 'ip', 'x'),
      value: fc.constantFrom(
        'a@example.com',
        '*@example.com',
        '*.example.com',
        '192.0.2.0/24',
        '::/0',
        '*',
        '',
      ),
    }),
    until: fc.constantFrom('2027-01-01', '2026-02-30', null),
    reason: fc.constantFrom('a newsletter', ''),
  },
  { requiredKeys: ['subject', 'reason'] },
);

export const ruleSetValue: fc.Arbitrary<unknown> = fc.record(
  {
    version: fc.constantFrom(1, 1, 1, 1, 2),
    extends: fc.constantFrom('defaults', 'defaults', 'x'),
    mode: fc.constantFrom('enforce', 'observe'),
    maxAutomaticBlocks: fc.constantFrom('20 in 10m', '0 in 1h', '1 in 25h', 'x'),
    learning: fc.record(
      { days: fc.integer({ min: 0, max: 17 }), age: duration, installation: duration },
      { requiredKeys: [] },
    ),
    rules: fc.array(rule, { maxLength: 4 }),
    exempt: fc.array(exemption, { maxLength: 3 }),
  },
  { requiredKeys: ['version', 'rules'] },
);

/** YAML that no ordinary file holds. */
export const oddYaml = fc.constantFrom(
  ...[
    '',
    '\0',
    '---\n---\n',
    '%YAML 9.9\n---\na',
    '&a [*a]',
    '*a',
    'a: &a {b: *a}',
    '<<: *x',
    '? {a: b}\n: c',
    '!!js/function x',
  ],
  ...[
    '!!binary x',
    '!!set {a, b}',
    '!!timestamp 2001',
    '- - - - -',
    '[[[[',
    '{{{{',
    '"\\ud800"',
    "'",
    '|2\n x',
    'a: b: c',
    '\ta: b',
  ],
  ...[
    'version: 1\nrules: []\n__proto__: {polluted: true}',
    'version: 1\nrules: [{id: a, <<: {then: block}}]',
    'a: 1\na: 2',
  ],
  ...[
    'version: !!int "1"\nrules: !!seq []',
    '\ufeffversion: 1\nrules: []',
    'version: 1\r\nrules: []\r\n',
    'version: 0x1\nrules: []',
  ],
  ...[
    'version: 1\nrules: []\n...\nversion: 2',
    '# only a comment',
    'null',
    '~',
    '[]',
    '1e999',
    'a: *',
    '&',
    '? ? ? ?',
    '- ? - : -',
  ],
  ...[
    'version: 1\nrules: [&r {id: a, per: account, count: messages, window: 1m, limit: 1, then: observe}, *r]',
    '!<tag:yaml.org,2002:map> {}',
  ],
);
