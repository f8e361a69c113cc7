import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { DEFAULT_RULES, EVALUATION_RULES } from '../../../src/rules/defaults.js';
import { parseRules } from '../../../src/rules/parse.js';

test('docs/tour.md counts the rules as the commands do', () => {
  const tour = readFileSync('docs/tour.md', 'utf8');
  const own = parseRules(/\$ cat > my-rules\.yaml <<'EOF'\n([^]*?)^EOF$/m.exec(tour)![1]!);
  const counted = [...tour.matchAll(/ (\d+) rules, mode enforce/g)].map(([, count]) => Number(count));
  const { length } = own.rules;
  assert.equal(length, parseRules(DEFAULT_RULES).rules.length + 1);
  assert.deepEqual(counted, [length, length, parseRules(EVALUATION_RULES).rules.length]);
});
