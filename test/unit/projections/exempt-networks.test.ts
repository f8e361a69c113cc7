import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Exemption } from '../../../projections/blocks/exemptions.js';
import { coverageOf, Exemptions } from '../../../projections/blocks/exemptions.js';
import { clientNetwork, isWithin, widerNetworks } from '../../../src/sending/identity.js';
import type { Subject } from '../../../src/sending/subjects.js';
import { parseSubject } from '../../../src/sending/subjects.js';
import { T0, recorded } from '../../support/given.js';

/** Few values, so that networks meet; a group of zero is written in more than one way. */
const group = fc.constantFrom('0', '1', '100', 'ff00', 'db8');
const address = fc
  .tuple(fc.constant('2001:db8'), fc.constantFrom('0', '1'), group, group, group, group, group)
  .map((groups) => groups.join(':'));
const exempt = fc.oneof(
  fc
    .tuple(address, fc.constantFrom('', '/128', '/80', '/64', '/60', '/56', '/48', '/32'))
    .map(([ip, length]) => parseSubject('ip', `${ip}${length}`)),
  fc.constantFrom(parseSubject('ip', '192.0.2.0/24'), parseSubject('account', 'alice@example.com'), {
    type: 'ip',
    value: 'none',
  } as const),
);
const network = address.chain((ip) => {
  const own = clientNetwork(ip);
  return fc.constantFrom(own, ...widerNetworks(own));
});

const granted = (subjects: readonly Subject[]): Exemptions => {
  const exemptions = new Exemptions();
  const facts = subjects.map((subject, index) => ({
    type: 'ExemptionGranted' as const,
    data: { exemption: `x${index}`, subject, until: null, reason: 'r' },
  }));
  for (const fact of recorded(facts)) exemptions.apply(fact);
  return exemptions;
};

describe('a network of IPv6', () => {
  test('is covered just where the first address of an exempt network lies in it, or an exempt network holds it', () => {
    fc.assert(
      fc.property(fc.array(exempt, { maxLength: 8 }), network, (subjects, value) => {
        const first = value.split('/', 1)[0]!;
        const expected = subjects.some(
          (subject) =>
            subject.type === 'ip' &&
            subject.value !== 'none' &&
            (isWithin(subject.value.split('/', 1)[0]!, value) || isWithin(first, subject.value)),
        );
        const asked = { type: 'ip', value } as const;
        const exemptions = granted(subjects);
        const restored = new Exemptions();
        restored.restore(exemptions.dump());
        for (const each of [exemptions, restored])
          assert.equal(each.covering(asked, T0) !== undefined, expected);
        assert.equal(coverageOf(subjects)(asked), expected);
        // What is revoked covers nothing more.
        const revoked = subjects.map((_, index) => ({
          type: 'ExemptionRevoked' as const,
          data: { exemption: `x${index}` },
        }));
        for (const fact of recorded(revoked)) exemptions.apply(fact);
        assert.equal(exemptions.covering(asked, T0), undefined);
      }),
    );
  });

  test('is covered by one exempt address or narrower network in it, the least that a rule can block, and its neighbour is not', () => {
    for (const part of ['2a01:4f8:1:2::5', '2a01:4f8:1:2:0:1::/96', '2a01:4f8:1:2:8000::/80']) {
      const subjects = [parseSubject('ip', part)];
      for (const covers of [
        (subject: Subject) => granted(subjects).covering(subject, T0)?.id === 'x0',
        coverageOf(subjects),
      ]) {
        assert.equal(covers(parseSubject('ip', '2a01:4f8:1:2::/64')), true, part);
        assert.equal(covers(parseSubject('ip', '2a01:4f8:1:3::/64')), false, part);
      }
    }
  });

  test('costs a look at what is exempt within it, however much else is exempt, and no address is read again', () => {
    let [looks, readings] = [0, 0];
    const exemption = (id: string, type: 'account' | 'ip', value: string): Exemption => ({
      id,
      reason: 'r',
      origin: 'admin',
      saved: 0,
      subject: {
        type,
        get value() {
          readings++;
          return value;
        },
      },
      get until() {
        looks++;
        return null;
      },
    });
    const exemptions = new Exemptions();
    const all = Array.from({ length: 500 }, (_, n) => [
      exemption(`ip${n}`, 'ip', `2001:db8:${n.toString(16)}:33::25`),
      exemption(`account${n}`, 'account', `user${n}@example.com`),
    ]);
    exemptions.restore({ all: all.flat(), ruleIds: [], subjects: [] });
    [looks, readings] = [0, 0];
    const found = Array.from(
      { length: 1000 },
      (_, n) => exemptions.covering(parseSubject('ip', `2001:db8:${n.toString(16)}::/48`), T0)?.id,
    );
    assert.deepEqual([found[7], found.filter((id) => id !== undefined).length], ['ip7', 500]);
    assert.deepEqual([looks, readings], [500, 0]);
  });
});
