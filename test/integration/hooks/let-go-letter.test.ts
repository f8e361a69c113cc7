import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MINUTE } from '../../../src/kernel/time.js';
import { newId } from '../../../src/runtime/ids.js';
import type { HookScene } from '../../support/hook-scene.js';
import { decide, failed, recordHeld, recordSent, runs, scene } from '../../support/hook-scene.js';
import { tokenOf } from '../../support/policy/token.js';
import { ALICE } from '../../support/smtp/stopgap.js';
import { parseSubject } from '../../../src/sending/subjects.js';

/** The letter of a block to the customer, as somebody with this role has it. */
async function letterOf(
  { stopgap }: HookScene,
  block: string,
  role: 'viewer' | 'domain' = 'viewer',
): Promise<string> {
  await stopgap.settled();
  const authorization = `Bearer ${await tokenOf(stopgap, newId(), role, role === 'domain' ? ['example.com'] : [])}`;
  const url = `http://127.0.0.1:${stopgap.port('HTTP')}/api/v1/blocks/${block}/report?format=text`;
  return (await fetch(url, { headers: { authorization } })).text();
}

describe('the letter about held mail that somebody let go by hand', () => {
  /** The hook does not find on hold what ends in `GONE`. */
  async function held(there: HookScene, ...ids: readonly string[]): Promise<string> {
    const block = await there.stopgap.block('account', ALICE, { refusal: 'hold' });
    for (const id of ids) await recordHeld(there, block, id);
    // What the hook does not find then is not on its way any more.
    there.clock.advance(6 * MINUTE);
    return block;
  }

  test('says of what the hook did not find that it may have been sent, so that nobody sends it again', async (t) => {
    const there = await scene(t);
    const block = await held(there, '4ONE1', '4GONE');
    await decide(there, { kind: 'release', block, falsePositive: false, held: 'delete' });
    const [ran] = await runs(there, 1);
    assert.deepEqual([ran!.data.acted, ran!.data.asked], [1, 2]);
    const letter = await letterOf(there, block);
    assert.match(letter, /^- 2 messages to 2 recipients did not leave our server at first\.$/m);
    assert.match(letter, /^- 1 message of these was deleted\.$/m);
    assert.match(letter, /^- 1 message of these may have been sent on or deleted since\.$/m);
  });

  test('says of all of it that it may have been sent where the hook found none', async (t) => {
    const there = await scene(t);
    const block = await held(there, '4AGONE', '4BGONE');
    await decide(there, { kind: 'release', block, falsePositive: false, held: 'release' });
    await runs(there, 1);
    const letter = await letterOf(there, block);
    assert.match(letter, /^- 2 messages to 2 recipients did not leave our server at first\.$/m);
    assert.match(letter, /^- 2 messages of these may have been sent on or deleted since\.$/m);
    assert.doesNotMatch(letter, /still held/);
  });

  test('says that it is still held where a person has decided and the hook has not done it', async (t) => {
    const there = await scene(t);
    const block = await held(there, '4ONE1');
    await there.hook.becomes('broken');
    await decide(there, { kind: 'release', block, falsePositive: false, held: 'delete' });
    await failed(there, 1);
    const letter = await letterOf(there, block);
    assert.match(letter, /^- 1 message to 1 recipient did not leave our server\.$/m);
    assert.match(letter, /^- 1 message is still held\.$/m);
    assert.doesNotMatch(letter, /wait/);
  });

  test('says that it may have been sent where a person has decided and no hook is set', async (t) => {
    const there = await scene(t, false);
    const block = await held(there, '4ONE1', '4TWO2');
    there.clock.advance(20 * 60_000);
    await recordSent(there, '4ONE1');
    const before = await letterOf(there, block);
    assert.match(before, /^- 1 message of these was sent on later\.\n- 1 message is still held\.$/m);
    await decide(there, { kind: 'held', block, action: 'release' });
    await recordHeld(there, block, '4NEW3');
    const letter = await letterOf(there, block);
    assert.match(letter, /^- 3 messages to 3 recipients did not leave our server at first\.$/m);
    assert.match(letter, /^- 1 message of these was sent on later\.$/m);
    assert.match(letter, /^- 1 message of these may have been sent on or deleted since\.$/m);
    assert.match(letter, /^- 1 message is still held\.$/m, 'nobody has decided on the newest');
  });

  test('says that it may have been sent where it is left to people, since no hook is asked for such ids', async (t) => {
    const there = await scene(t);
    const block = await held(there, '4ONE1', '4A');
    await decide(there, { kind: 'held', block, action: 'release' });
    await runs(there, 1);
    await recordHeld(there, block, '4B');
    assert.match(await letterOf(there, block), /^- 1 message is still held\.$/m);
    await decide(there, { kind: 'held', block, action: 'release' });
    const letter = await letterOf(there, block);
    assert.match(letter, /^- \d messages? of these may have been sent on or deleted since\.$/m);
    assert.doesNotMatch(letter, /still held/);
  });

  test('tells what a call let go before a later one was given up', async (t) => {
    const there = await scene(t);
    const { clock, hook, stopgap } = there;
    const block = await stopgap.block('domain', 'example.com', { refusal: 'hold' });
    await recordHeld(there, block, '4ONE1');
    await recordHeld(there, block, '4TWO2', { account: 'bob@example.com' });
    await hook.becomes('half');
    const command = { kind: 'release', block, falsePositive: true } as const;
    await stopgap.app.blockCommands.execute(parseSubject('domain', 'example.com'), command, {
      by: 'admin:a',
    });
    for (let times = 1; times < 8; times++) {
      await failed(there, times);
      clock.advance(5 * 60_000);
    }
    const [ran] = await runs(there, 1);
    assert.deepEqual([ran!.data.outcome, ran!.data.acted], ['failed', 1]);
    const letter = await letterOf(there, block);
    assert.match(letter, /^- 2 messages to 2 recipients did not leave our server at first\.$/m);
    assert.match(letter, /^- 1 message of these was sent on later\.$/m);
    assert.match(letter, /^- 1 message is still held\.$/m);
    // An administrator of the domain is not told on how many the hook acted.
    const theirs = await letterOf(there, block, 'domain');
    assert.match(theirs, /^- 2 messages to 2 recipients did not leave our server at first\.$/m);
    assert.match(theirs, /^- 2 messages of these may have been sent on or deleted since\.$/m);
    assert.doesNotMatch(theirs, /still held/);
  });
});
