import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import type { BlockProposed, ProposalDismissed } from '../../../src/blocks/events.js';
import { RulesCommandHandler } from '../../../src/commands/rules-commands.js';
import { newId } from '../../../src/runtime/ids.js';
import { parseRules } from '../../../src/rules/parse.js';
import { parseSubject } from '../../../src/sending/subjects.js';
import { eventually } from '../../support/smtp/eventually.js';
import { BOB, Stopgap } from '../../support/smtp/stopgap.js';

const RULES = `version: 1
rules:
  - { id: hint, per: account, count: messages, window: 10m, limit: 1, then: propose, for: 1h }
`;
const EXEMPT = `${RULES}exempt:
  - { subject: { type: domain, value: example.com }, reason: ours }
`;
const DOMAIN = parseSubject('domain', 'example.com');

/** Bob has sent more than the rule allows: a block of him is proposed. */
async function proposed(t: TestContext): Promise<{ stopgap: Stopgap; block: string }> {
  const stopgap = await Stopgap.start(t, { rules: RULES });
  const bob = await stopgap.loggedIn(BOB);
  for (let each = 0; each < 2; each++) await bob.send(BOB, ['one@elsewhere.test']);
  await bob.quit();
  const { data } = await stopgap.event(({ type }) => type === 'BlockProposed');
  return { stopgap, block: (data as BlockProposed).block };
}

/** How the proposal ended. */
async function ending(
  stopgap: Stopgap,
): Promise<readonly [block: string, note: string | undefined, by: string]> {
  const { data, by } = await stopgap.event(({ type }) => type === 'ProposalDismissed');
  const { block, note } = data as ProposalDismissed;
  return [block, note, by];
}

describe('a proposal of an account goes, with the reason', () => {
  test('when somebody exempts the domain of the account', async (t) => {
    const { stopgap, block } = await proposed(t);
    const grant = { kind: 'grant', subject: DOMAIN, until: null, reason: 'ours', newId: newId() } as const;
    await stopgap.app.blockCommands.execute(DOMAIN, grant, { by: 'admin:test' });
    assert.deepEqual(await ending(stopgap), [block, 'exempt: ours', 'system:exemptions']);
  });

  test('when rules come into force that exempt its domain', async (t) => {
    const { stopgap, block } = await proposed(t);
    const blockCommands = new RulesCommandHandler(stopgap.app.store, stopgap.clock);
    const rules = parseRules(EXEMPT);
    await blockCommands.execute(
      { kind: 'replace', origin: 'api', rules, source: EXEMPT },
      { by: 'admin:test' },
    );
    assert.deepEqual(await ending(stopgap), [block, 'exempt: ours', 'system:exemptions']);
  });

  test('when Stopgap starts with rules that exempt its domain', async (t) => {
    const { stopgap, block } = await proposed(t);
    await writeFile(path.join(stopgap.dir, 'rules.yaml'), EXEMPT);
    await stopgap.restart();
    assert.deepEqual(await ending(stopgap), [block, 'exempt: ours', 'system:exemptions']);
    await eventually('it is logged', () =>
      stopgap.logs.some((line) => line.includes('a proposal of an exempt subject was dismissed')),
    );
  });
});
