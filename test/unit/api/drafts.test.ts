import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readDraft } from '../../../src/api/rules.js';
import { parseAside } from '../../../src/parsing/aside.js';
import { settle } from '../../support/gate.js';

/** Long enough to be read in the thread. */
const LENGTH = 60;
const RULES = {
  text: `version: 1\nrules:\n${Array.from(
    { length: LENGTH },
    (_, n) =>
      `  - { id: r${n}, per: account, count: messages, window: 1h, limit: ${n + 1}, then: propose, for: 1h }`,
  ).join('\n')}\n`,
  isJson: false,
};
describe('rules that are only tried', () => {
  test('are read one after the other, so that rules to put in force wait for one of them at most', async () => {
    let done = 0;
    const drafts = Array.from({ length: 20 }, () => readDraft(RULES).then(() => done++));
    await settle();
    const before = done;
    const [wanted] = await parseAside('rules', RULES.text, 'rules', { tokens: 10_000 });
    const between = done - before;
    await Promise.all(drafts);
    assert.equal(wanted!.rules.rules.length, LENGTH);
    assert.ok(between <= 2, `${between} came before it`);
    assert.equal(done, 20);
  });

  test('are refused where twenty wait already, and are read again when these are done', async () => {
    const drafts = Array.from({ length: 20 }, () => readDraft(RULES));
    await assert.rejects(readDraft(RULES), { code: 'unavailable' });
    await Promise.all(drafts);
    assert.equal((await readDraft(RULES)).rules.rules.length, LENGTH);
  });

  test('are named as they were before, and one that is faulty holds up no other', async () => {
    const faulty = readDraft({ text: `${RULES.text}x: 1\n`, isJson: false }, 'mine');
    const next = readDraft(RULES);
    await assert.rejects(faulty, /mine/);
    assert.equal((await next).rules.rules.length, LENGTH);
  });
});
