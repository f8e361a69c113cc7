import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ReportJson } from '../../../src/api/block-report.js';
import { parseSubject } from '../../../src/sending/subjects.js';
import { MINUTE } from '../../../src/kernel/time.js';
import type { HookScene } from '../../support/hook-scene.js';
import { decide, failed, recordHeld, runs, scene } from '../../support/hook-scene.js';
import { tokenOf } from '../../support/policy/token.js';
import { ALICE } from '../../support/smtp/stopgap.js';

const NETWORK = '192.0.2.7';
const IDS = ['4ONE1', '4TWO2', '4SIX6'];

type Command = Parameters<HookScene['stopgap']['app']['blockCommands']['execute']>[1];

describe('the report of a block whose mail another block took over', () => {
  /** Alice's block held three messages, and was a mistake while a block of her network was in force. */
  async function moved(there: HookScene): Promise<{ readonly block: string; readonly network: string }> {
    const { stopgap } = there;
    const block = await stopgap.block('account', ALICE, { refusal: 'hold' });
    for (const id of IDS) await recordHeld(there, block, id, { ip: NETWORK });
    const network = await stopgap.block('ip', NETWORK);
    await decide(there, { kind: 'release', block, falsePositive: true });
    await runs(there, 1);
    return { block, network };
  }

  async function decideOn({ stopgap }: HookScene, type: 'ip' | 'domain', value: string, command: Command) {
    await stopgap.app.blockCommands.execute(parseSubject(type, value), command, { by: 'admin:test' });
  }

  async function reader({ stopgap }: HookScene) {
    const authorization = `Bearer ${await tokenOf(stopgap, 'viewer', 'viewer')}`;
    const ask = (block: string, format: string): Promise<Response> => {
      const url = `http://127.0.0.1:${stopgap.port('HTTP')}/api/v1/blocks/${block}/report?format=${format}`;
      return fetch(url, { headers: { authorization } });
    };
    const heldOf = async (block: string): Promise<ReportJson['held']> => {
      await stopgap.settled();
      return ((await (await ask(block, 'json')).json()) as ReportJson).held;
    };
    return {
      elsewhere: async (block: string) => (await heldOf(block)).elsewhere,
      heldOf,
      letter: async (block: string) => (await ask(block, 'text')).text(),
    };
  }

  test('says that it was sent on where the other block let go of it, so that nobody sends it again', async (t) => {
    const there = await scene(t);
    const { block, network } = await moved(there);
    const { elsewhere, letter } = await reader(there);
    assert.deepEqual(await elsewhere(block), { released: 0, deleted: 0, waiting: 3 });
    assert.match(await letter(block), /another reason too: 3 are still held\.$/m);
    await decideOn(there, 'ip', NETWORK, { kind: 'release', block: network, falsePositive: false });
    await decideOn(there, 'ip', NETWORK, { kind: 'held', block: network, action: 'release' });
    await runs(there, 2);
    assert.deepEqual(await elsewhere(block), { released: 3, deleted: 0, waiting: 0 });
    const text = await letter(block);
    assert.match(text, /^- 3 messages to 3 recipients did not leave our server at first\.$/m);
    assert.match(text, /another reason too: 3 were sent on later\.$/m);
  });

  test('says that it was deleted where that was decided there', async (t) => {
    const there = await scene(t);
    const { block, network } = await moved(there);
    const { elsewhere } = await reader(there);
    await decideOn(there, 'ip', NETWORK, { kind: 'held', block: network, action: 'delete' });
    await runs(there, 2);
    assert.deepEqual(await elsewhere(block), { released: 0, deleted: 3, waiting: 0 });
  });

  test('follows it where the other block moved it on to a third one', async (t) => {
    const there = await scene(t);
    const { block, network } = await moved(there);
    const { elsewhere } = await reader(there);
    const domain = await there.stopgap.block('domain', 'example.com');
    await decideOn(there, 'ip', NETWORK, { kind: 'release', block: network, falsePositive: true });
    await runs(there, 2);
    assert.deepEqual(await elsewhere(block), { released: 0, deleted: 0, waiting: 3 });
    await decideOn(there, 'domain', 'example.com', { kind: 'release', block: domain, falsePositive: true });
    await runs(there, 3);
    assert.deepEqual(await elsewhere(block), { released: 3, deleted: 0, waiting: 0 });
  });

  test('counts mail once that the other block has moved back, and says that it is held here', async (t) => {
    const there = await scene(t);
    const { stopgap } = there;
    const block = await stopgap.block('account', ALICE, { refusal: 'hold' });
    for (const id of IDS) await recordHeld(there, block, id);
    const domain = await stopgap.block('domain', 'example.com', { refusal: 'hold' });
    await decide(there, { kind: 'held', block, action: 'release' });
    await runs(there, 1);
    const { heldOf, letter } = await reader(there);
    const sums = async (): Promise<unknown> => {
      const { messages, recipients, moved, waiting, elsewhere } = await heldOf(block);
      return { messages, recipients, moved, waiting, elsewhere };
    };
    const none = { released: 0, deleted: 0, waiting: 0 };
    const all = { messages: 3, recipients: 3 };
    assert.deepEqual(await sums(), { ...all, moved: 3, waiting: 0, elsewhere: { ...none, waiting: 3 } });
    const ends = { kind: 'release', block: domain, falsePositive: true } as const;
    await decideOn(there, 'domain', 'example.com', ends);
    await runs(there, 2);
    assert.deepEqual(await sums(), { ...all, moved: 0, waiting: 3, elsewhere: none });
    assert.match(await letter(block), /^- 3 messages to 3 recipients did not leave our server\.$/m);
    await decide(there, { kind: 'release', block, falsePositive: true });
    await runs(there, 3);
    assert.deepEqual(await sums(), { ...all, moved: 0, waiting: 0, elsewhere: none });
    const text = await letter(block);
    assert.match(text, /^- 3 messages to 3 recipients did not leave our server at first\.$/m);
    assert.match(text, /^- 3 messages of these were sent on later\.$/m);
    assert.doesNotMatch(text, /another reason/);
  });

  test('does not say that it is still held where the hook was given up after it had let go of some', async (t) => {
    const there = await scene(t);
    const { block, network } = await moved(there);
    const { elsewhere } = await reader(there);
    await recordHeld(there, network, '4BOB7', { account: 'bob@example.com' });
    await there.hook.becomes('half');
    await decideOn(there, 'ip', NETWORK, { kind: 'held', block: network, action: 'delete' });
    for (let times = 1; times < 8; times++) {
      await failed(there, times);
      there.clock.advance(5 * 60_000);
    }
    const [, ran] = await runs(there, 2);
    assert.deepEqual([ran!.data.outcome, ran!.data.acted], ['failed', 3]);
    assert.deepEqual(await elsewhere(block), { released: 0, deleted: 0, waiting: 0 });
  });

  test('does not say which of it was sent on where the hook found only some', async (t) => {
    const there = await scene(t);
    const { block, network } = await moved(there);
    const { elsewhere, letter } = await reader(there);
    await recordHeld(there, network, '4GONE', { ip: NETWORK });
    there.clock.advance(6 * MINUTE);
    await decideOn(there, 'ip', NETWORK, { kind: 'release', block: network, falsePositive: true });
    await runs(there, 2);
    assert.deepEqual(await elsewhere(block), { released: 0, deleted: 0, waiting: 0 });
    assert.match(await letter(block), /another reason too: 3 may have been sent on or deleted since\.$/m);
  });
});
