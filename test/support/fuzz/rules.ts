import fc from 'fast-check';

/* Rule sets as the grammar of docs/reference/rules.md has them: nearly all that is made is in order. What is not, others make of it. */

const duration = fc.constantFrom('1m', '10m', '1h', '24h', '7d', '35d');
const long = fc.constantFrom('24h', '30d', '365d');
const amount = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(1, 5, '2', 2000));
const times = fc.constantFrom('1x', '2.5x', 3, '1000x');
const baseline = fc.record(
  {
    baseline: times,
    record: times,
    floor: fc.integer({ min: 1, max: 40 }),
    start: fc.constantFrom(1, 50),
    ceiling: fc.constantFrom(50, 5000),
  },
  { requiredKeys: ['baseline', 'floor'] },
);
const condition = {
  newIp: fc.constant(true),
  newEhlo: fc.constant(true),
  newCountry: fc.constant(true),
  newAsn: fc.constant(true),
  firstSeenWithin: fc.constantFrom('30d', '365d'),
  dormantFor: fc.constantFrom('1d', '7d'),
  installedWithin: fc.constantFrom('31d', '365d'),
  installedFor: fc.constantFrom('1h', '10d'),
  learning: fc.constant(false),
  quietHours: fc.constantFrom('unusual', '22:00-06:00 Europe/Berlin', '00:00-23:59', '9:30-9:29 UTC'),
  distinct: fc.dictionary(
    fc.constantFrom('networks', 'ehlos', 'returnPaths', 'recipientDomains'),
    fc.integer({ min: 1, max: 15 }),
    { minKeys: 1, maxKeys: 2 },
  ),
  share: fc.record({
    of: fc.constantFrom('refusedRecipients', 'bounces'),
    above: fc.constantFrom(0, 0.5, 0.99),
    least: fc.integer({ min: 1, max: 20 }),
  }),
};
const some = <Value extends object>(values: fc.Arbitrary<Value>): fc.Arbitrary<Value> =>
  values.filter((value) => Object.keys(value).length > 0);
const conditions = some(fc.record(condition, { requiredKeys: [] }));
const signals = fc.array(
  conditions.map((one) => ({ points: 1, ...one })),
  { minLength: 1, maxLength: 3 },
);
const score = fc.record({ threshold: fc.constantFrom(1, 0.5), signals });

const ids = fc.constantFrom('a', 'b', 'c', 'd', 'minute', 'hour', 'UPPER', 'x'.repeat(64), 'constructor');
const answer = {
  id: ids,
  window: duration,
  then: fc.constantFrom('observe', 'propose', 'block'),
  for: fc.constantFrom('1m', '1h', 'indefinite', '3650d'),
};
const more = {
  description: fc.string({ unit: 'grapheme', maxLength: 20 }),
  lapse: duration,
  escalate: fc.record({ factor: fc.constantFrom(1, 12, 100), max: fc.constant('3650d'), forget: long }),
  refuse: fc.constantFrom('soft', 'defer', 'honest', 'hold'),
  teaches: fc.constant(true),
};
const NEEDED = ['id', 'per', 'count', 'window', 'limit', 'then', 'for', 'turned'];
const ruleOf = (fields: Readonly<Record<string, fc.Arbitrary<unknown>>>): fc.Arbitrary<object> => {
  const model: Readonly<Record<string, fc.Arbitrary<unknown>>> = { ...answer, ...more, ...fields };
  return fc.record(model, { requiredKeys: NEEDED.filter((key) => key in model) });
};
const rule = fc.oneof(
  ruleOf({
    per: fc.constant('account'),
    count: fc.constantFrom('messages', 'recipients', 'bytes'),
    limit: fc.oneof(amount, baseline),
    when: conditions,
    score,
  }),
  ruleOf({
    per: fc.constant('account'),
    count: fc.constant('recipients'),
    limit: amount,
    leaveOut: fc.constantFrom(1, 2),
  }),
  ruleOf({
    per: fc.constantFrom('account', 'address', 'domain', 'ehlo', 'ip'),
    count: fc.constantFrom('messages', 'recipients', 'bytes', 'refusedRecipients'),
    limit: amount,
    renewWhileTrying: fc.boolean(),
  }),
  ruleOf({
    per: fc.constantFrom('address', 'domain', 'ehlo', 'ip'),
    count: fc.constantFrom('messages', 'recipients'),
    limit: amount,
    direction: fc.constantFrom('outbound', 'inbound', 'all'),
  }),
  ruleOf({
    per: fc.constant('account'),
    count: fc.constantFrom('networks', 'ehlos', 'returnPaths', 'recipientDomains'),
    limit: fc.integer({ min: 1, max: 15 }),
  }),
  ruleOf({ per: fc.constant('ip'), count: fc.constant('authFailures'), limit: amount }),
  ruleOf({
    per: fc.constantFrom('account', 'address', 'domain'),
    count: fc.constant('bounces'),
    limit: amount,
  }),
  ruleOf({
    per: fc.constantFrom('ip', 'ehlo'),
    count: fc.constant('accounts'),
    limit: fc.integer({ min: 1, max: 10 }),
  }),
  ruleOf({
    per: fc.constant('domain'),
    count: fc.constant('accounts'),
    limit: fc.integer({ min: 1, max: 10 }),
    turned: fc.record({
      count: fc.constantFrom('messages', 'recipients'),
      window: duration,
      limit: baseline,
    }),
  }),
);

const exemption = fc.record(
  {
    subject: fc.constantFrom(
      { type: 'account', value: 'a@example.com' },
      { type: 'address', value: '*@example.com' },
      { type: 'domain', value: 'partner.test' },
      { type: 'ip', value: '192.0.2.0/24' },
      { type: 'ehlo', value: 'mail*' },
    ),
    until: fc.constantFrom('2027-01-01', null),
    reason: fc.constant('a newsletter'),
  },
  { requiredKeys: ['subject', 'reason'] },
);

export const ruleSetValue: fc.Arbitrary<unknown> = fc.record(
  {
    version: fc.constant(1),
    extends: fc.constant('defaults'),
    mode: fc.constantFrom('enforce', 'observe'),
    maxAutomaticBlocks: fc.constantFrom('20 in 10m', '0 in 1h', '1 in 24h'),
    learning: fc.record(
      { days: fc.integer({ min: 1, max: 16 }), age: duration, installation: duration },
      { requiredKeys: [] },
    ),
    rules: fc.uniqueArray(rule, { maxLength: 4, selector: (one) => (one as { id?: unknown }).id }),
    exempt: fc.array(exemption, { maxLength: 3 }),
  },
  { requiredKeys: ['version', 'rules'] },
);

/** YAML that no ordinary file holds. */
export const oddYaml = fc.constantFrom(
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
  'version: 1\nrules: []\n__proto__: {polluted: true}',
  'version: 1\nrules: [{id: a, <<: {then: block}}]',
  'a: 1\na: 2',
  'version: !!int "1"\nrules: !!seq []',
  '\ufeffversion: 1\nrules: []',
  'version: 1\r\nrules: []\r\n',
  'version: 0x1\nrules: []',
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
  'version: 1\nrules: [&r {id: a, per: account, count: messages, window: 1m, limit: 1, then: observe}, *r]',
  '!<tag:yaml.org,2002:map> {}',
);
