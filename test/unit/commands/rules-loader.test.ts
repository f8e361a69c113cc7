import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { pino } from 'pino';
import { RulesCommandHandler } from '../../../src/commands/rules-commands.js';
import { RulesLoader } from '../../../src/commands/rules-loader.js';
import { DEFAULT_RULES } from '../../../src/rules/defaults.js';
import type { SourcedRules } from '../../../src/rules/model.js';
import { parseRules } from '../../../src/rules/parse.js';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { ManualClock } from '../../support/manual-clock.js';
import { temporaryDirectory } from '../config/helpers.js';

const read = (source: string): SourcedRules => ({ source, rules: parseRules(source) });
const [older, newer] = ['older', 'newer'].map((name) => read(`version: 1\nrules: []\n# ${name}\n`));

test('of two changes of the file while the store is away the newer is in force, whichever the store answers first', async (t) => {
  const clock = new ManualClock();
  const store = await openSqliteStore({ file: path.join(temporaryDirectory(t), 'events.db'), clock });
  t.after(() => store.close());
  const rulesCommands = new RulesCommandHandler(store, clock);
  let file = older;
  // What waits for the store, in the order in which it asked.
  const waiting: (() => void)[] = [];
  let isAway = true;
  const loader = new RulesLoader({
    rulesCommands,
    file: () => file,
    builtIn: DEFAULT_RULES,
    async insist(work) {
      if (isAway) await new Promise<void>((resolve) => waiting.push(resolve));
      return work();
    },
    log: pino({ enabled: false }),
  });
  const first = loader.load();
  await new Promise(setImmediate);
  file = newer;
  const second = loader.reload();
  await new Promise(setImmediate);
  isAway = false;
  for (const answer of waiting.reverse()) {
    answer();
    await Promise.race([first, second]);
  }
  await Promise.all([first, second]);
  assert.equal((await rulesCommands.current())?.source, newer?.source);
});

test('reads what is in force anew at the start alone, since a large text takes long', async (t) => {
  const clock = new ManualClock();
  const store = await openSqliteStore({ file: path.join(temporaryDirectory(t), 'events.db'), clock });
  t.after(() => store.close());
  const renewed: string[] = [];
  class Handler extends RulesCommandHandler {
    override async renew(which: 'inForce' | 'shadow') {
      renewed.push(which);
      return super.renew(which);
    }
  }
  let file = older;
  const loader = new RulesLoader({
    rulesCommands: new Handler(store, clock),
    file: () => file,
    builtIn: DEFAULT_RULES,
    insist: (work) => work(),
    log: pino({ enabled: false }),
  });
  await loader.load();
  assert.deepEqual(renewed, ['inForce', 'shadow']);
  file = newer;
  await loader.reload();
  assert.deepEqual(renewed, ['inForce', 'shadow']);
});
