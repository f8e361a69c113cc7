import assert from 'node:assert/strict';
import test from 'node:test';
import { ConfigError } from '../../../src/accounts/problems.js';
import type { SenderPolicy } from '../../../src/accounts/senders.js';
import { maySend, parseSenderMap } from '../../../src/accounts/senders.js';

const map: SenderPolicy = {
  kind: 'map',
  file: 's.yaml',
  map: parseSenderMap(
    'News@Example.com: ["*@news.example", "bulk-*-x@example.net"]\nscanner: scanner@example.com\nnobody@example.com: []\n',
    's.yaml',
  ),
};

const CASES: Array<[policy: SenderPolicy, account: string, returnPath: string, allowed: boolean]> = [
  [{ kind: 'own' }, 'anna@example.com', 'anna@example.com', true],
  [{ kind: 'own' }, 'Anna@Example.com', 'anna+list@EXAMPLE.com.', true],
  [{ kind: 'own' }, 'anna@example.com', 'bob@example.com', false],
  [{ kind: 'own' }, 'anna@example.com', '', true],
  [{ kind: 'own' }, 'anna', 'anna@example.com', false],
  [{ kind: 'own' }, 'anna@müller.example', 'anna@xn--mller-kva.example', true],
  [{ kind: 'domain' }, 'anna@example.com', 'bob@example.com', true],
  [{ kind: 'domain' }, 'anna@example.com', 'bob@sub.example.com', false],
  [{ kind: 'domain' }, 'anna@example.com', 'bob@notexample.com', false],
  [{ kind: 'domain' }, 'anna@example.com', 'example.com', false],
  [{ kind: 'domain' }, 'anna@example.com', '', true],
  [{ kind: 'domain' }, 'anna', 'bob', false],
  [{ kind: 'domain' }, 'anna', 'bob@example.com', false],
  [{ kind: 'any' }, 'anna', 'x@y.example', true],
  [map, 'news@example.com', 'news@example.com', true],
  [map, 'news@example.com', 'anything@news.example', true],
  [map, 'news@example.com', 'anything@sub.news.example', false],
  [map, 'news@example.com', 'bulk-7-x@example.net', true],
  [map, 'news@example.com', 'bulk-x@example.net', false],
  [map, 'news@example.com', 'bulk-7@example.net', false],
  [map, 'SCANNER', 'scanner@example.com', true],
  [map, 'scanner', 'scanner@example.com.evil.example', false],
  [map, 'nobody@example.com', 'nobody@example.com', true],
  [map, 'nobody@example.com', 'x@example.com', false],
  [map, 'stranger@example.com', 'x@news.example', false],
  [map, 'stranger@example.com', '', true],
];

for (const [policy, account, returnPath, allowed] of CASES) {
  test(`${policy.kind}: ${account} ${allowed ? 'may' : 'may not'} send as <${returnPath}>`, () => {
    assert.equal(maySend(policy, account, returnPath), allowed);
  });
}

test('a pattern of many stars takes no long time', () => {
  const hostile = parseSenderMap(`a@b.example: "${'*a'.repeat(100)}*@b.example"\n`, 's.yaml');
  const start = process.hrtime.bigint();
  assert.equal(
    maySend({ kind: 'map', file: '', map: hostile }, 'a@b.example', `${'a'.repeat(99)}@b.example`),
    false,
  );
  assert.ok(process.hrtime.bigint() - start < 1_000_000_000n);
});

test('a broken map is refused with every place', () => {
  const text =
    'a@b.example: "*"\nc@d.example: ["x@*", 5, "ok@d.example"]\nA@B.example: x@y.example\ne@f.example: { a: 1 }\ng@h.example: "*+news@h.example"\n';
  assert.throws(
    () => parseSenderMap(text, 's.yaml'),
    (thrown) => {
      assert.ok(thrown instanceof ConfigError);
      assert.deepEqual(
        thrown.problems.map((problem) => problem.replace(/;.*/, '')),
        [
          's.yaml:1:14: a@b.example: "*" is no return path',
          's.yaml:2:14: c@d.example: "x@*" has a wildcard in its domain',
          's.yaml:2:14: c@d.example: must be an address or a list of addresses',
          's.yaml:3:1: A@B.example: is there twice (it is a@b.example in normal form)',
          's.yaml:4:14: e@f.example: must be an address or a list of addresses',
          's.yaml:5:14: g@h.example: "*+news@h.example" has a wildcard before a +tag, which is dropped: it would allow far more',
        ],
      );
      return true;
    },
  );
  assert.throws(() => parseSenderMap('- a\n', 's.yaml'), /s\.yaml:1:1: must be a mapping/);
  assert.equal(parseSenderMap('', 's.yaml').size, 0);
});
