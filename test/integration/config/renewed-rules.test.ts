import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { RulesCommandHandler } from '../../../src/commands/rules-commands.js';
import { parseRules } from '../../../src/rules/parse.js';
import { Stopgap } from '../../support/smtp/stopgap.js';

const EXTENDING = 'version: 1\nextends: defaults\nrules: []\n';
const NOW = parseRules(EXTENDING);
/** As an earlier version read them, which did not have the first of the built-in rules. */
const EARLIER = { ...NOW, rules: NOW.rules.slice(1) };

/** A Stopgap that starts on rules as an earlier version has recorded them. */
async function upgraded(
  stopgap: Stopgap,
  { origin = 'api', source = EXTENDING }: { origin?: 'api' | 'file'; source?: string } = {},
): Promise<void> {
  const commands = new RulesCommandHandler(stopgap.app.store, stopgap.clock);
  await commands.execute(
    { kind: 'replace', origin, rules: EARLIER, source, isEdited: true },
    { by: 'admin:a' },
  );
  if (origin === 'file') writeFileSync(path.join(stopgap.dir, 'rules.yaml'), source);
  stopgap.logs.length = 0;
  await stopgap.restart();
}

const inForce = ({ app }: Stopgap): readonly unknown[] => [
  app.rules.origin,
  app.rules.version,
  app.models.sendVolume.rules.rules.length,
];
const said = ({ logs }: Stopgap, words: string): string => logs.filter((line) => line.includes(words)).join();

describe('rules that extend the built-in ones', () => {
  for (const origin of ['api', 'file'] as const)
    test(`extend those of a newer version from its first start on (${origin})`, async (t) => {
      const stopgap = await Stopgap.start(t);
      const { version } = stopgap.app.rules;
      await upgraded(stopgap, { origin });
      assert.deepEqual(inForce(stopgap), [origin, version + 2, NOW.rules.length]);
      assert.match(
        said(stopgap, 'extend the built-in ones of this version'),
        /"level":30,.*"which":"inForce"/,
      );
      await stopgap.restart();
      assert.deepEqual(inForce(stopgap), [origin, version + 2, NOW.rules.length], 'it is done once');
    });

  test('do so in the shadow too, so that a promotion takes nothing away', async (t) => {
    const stopgap = await Stopgap.start(t);
    const commands = new RulesCommandHandler(stopgap.app.store, stopgap.clock);
    await commands.execute({ kind: 'load', rules: EARLIER, source: EXTENDING }, { by: 'admin:a' });
    await stopgap.restart();
    const { version, rules } = stopgap.app.models.shadow.rules!;
    assert.deepEqual([version, rules.length], [2, NOW.rules.length]);
    assert.match(said(stopgap, 'rules extend the built-in ones'), /"which":"shadow","version":2,"before":1/);
  });

  test('stay as they were recorded where they do not go with those of a newer version', async (t) => {
    const stopgap = await Stopgap.start(t);
    const { version } = stopgap.app.rules;
    await upgraded(stopgap, { source: EXTENDING.replace('[]', '[{ id: minute }]') });
    assert.deepEqual(inForce(stopgap), ['api', version + 1, EARLIER.rules.length]);
    assert.match(said(stopgap, 'do not go with the built-in ones'), /"level":40,.*rules\[0\]/);
  });
});
