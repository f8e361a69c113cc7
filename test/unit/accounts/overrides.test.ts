import assert from 'node:assert/strict';
import test from 'node:test';
import { parseOverrides } from '../../../src/accounts/overrides.js';
import { ConfigError } from '../../../src/accounts/problems.js';
import { parseAside } from '../../../src/parsing/aside.js';

const GOOD = `# what customers bought
version: 1
overrides:
  - { subject: { type: account, value: News@Example.com }, limits: { burst: 500, day: off }, plan: newsletter }
  - subject: { type: domain, value: example.com }
    factor: 2
    total: { factor: 4 }
    until: 2027-01-31
    reason: business
`;

function problems(text: string): readonly string[] {
  try {
    parseOverrides(text, 'o.yaml');
  } catch (thrown) {
    if (thrown instanceof ConfigError) return thrown.problems;
    throw thrown;
  }
  return [];
}

test('an overrides file is read, here and in a thread of its own', async () => {
  const expected = [
    {
      subject: { type: 'account', value: 'news@example.com' },
      terms: { limits: { burst: 500, day: 'off' }, plan: 'newsletter' },
      until: null,
    },
    {
      subject: { type: 'domain', value: 'example.com' },
      terms: { factor: 2, total: { factor: 4 } },
      until: Date.UTC(2027, 0, 31),
      reason: 'business',
    },
  ];
  assert.deepEqual(parseOverrides(GOOD, 'o.yaml'), expected);
  assert.deepEqual(await parseAside('overrides', GOOD, 'o.yaml'), expected);
  assert.deepEqual(parseOverrides('{"version":1,"overrides":[]}', 'o.yaml'), []);
});

test('a number that is thousands to one person and units to another is refused', () => {
  assert.deepEqual(problems(GOOD.replace('500', '5.000')), [
    'o.yaml:4:77: 5.000 would be 5: write 5, or 5000',
  ]);
  assert.deepEqual(
    problems(GOOD.replace('factor: 2', 'factor: 2.0').replace('factor: 4', 'factor: 4.125')),
    [],
  );
});

test('faults are named with line and column, and what would be right', async () => {
  const text = GOOD.replace('500', '"many"').replace('factor: 2', 'faktor: 2').replace('2027-01-31', 'soon');
  const expected = [
    'o.yaml:4:77: overrides[0].limits.burst: must be a whole number of at least 1, or off',
    'o.yaml:8:12: overrides[1].until: must be a date such as 2027-01-31 or an ISO 8601 time',
    'o.yaml:6:13: overrides[1].faktor: is not a known key; did you mean factor?',
  ];
  assert.deepEqual(problems(text), expected);
  await assert.rejects(parseAside('overrides', text, 'o.yaml'), (thrown) => {
    assert.ok(thrown instanceof ConfigError);
    assert.deepEqual(thrown.problems, expected);
    return true;
  });
});

test('a file that is empty, half written or of another kind is not taken for one without entries', () => {
  assert.deepEqual(problems(''), [
    'o.yaml:1:1: must be a mapping that begins with version: 1 and overrides:',
  ]);
  assert.deepEqual(problems('version: 1\n'), ['o.yaml:1:1: overrides: must be a list; [] stands for none']);
  assert.deepEqual(problems('version: 1\noverrides:\n'), [
    'o.yaml:1:1: overrides: must be a list; [] stands for none',
  ]);
  assert.deepEqual(problems('overrides: []\n'), [
    'o.yaml:1:1: version: must be 1: the version of this file format',
  ]);
  assert.deepEqual(problems('version: 1\nrules: []\noverrides: []\n'), [
    'o.yaml:2:1: rules: unknown key; known are version, overrides',
  ]);
  assert.match(problems('version: 1\noverrides: [}\n')[0]!, /^o\.yaml:2:/);
  assert.deepEqual(problems('version: 1\noverrides: [7]\n'), [
    'o.yaml:2:13: overrides[0]: must be an object with subject, and limits or factor',
  ]);
});

test('a file names a subject once', () => {
  const entry = (name: string) => `  - { subject: { type: account, value: ${name} }, factor: 2 }\n`;
  const text = `version: 1\noverrides:\n${entry('a@example.com')}${entry('b@example.com')}${entry('A@EXAMPLE.com')}`;
  assert.deepEqual(problems(text), [
    'o.yaml:5:5: overrides[2]: account a@example.com stands at o.yaml:3:5 already',
  ]);
});

test('of a flood of faults the first are named, and what is too long is not read', () => {
  const many = problems(`version: 1\noverrides: [${'{}, '.repeat(100)}]\n`);
  assert.equal(many.length, 21);
  assert.equal(many.at(-1), 'o.yaml: and 80 more');
  assert.match(
    problems(`version: 1\noverrides: [${'1,'.repeat(10_001)}]\n`)[0]!,
    /has 10001 entries, at most 10000/,
  );
  assert.match(problems('#'.repeat(8 * 1024 * 1024 + 1))[0]!, /is longer than/);
  const bomb = `version: 1\nx: &a [1]\noverrides: [${'*a, '.repeat(200)}]\n`;
  assert.match(problems(bomb)[0]!, /more than 100 aliases/);
});
