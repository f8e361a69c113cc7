import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ownStreams, Rewriter } from '../../../src/forgetting/person.js';
import { parseRules, renewedRules } from '../../../src/rules/parse.js';

const person = { name: 'alice.b@example.com', pseudonym: 'forgotten-1a2b3c4d@invalid' };
const P = person.pseudonym;
const rewriter = new Rewriter(person);

/** What becomes of an event of some type with this data. */
function after(data: unknown, type = 'BlockImposed', by = 'admin:me'): unknown {
  const found = rewriter.rewrite({ type, by, data: JSON.stringify(data) });
  return found === undefined || found === 'erase' ? found : JSON.parse(found.data);
}

describe('taking a person out of an event', () => {
  const texts: readonly (readonly [before: string, after: string])[] = [
    ['alice.b@example.com', P],
    ['Alice.B@EXAMPLE.com', P],
    ['sent by <alice.b@example.com>, twice', `sent by <${P}>, twice`],
    ['mail of alice.b+news@example.com.', `mail of ${P}.`],
    ['"alice.b"@example.com', P],
    ['as told by @alice.b@example.com', `as told by @${P}`],
    ['he said "@alice.b@example.com"', `he said "@${P}"`],
    ['<mailto:@alice.b@example.com>', `<mailto:@${P}>`],
    ['account:alice.b@example.com', `account:${P}`],
    ['alice.b@example.com and Alice.b@example.com', `${P} and ${P}`],
  ];
  for (const [before, expected] of texts)
    test(`finds the address in: ${before}`, () => {
      assert.deepEqual(after({ note: before }), { note: expected });
      assert.deepEqual(after({ note: 'x', more: [{ deep: before }] }), {
        note: 'x',
        more: [{ deep: expected }],
      });
    });

  for (const other of [
    'malice.b@example.com',
    'alice.b@example.com.au',
    'alice.b@example.community',
    'alicexb@example.com',
    'bob@alice.b@example.com',
    '"bob"@alice.b@example.com',
    'alice.b@sub.example.com',
    'alice.b',
    'x-alice.b@example.com',
    'alice.b@example.com-x',
  ])
    test(`leaves another name alone: ${other}`, () => {
      assert.equal(after({ note: other }), undefined);
      assert.equal(after({ returnPath: other, account: other }), undefined);
    });

  test('leaves another login alone that has a tag in its name, but not a return path with a tag', () => {
    assert.deepEqual(after({ account: 'alice.b+x@example.com', returnPath: 'alice.b+x@example.com' }), {
      account: 'alice.b+x@example.com',
      returnPath: P,
    });
  });

  test('finds it in keys, in lists of accounts, in subjects and in who decided', () => {
    assert.deepEqual(after({ counts: { 'alice.b@example.com': 3 } }), { counts: { [P]: 3 } });
    assert.deepEqual(after({ evidence: { accounts: ['bob', 'alice.b@example.com'] } }), {
      evidence: { accounts: ['bob', P] },
    });
    const found = rewriter.rewrite({ type: 'X', by: 'admin:alice.b@example.com', data: '{}' });
    assert.deepEqual(found, { by: `admin:${P}`, data: '{}' });
  });

  test('finds an address with letters beyond ASCII in each way to write it', () => {
    const other = new Rewriter({ name: 'jörg@xn--bcher-kva.example', pseudonym: P });
    for (const text of ['jörg@bücher.example', 'JÖRG@xn--bcher-kva.example', 'jo\u0308rg@bücher.example'])
      assert.deepEqual(other.rewrite({ type: 'X', by: 'b', data: JSON.stringify({ returnPath: text }) }), {
        by: 'b',
        data: JSON.stringify({ returnPath: P }),
      });
  });

  test('finds a login that is no address only where logins and sentences are', () => {
    const login = new Rewriter({ name: 'alice', pseudonym: P });
    const rewritten = (data: unknown): unknown => {
      const found = login.rewrite({ type: 'X', by: 'admin:alice', data: JSON.stringify(data) });
      return found === undefined || found === 'erase' ? found : JSON.parse(found.data);
    };
    assert.equal(
      rewritten({ ehlo: 'alice', rule: 'alice', value: 'alice', returnPath: 'alice@example.org' }),
      undefined,
    );
    assert.deepEqual(rewritten({ account: 'Alice', ehlo: 'alice' }), { account: P, ehlo: 'alice' });
    assert.deepEqual(rewritten({ subject: { type: 'account', value: 'alice' } }), {
      subject: { type: 'account', value: P },
    });
    assert.deepEqual(rewritten({ sentence: 'alice sent 3, alice@example.org none' }), {
      sentence: `${P} sent 3, alice@example.org none`,
    });
  });

  test('changes the text of rules wherever the address is, but for other logins, as the rules that were read from it', () => {
    const text = (name: string, address: string): string =>
      `version: 1 # for ${name}\nrules: []\nexempt:\n${[
        `account, value: ${name}`,
        'account, value: alice.b+x@example.com',
        `address, value: ${address}`,
      ]
        .map((subject) => `  - { subject: { type: ${subject} }, reason: of ${name} }\n`)
        .join('')}`;
    const source = text('alice.b@example.com', '"\\u0061lice.b@example.com"');
    const data = after({ version: 2, rules: parseRules(source), source, origin: 'api' }, 'RulesChanged');
    const { rules, source: changed } = data as { rules: unknown; source: string };
    assert.equal(changed, text(P, `"${P}"`));
    assert.deepEqual(rules, JSON.parse(JSON.stringify(parseRules(changed))));
  });

  describe('of a login that is a word of the rules', () => {
    const login = new Rewriter({ name: 'block', pseudonym: P });
    const exempt = (value: string, type = 'account', more = ''): string =>
      `  - { subject: { type: ${type}, value: ${value} }, reason: block asked${more} }\n`;
    const text = (...entries: readonly string[]): string =>
      `version: 1 # block\nextends: defaults\nrules:\n  - { id: block, description: never block, per: account, count: messages, window: 1h, limit: 9, then: block, for: 1h }\nexempt:\n${entries.join('')}`;
    const sourceAfter = (source: string): string => (login.value({ source }) as { source: string }).source;

    for (const [before, expected] of [
      ['block', P],
      ['Block', P],
      ['"block"', `"${P}"`],
      ["'block'", `"${P}"`],
      ['"bl\\u006fck"', `"${P}"`],
      ['&them block', `&them ${P}`],
    ] as const)
      test(`its text changes in subjects alone: ${before}`, () => {
        const others = [exempt('block', 'ehlo'), exempt('unblock'), exempt('block@example.com')];
        const changed = sourceAfter(
          text(exempt(before), ...others, exempt(before.replace('&', '*').split(' ')[0]!)),
        );
        const second = before.startsWith('&') ? P : expected;
        assert.equal(changed, text(exempt(expected), ...others, exempt(second)));
        assert.doesNotThrow(() => renewedRules(changed), 'a subject that is there twice was recorded so');
      });

    test('the rules stay what their text says', () => {
      const source = text(exempt('block'));
      const data = { version: 3, rules: parseRules(source), source, origin: 'file' };
      for (const type of ['RulesChanged', 'ShadowRulesChanged']) {
        const found = login.rewrite({ type, by: 'admin:me', data: JSON.stringify(data) });
        assert.ok(typeof found === 'object');
        const { rules, source: changed } = JSON.parse(found.data) as typeof data;
        assert.deepEqual(rules, JSON.parse(JSON.stringify(parseRules(changed))));
        assert.equal(rules.exempt[0]!.subject.value, P);
      }
    });

    test('rules without a subject of that name stay byte for byte', () => {
      const source = text(exempt('bob'));
      const data = JSON.stringify({ version: 3, rules: parseRules(source), source, origin: 'file' });
      assert.equal(login.rewrite({ type: 'RulesChanged', by: 'admin:me', data }), undefined);
    });

    test('rules as JSON, over several lines, and what is no YAML', () => {
      const json = (value: string): string =>
        JSON.stringify({
          version: 1,
          rules: [],
          exempt: [{ subject: { type: 'account', value }, reason: 'block' }],
        });
      assert.equal(sourceAfter(json('block')), json(P));
      const lines = (value: string): string =>
        `exempt:\n  - subject:\n      value:\n        ${value}\n      type: account\n    reason: block\n`;
      assert.equal(sourceAfter(lines('block')), lines(P));
      const nested = `${'['.repeat(200)} value: block`;
      assert.equal(sourceAfter(nested), nested);
    });
  });

  test('erases held mail of theirs, and what the outbox holds for a stream of theirs', () => {
    assert.equal(after({ account: 'Alice.b@example.com', transaction: 'q' }, 'MessageHeld'), 'erase');
    assert.equal(after({ stream: 'send-alice.b@example.com', event: {} }, 'OutboxRefused'), 'erase');
    assert.deepEqual(after({ account: 'bob', returnPath: 'alice.b@example.com' }, 'MessageHeld'), {
      account: 'bob',
      returnPath: P,
    });
  });

  test('takes the name out of what is no JSON', () => {
    assert.deepEqual(rewriter.rewrite({ type: 'X', by: 'b', data: '{"note":"alice.b@example.com' }), {
      by: 'b',
      data: `{"note":"${P}`,
    });
  });

  test('takes time that grows with the text alone', () => {
    const began = performance.now();
    after({ note: 'alice.b+'.repeat(100_000) });
    after({ note: `alice.b+${'a'.repeat(500_000)}` });
    assert.ok(performance.now() - began < 1000);
  });

  test('erases sessions of theirs, in either way a domain is written, and none of a login that is no address', () => {
    const sessionsOf = (name: string): readonly string[] =>
      ownStreams({ name, pseudonym: P }).flatMap(({ stream }) =>
        stream.startsWith('session-') ? [stream] : [],
      );
    assert.deepEqual(sessionsOf('alice'), []);
    assert.deepEqual(sessionsOf('a@xn--bcher-kva.example'), [
      'session-a@xn--bcher-kva.example',
      'session-a@bücher.example',
    ]);
  });

  test('keeps the streams of histories of blocks and no others', () => {
    assert.deepEqual(
      ownStreams(person).map(({ stream, renamed }) => [stream, renamed]),
      [
        ['send-alice.b@example.com', undefined],
        ['profile-alice.b@example.com', undefined],
        ['override-account:alice.b@example.com', undefined],
        ['override-address:alice.b@example.com', undefined],
        ['session-alice.b@example.com', undefined],
        ['block-account:alice.b@example.com', `block-account:${P}`],
        ['block-address:alice.b@example.com', `block-address:${P}`],
      ],
    );
  });
});
