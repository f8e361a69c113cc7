import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import ipaddr from 'ipaddr.js';
import { ActiveBlocks } from '../../../projections/blocks/active-blocks.js';
import type { ActiveBlock } from '../../../projections/blocks/active-blocks.js';
import { PatternIndex } from '../../../projections/blocks/pattern-index.js';
import { matches } from '../../../src/sending/identity.js';
import { SubjectIndex } from '../../../projections/blocks/subject-index.js';
import type { BlockFact } from '../../../src/blocks/events.js';
import type { MailDirection, SenderIdentity, Subject } from '../../../src/sending/subjects.js';
import { DIRECTIONS, SUBJECT_TYPES, parseSubject, senderIdentity } from '../../../src/sending/subjects.js';
import { recorded } from '../../support/given.js';

const NOW = Date.UTC(2026, 0, 1);

/* Few distinct names, so that subjects and senders meet often. */
const label = fc.constantFrom('a', 'b', 'ab', 'ba', 'mail');
const domain = fc.array(label, { minLength: 2, maxLength: 4 }).map((labels) => labels.join('.'));
const local = fc.stringMatching(/^[ab.-]{1,4}$/);
const address = fc.tuple(local, fc.oneof(domain, label)).map(([name, host]) => `${name}@${host}`);
const starred = fc.stringMatching(/^[ab.*-]{1,5}$/).filter((text) => text.includes('*'));
const ipv4 = fc
  .tuple(fc.constantFrom('10.1', '192.0'), fc.nat(3), fc.nat(255))
  .map((parts) => parts.join('.'));
const ipv6 = fc
  .tuple(fc.constantFrom('2001:db8:', '2001:db8:0:1:'), fc.nat(0xffff))
  .map(([net, host]) => `${net}:${host.toString(16)}`);

const subject: fc.Arbitrary<Subject> = fc.oneof(
  address.map((value) => parseSubject('account', value)),
  fc.constantFrom('alice', 'a').map((value) => parseSubject('account', value)),
  address.map((value) => parseSubject('address', value)),
  fc.tuple(starred, domain).map(([name, host]) => parseSubject('address', `${name}@${host}`)),
  domain.map((value) => parseSubject('domain', value)),
  label.map((value): Subject => ({ type: 'domain', value })),
  domain.map((value) => parseSubject('ehlo', value)),
  fc
    .tuple(fc.stringMatching(/^[ab*]{0,3}$/), domain)
    .map(([head, tail]) => parseSubject('ehlo', `*${head}.mail.${tail}`)),
  fc
    .tuple(domain, fc.stringMatching(/^[ab]{0,2}$/))
    .map(([head, tail]) => parseSubject('ehlo', `mail.${head}.*${tail}`)),
  ipv4.map((value) => parseSubject('ip', value)),
  fc
    .tuple(ipv4, fc.integer({ min: 8, max: 32 }))
    .map(([value, length]) => parseSubject('ip', `${value}/${length}`)),
  fc
    .tuple(ipv6, fc.integer({ min: 16, max: 128 }))
    .map(([value, length]) => parseSubject('ip', `${value}/${length}`)),
  fc.constant<Subject>({ type: 'ip', value: 'no/address' }),
);

const sender: fc.Arbitrary<SenderIdentity> = fc
  .record({
    account: fc.option(fc.oneof(address, fc.constantFrom('alice', 'a', 'a.b')), { nil: undefined }),
    returnPath: fc.option(fc.oneof(address, fc.constantFrom('', 'a', 'same')), { nil: undefined }),
    ehlo: fc.option(
      fc.oneof(
        domain,
        domain.map((name) => `mail.${name}`),
      ),
      { nil: undefined },
    ),
    ip: fc.option(fc.oneof(ipv4, ipv6, fc.constantFrom('no/address', 'x')), { nil: undefined }),
    direction: fc.constantFrom<MailDirection>('outbound', 'inbound'),
  })
  .map((raw) =>
    senderIdentity({ ...raw, returnPath: raw.returnPath === 'same' ? raw.account : raw.returnPath }),
  );

/** What a subject covers, said the slow and obvious way. */
function covers({ type, value }: Subject, who: SenderIdentity): boolean {
  const glob = (text: string): boolean =>
    new RegExp(
      `^${value
        .split('*')
        .map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
        .join('[^]*')}$`,
    ).test(text);
  switch (type) {
    case 'account':
      return who.account === value;
    case 'address':
      return who.address !== undefined && who.address !== '' && glob(who.address);
    case 'domain':
      return [who.account, who.address].some((name) => {
        const host = name?.includes('@') ? name.slice(name.lastIndexOf('@') + 1) : undefined;
        return host === value || (value.includes('.') && host?.endsWith(`.${value}`));
      });
    case 'ehlo':
      return who.ehlo !== undefined && glob(who.ehlo);
    case 'ip': {
      if (who.ip === undefined || !ipaddr.isValid(who.ip)) return who.ip === value;
      if (!value.includes('/')) return who.ip === value;
      if (!ipaddr.isValidCIDR(value)) return false;
      const [network, length] = ipaddr.parseCIDR(value);
      const ip = ipaddr.process(who.ip);
      return ip.kind() === network.kind() && ip.match(network, length);
    }
  }
}

type Change = { subject: Subject; direction: (typeof DIRECTIONS)[number]; span: number | null; then: string };
const change: fc.Arbitrary<Change> = fc.record({
  subject,
  direction: fc.constantFrom(...DIRECTIONS),
  span: fc.option(fc.integer({ min: -5, max: 5 })),
  then: fc.constantFrom('stands', 'stands', 'released', 'expired', 'extended', 'shortened'),
});

/** The blocks of a list of changes, as facts and as the final state. */
function build(changes: readonly Change[]): { facts: BlockFact[]; standing: Map<string, ActiveBlock> } {
  const facts: BlockFact[] = [];
  const standing = new Map<string, ActiveBlock>();
  changes.forEach(({ subject, direction, span, then }, index) => {
    const block = `b${index}`;
    const until = span === null ? null : NOW + span;
    const data = {
      block,
      subject,
      direction,
      until,
      refusal: 'soft',
      description: '',
      origin: 'admin',
    } as const;
    facts.push({ type: 'BlockImposed', data: { ...data, renewWhileTrying: false } });
    const key = `${subject.type} ${subject.value}`;
    standing.set(key, { id: block, ...subject, direction, until, refusal: 'soft', byRule: false });
    if (then === 'released') facts.push({ type: 'BlockReleased', data: { block, falsePositive: false } });
    if (then === 'expired') facts.push({ type: 'BlockExpired', data: { block, dueAt: NOW } });
    if (then === 'released' || then === 'expired') standing.delete(key);
    if (then === 'extended') {
      facts.push({ type: 'BlockExtended', data: { block, until: null, direction: 'all' } });
      standing.set(key, { ...standing.get(key)!, until: null, direction: 'all' });
    }
    if (then === 'shortened') {
      facts.push({ type: 'BlockShortened', data: { block, until: NOW + 1 } });
      standing.set(key, { ...standing.get(key)!, until: NOW + 1 });
    }
  });
  return { facts, standing };
}

const ends = ({ until }: { until: number | null }): number => until ?? Infinity;

describe('a verdict', () => {
  test('is that of looking at every block in turn', () => {
    let refused = 0;
    fc.assert(
      fc.property(
        fc.array(change, { minLength: 20, maxLength: 60 }),
        fc.array(sender, { minLength: 10, maxLength: 20 }),
        (changes, senders) => {
          const { facts, standing } = build(changes);
          const active = new ActiveBlocks();
          for (const fact of recorded(facts)) active.apply(fact);
          assert.equal(active.size, standing.size);
          for (const who of senders) {
            const all = [...standing.values()].filter(
              (block) =>
                ends(block) > NOW && ['all', who.direction].includes(block.direction) && covers(block, who),
            );
            const verdict = active.find(who, NOW);
            if (verdict !== undefined) refused++;
            assert.equal(verdict === undefined, all.length === 0, JSON.stringify({ who, all, verdict }));
            if (verdict !== undefined) {
              assert.deepEqual(
                all.find(({ id }) => id === verdict.id),
                verdict,
              );
              assert.equal(ends(verdict), Math.max(...all.map(ends)), 'the one that ends last');
            }
          }
        },
      ),
      { numRuns: 200 },
    );
    assert.ok(refused > 1000, `only ${refused} refusals: names must meet more often to show anything`);
  });

  test('minds what is decided on but not yet recorded, and lets go of it', () => {
    const active = new ActiveBlocks();
    const alice = parseSubject('account', 'alice@example.com');
    const who = senderIdentity({ account: 'alice@example.com', direction: 'outbound' });
    const block = {
      id: 'p',
      ...alice,
      direction: 'inbound',
      until: NOW + 5,
      refusal: 'soft',
      byRule: true,
    } as const;
    active.anticipate(alice, block);
    assert.equal(active.find(who, NOW), undefined);
    active.anticipate(alice, { ...block, id: 'q', direction: 'outbound', until: NOW + 9 });
    assert.deepEqual([active.find(who, NOW)?.id, active.find(who, NOW)?.direction], ['q', 'all']);
    assert.equal(active.find(who, NOW + 9), undefined);
    active.withdraw(alice);
    assert.equal(active.find(who, NOW), undefined);
  });

  test('refuses an address as long as what it sent brought about, in whichever direction', () => {
    const active = new ActiveBlocks();
    const ip = parseSubject('ip', '198.51.100.9');
    const block = {
      id: 'p',
      ...ip,
      direction: 'inbound',
      until: NOW + 9,
      refusal: 'soft',
      byRule: true,
    } as const;
    active.anticipate(ip, block);
    active.anticipate(ip, { ...block, direction: 'all', until: NOW + 5 });
    const { until, direction } = active.find(senderIdentity({ ip: ip.value, direction: 'inbound' }), NOW)!;
    assert.deepEqual([until, direction], [NOW + 9, 'all']);
  });

  test('is the same whether a block is folded once or re-delivered at once', () => {
    const active = new ActiveBlocks();
    const [imposed] = recorded(
      build([{ subject: parseSubject('account', 'a@b.ab'), direction: 'all', span: 5, then: 'stands' }])
        .facts,
    );
    active.apply(imposed!);
    active.apply({ ...imposed!, position: 99 });
    assert.equal(active.size, 1);
  });
});

describe('a subject index', () => {
  test('gives back what was set, counts it once, and forgets it', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(subject, fc.nat(2))), (steps) => {
        const index = new SubjectIndex<number>();
        const plain = new Map<string, number>();
        for (const [each, what] of steps) {
          const key = `${each.type} ${each.value}`;
          if (what === 0) {
            index.delete(each);
            plain.delete(key);
          } else {
            index.set(each, what);
            plain.set(key, what);
          }
          assert.equal(index.get(each), plain.get(key));
          assert.equal(index.size, plain.size);
        }
      }),
    );
  });

  test('grows far beyond its first size', () => {
    const index = new SubjectIndex<number>();
    const who = (n: number): SenderIdentity =>
      senderIdentity({ account: `u${n}@d${n}.example`, direction: 'outbound' });
    for (let n = 0; n < 5000; n++) {
      index.set(
        { type: n % 2 ? 'account' : 'domain', value: n % 2 ? `u${n}@d${n}.example` : `d${n}.example` },
        n,
      );
    }
    for (let n = 0; n < 5000; n++) {
      const found: number[] = [];
      index.forEachMatch(who(n), (value) => found.push(value));
      assert.deepEqual(found, [n]);
    }
    assert.ok(
      SUBJECT_TYPES.length === 5,
      'a new type of subject needs a place in the index and in these tests',
    );
  });

  test('finds the one of many patterns of a domain, whether few or many', () => {
    for (const many of [1, 2, 16, 17, 40]) {
      const index = new SubjectIndex<number>();
      for (let n = 0; n < many; n++) index.set(parseSubject('address', `p${n}-*@example.com`), n);
      const found: number[] = [];
      const ask = (): number[] => {
        found.length = 0;
        const who = senderIdentity({ returnPath: `p${many - 1}-x@example.com`, direction: 'inbound' });
        index.forEachMatch(who, (value) => found.push(value));
        return found;
      };
      assert.deepEqual(ask(), [many - 1]);
      index.delete(parseSubject('address', `p${many - 1}-*@example.com`));
      assert.deepEqual(ask(), []);
      assert.equal(index.size, many - 1);
    }
  });
});

describe('patterns', () => {
  const pattern = fc.stringMatching(/^[ab*]{0,6}$/);
  const text = fc.stringMatching(/^[ab]{0,8}$/);
  const oracle = (glob: string, subject: string): boolean =>
    new RegExp(`^${glob.replaceAll('*', '.*')}$`).test(subject);

  test('match as a regular expression would', () => {
    fc.assert(
      fc.property(pattern, text, (glob, subject) => {
        assert.equal(matches(glob, subject), oracle(glob, subject), `${glob} on ${subject}`);
      }),
      { numRuns: 3000 },
    );
  });

  test('are found in an index just where they match', () => {
    const steps = fc.array(
      fc.tuple(
        pattern.filter((glob) => glob.includes('*')),
        fc.boolean(),
      ),
    );
    fc.assert(
      fc.property(steps, fc.array(text), (changes, subjects) => {
        const index = new PatternIndex<string>();
        const plain = new Set<string>();
        for (const [glob, stays] of changes) {
          if (stays) index.set(glob, glob);
          else index.delete(glob);
          if (stays) plain.add(glob);
          else plain.delete(glob);
          assert.equal(index.get(glob), stays ? glob : undefined);
        }
        assert.equal(index.size, plain.size);
        for (const subject of subjects) {
          const found: string[] = [];
          index.forEachMatch(subject, (glob) => found.push(glob));
          assert.deepEqual(found.sort(), [...plain].filter((glob) => oracle(glob, subject)).sort());
        }
      }),
      { numRuns: 500 },
    );
  });
});
