import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { SECOND } from '../../../src/kernel/time.js';
import type { Limit } from '../../../src/overrides/model.js';
import { DEFAULT_RULES } from '../../../src/rules/defaults.js';
import { ALICE } from '../../support/given.js';
import { pipelinesOf, shellIn } from '../../support/watch/shell.js';
import { Watching } from '../../support/watching.js';

/** The limits of the recipe, as the page names them. */
function recipe(): Readonly<Record<string, Limit>> {
  const commands = shellIn(readFileSync('docs/reference/rules.md', 'utf8')).flatMap(pipelinesOf).flat();
  const recipes = commands.filter((words) => words.join(' ').startsWith('stopgap override set account news'));
  assert.equal(recipes.length, 1, 'the page has one recipe for a newsletter');
  const words = recipes[0]!;
  return Object.fromEntries(
    words.flatMap((word, index) => {
      if (words[index - 1] !== '--limit') return [];
      const [rule, limit] = word.split('=');
      return [[rule!, limit === 'off' ? 'off' : Number(limit)]];
    }),
  );
}

const days = (count: number): readonly number[] => Array.from({ length: count }, (_, day) => day);

describe('the recipe for a newsletter account', () => {
  for (const [who, day, known] of [
    ['is known', 41, days(40)],
    ['has never sent', 41, []],
    ['is new where Stopgap is new', 2, []],
    ['is new where Stopgap is two weeks old', 15, []],
  ] satisfies [string, number, readonly number[]][])
    test(`lets 4,500 messages within half an hour pass, of an account that ${who}`, () => {
      const run = (
        limits: Readonly<Record<string, Limit>> | undefined,
        from: Readonly<Record<string, string>> = {},
        messages = 4500,
      ): readonly string[] => {
        const watching = new Watching(DEFAULT_RULES.slice(DEFAULT_RULES.indexOf('version:')));
        watching.habit(known);
        watching.morning(day);
        if (limits !== undefined) watching.override({ type: 'account', value: ALICE.value }, { limits });
        const tripped = watching.send(from, messages, 0.4 * SECOND);
        return tripped.flatMap(({ rule, subject }) => (subject.type === 'account' ? [rule.id] : []));
      };
      assert.notDeepEqual(
        run(undefined, {}, 1500),
        [],
        'without it a third of the messages would be too many',
      );
      assert.deepEqual([...new Set(run(recipe()))], []);
      const elsewhere = { ip: '198.51.100.9', ehlo: 'lists.example.com' };
      assert.deepEqual([...new Set(run({ ...recipe(), elsewhere: 'off', strange: 'off' }, elsewhere))], []);
    });
});
