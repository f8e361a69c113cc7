import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BoundedMap } from '../../../src/import/postfix-log/bounded-map.js';

test('a bounded map knows at least the newest half of what was put in, and never what was deleted or replaced', () => {
  const steps = fc.array(fc.record({ key: fc.nat(20), deletes: fc.boolean() }), { maxLength: 100 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 12 }), steps, (most, all) => {
      const map = new BoundedMap<number, number>(most);
      const newest = new Map<number, number>();
      // In the order in which they were put in last, also those that have been deleted since.
      const order = new Set<number>();
      all.forEach(({ key, deletes }, value) => {
        if (deletes) map.delete(key);
        else map.set(key, value);
        newest.delete(key);
        if (!deletes) {
          newest.set(key, value);
          order.delete(key);
          order.add(key);
        }
        const known = Array.from({ length: 21 }, (_, each) => map.get(each));
        assert.ok(known.filter((each) => each !== undefined).length <= Math.max(2, most));
        known.forEach((each, at) => each !== undefined && assert.equal(each, newest.get(at)));
        const sure = [...order].slice(-Math.max(1, Math.floor(most / 2)));
        for (const at of sure) assert.equal(map.get(at), newest.get(at));
      });
    }),
    { examples: [[1, [put(1), put(0), put(6), gone(0), gone(6)]]] },
  );
});

const put = (key: number) => ({ key, deletes: false });
const gone = (key: number) => ({ key, deletes: true });
