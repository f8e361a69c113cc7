import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MINUTE, SECOND } from '../../../src/kernel/time.js';
import type { AdmissionLimits } from '../../../src/smtp/admission.js';
import { Admission } from '../../../src/smtp/admission.js';

const A = '192.0.2.1';
const B = '2001:db8::/64';

function admission(limits: Partial<AdmissionLimits>, time = { now: 0 }): Admission {
  return new Admission(
    { connections: 1000, perNetwork: 1000, newPerMinute: 1000, ...limits },
    () => time.now,
  );
}

describe('who may connect', () => {
  test('no more than there is room for, from any network', () => {
    const door = admission({ connections: 2 });
    assert.equal(door.admit(A), undefined);
    assert.equal(door.admit(undefined), undefined);
    assert.equal(door.admit(B), 'full');
    assert.equal(door.admit(undefined), 'full');
    door.left(undefined);
    assert.equal(door.admit(B), undefined);
  });

  test('no more at a time from one network than it may have, and others all the same', () => {
    const door = admission({ perNetwork: 2 });
    for (let n = 0; n < 2; n++) assert.equal(door.admit(A), undefined);
    assert.equal(door.admit(A), 'network');
    assert.equal(door.admit(B), undefined);
    door.left(A);
    assert.equal(door.admit(A), undefined, 'one has gone');
    assert.equal(door.admit(A), 'network');
  });

  test('no more a minute from one network, however short its visits', () => {
    const time = { now: 0 };
    const door = admission({ newPerMinute: 3 }, time);
    const visit = (network: string): string => {
      const why = door.admit(network);
      if (why === undefined) door.left(network);
      return why ?? 'in';
    };
    assert.deepEqual(
      [1, 2, 3, 4].map(() => visit(A)),
      ['in', 'in', 'in', 'rate'],
    );
    assert.equal(visit(B), 'in');
    time.now += 20 * SECOND;
    assert.deepEqual(
      [1, 2].map(() => visit(A)),
      ['in', 'rate'],
      'a third of a minute gives one back',
    );
    time.now += 10 * MINUTE;
    assert.deepEqual(
      [1, 2, 3, 4].map(() => visit(A)),
      ['in', 'in', 'in', 'rate'],
      'never more than a minute’s worth',
    );
  });

  test('no more at a time from one site than it may have, however many IPv6 networks it spreads them over', () => {
    const door = admission({ perNetwork: 2 });
    const inside = (site: (n: number) => string): number => {
      let count = 0;
      for (let n = 0; n < 100; n++) if (door.admit(site(n)) === undefined) count++;
      return count;
    };
    assert.equal(
      inside((n) => `2001:db8:0:${(0xa00 + n).toString(16)}::/64`),
      4,
      'a /56: twice as many',
    );
    assert.equal(
      inside((n) => `2001:db8:0:${(0x100 * (n + 1)).toString(16)}::/64`),
      4,
      'the rest of a /48: four times as many altogether',
    );
    assert.equal(door.admit('2001:db8:1::/64'), undefined, 'another site');
    door.left('2001:db8:0:a00::/64');
    assert.equal(door.admit('2001:db8:0:b00::/64'), undefined, 'one has gone');
    assert.equal(door.admit('2001:db8:0:c00::/64'), 'network');
  });

  test('no more a minute from one site, however many IPv6 networks it spreads them over', () => {
    const door = admission({ newPerMinute: 3 });
    const visits = Array.from({ length: 100 }, (_, n) => {
      const network = `2001:db8:0:${(0x100 + n).toString(16)}::/64`;
      const why = door.admit(network);
      if (why === undefined) door.left(network);
      return why;
    });
    assert.equal(visits.filter((why) => why === undefined).length, 6);
    assert.equal(visits.at(-1), 'rate');
    assert.equal(door.admit('2001:db8:1::/64'), undefined, 'another site');
  });

  test('with no limits of its own if it is given none', () => {
    const door = admission({ perNetwork: 1, newPerMinute: 1 });
    for (let n = 0; n < 10; n++) assert.equal(door.admit(undefined), undefined);
  });
});
