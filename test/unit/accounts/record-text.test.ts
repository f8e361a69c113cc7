import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ConfigError } from '../../../src/accounts/problems.js';
import { blockOf, piecesOf, plainRecord, recordsOf, YamlSource } from '../../../src/accounts/yaml-source.js';
import { parseSenderMap } from '../../../src/accounts/senders.js';
import { parseUsers } from '../../../src/accounts/users.js';

const HASH = '$scrypt$ln=4,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA';
const FIELDS = ['name', 'password', 'disabled', 'addedAt'];

/** What a file is read as, or what is wrong with it. A syntax error is one, under any name of the library. */
function read(text: string): unknown {
  try {
    return [...parseUsers(text, 'u').values()];
  } catch (thrown) {
    assert.ok(thrown instanceof ConfigError, String(thrown));
    const isMeaning = thrown.problems.every((problem) => /users\[\d+\]|unknown key/.test(problem));
    return isMeaning ? thrown.problems : 'no YAML';
  }
}

const value = fc.oneof(
  { arbitrary: fc.constantFrom('anna@example.com', '2024@example.com', `"bob's"`, "'eve'", HASH), weight: 8 },
  {
    arbitrary: fc.constantFrom(`"${HASH}"`, `'${HASH}'`, 'true', 'false', '2026-01-02T03:04:05Z'),
    weight: 8,
  },
  fc.constantFrom(
    '2024',
    '1e5',
    '0x1f',
    'null',
    'True',
    '~',
    '',
    'no',
    '.inf',
    '-1',
    'a:',
    'a: b',
    'a#b',
    'a #b',
  ),
  fc.constantFrom(
    '"a\\u0062c"',
    "'it''s'",
    '[a, b]',
    '{ a: b }',
    '!!str 1',
    '|\n      text',
    '>-\n      a\n      b',
  ),
  fc.constantFrom(
    '"a\n      b"',
    'a\n      b',
    '"a\n  - b"',
    'ü@example.com',
    '\tx',
    'x  # said',
    '"x" # said',
    '"x"y',
  ),
  fc.constantFrom(
    '&a x',
    '*a',
    '"unfinished',
    '?',
    '- x',
    '@x',
    '%x',
    '`x`',
    '[x\n  - y]',
    '---',
    'a\u00a0b',
  ),
);
const field = fc.tuple(fc.constantFrom(...FIELDS, ...FIELDS, 'role', '"name"', '1'), value);
const comment = fc.constantFrom(
  '',
  '',
  '',
  '',
  '  # said\n',
  '# said\n',
  '\n',
  '    # said\n',
  '   \n',
  '\t\n',
);
const record = fc
  .tuple(fc.uniqueArray(field, { maxLength: 4, selector: ([key]) => key }), comment, comment, fc.nat(12))
  .map(([fields, before, after, form]) => {
    if (form === 0) return `  - {${fields.map(([key, text]) => `${key}: ${text}`).join(', ')}}\n${after}`;
    if (form === 1) return '  - just text\n';
    if (form === 2) return `  -\n    name: x\n${after}`;
    if (form === 3) return `  -  name: x\n     password: ${HASH}\n`;
    const lines = fields.map(([key, text]) => `${key}: ${text}\n`);
    return `  - ${lines.join(`${before}    `) || '{}\n'}${after}`;
  });
const good = fc.nat(9).map((n) => `  - name: user${n}@example.com\n    password: ${HASH}\n`);
const head = fc.constantFrom(
  'users:\n',
  'users:\n',
  '# all\nusers: # here\n\n',
  '---\nusers:\n',
  'users:#\n',
  'users: \n',
);
const tail = fc.constantFrom(
  '',
  '',
  '',
  '',
  '# end',
  'user: []\n',
  'users: []\n',
  '  x\n',
  '- x\n',
  ' - x\n',
  '    - x\n',
);
const file = fc
  .tuple(head, fc.array(fc.oneof(good, record), { maxLength: 5 }), tail, fc.nat(9), fc.nat(9))
  .map(([first, records, last, form, windows]) => {
    const whole = `${first}${records.join('')}${last}`;
    const text = form === 0 ? whole.replaceAll(/^ {2}/gm, '') : whole;
    return windows === 0 ? text.replaceAll('\n', '\r\n') : text;
  });

test('a list of records reads the same record by record as it does as a whole', () => {
  let plain = 0;
  let split = 0;
  const property = fc.property(file, (text) => {
    const block = blockOf(text, 'users');
    if (block === undefined) return;
    split++;
    for (const each of recordsOf(text, block))
      if (plainRecord(text, each, block.indent, FIELDS, new Map())) plain++;
    // A mark at the end of a document has no meaning, and is nothing that a list is split with.
    const marked = `${text}${text.endsWith('\n') ? '' : '\n'}...\n`;
    assert.equal(blockOf(marked, 'users'), undefined);
    assert.deepEqual(read(text), read(marked));
  });
  fc.assert(property, { numRuns: 900, seed: 7 });
  assert.ok(split > 500 && plain > 500, `${split} were split, ${plain} records were plain`);
});

test('records of many pieces are read with their own lines', () => {
  const one = (n: number): string => `  - { name: user${n}, password: "${HASH}" }\n`;
  const text = `# all\nusers:\n${Array.from({ length: 2000 }, (_, n) => one(n)).join('')}`;
  assert.ok(text.length > 200_000);
  assert.equal(parseUsers(text, 'u').size, 2000);
  const twice = text.replace('user1998,', 'user3,');
  const [problem] = read(twice) as string[];
  assert.match(problem!, /^u:2001:13: users\[1998\]\.name: user3 is there twice/);
  const aliased = text
    .replace(`user0, password: "${HASH}"`, `user0, password: &one "${HASH}"`)
    .replace(`user1999, password: "${HASH}"`, 'user1999, password: *one');
  assert.equal(parseUsers(aliased, 'u').get('user1999')!.password, HASH);
  const broken = text.replace('{ name: user1998,', '[ name: user1998,');
  assert.throws(() => parseUsers(broken, 'u'), /^ConfigError: u:2001:/);
});

test('a file of 20,000 users is read without a tree of it', (context) => {
  const one = (n: number): string => `  - name: user${n}@example.com\n    password: ${HASH}\n\n  # next\n`;
  const text = `users:\n${Array.from({ length: 20_000 }, (_, n) => one(n)).join('')}`;
  const trees = context.mock.getter(YamlSource.prototype, 'root');
  assert.equal(parseUsers(text, 'u').size, 20_000);
  assert.equal(trees.mock.callCount(), 0);
});

test('a map of senders of many pieces reads as a whole does, and names its own lines', () => {
  const forms = [
    'x@example.org',
    '[x@example.org, "*@example.net"]',
    '\n- x@example.org',
    '"x@exam\\\n  ple.org" # said',
  ];
  const one = (n: number): string => `user${n}@example.com: ${forms[n % forms.length]}\n`;
  const text = `# all\n\n${Array.from({ length: 6000 }, (_, n) => one(n)).join('')}`;
  assert.ok([...piecesOf(text)].length > 3);
  const whole = `${text}...\n`;
  assert.equal([...piecesOf(whole)].length, 1);
  const problems = (content: string): unknown => {
    try {
      return [...parseSenderMap(content, 's')];
    } catch (thrown) {
      return (thrown as ConfigError).problems;
    }
  };
  assert.deepEqual(problems(text), problems(whole));
  const wrong = (content: string): string =>
    content.replace('user5999@example.com: "x@', 'user1@example.com: "x@');
  assert.match((problems(wrong(text)) as string[])[0]!, /^s:9001:1: user1@example.com: is there twice/);
  const late = (content: string): string => content.replaceAll('"*@example.net"', '"*@*"');
  assert.deepEqual(problems(late(text)), problems(late(whole)));
});
