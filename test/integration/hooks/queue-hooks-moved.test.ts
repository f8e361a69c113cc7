import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MINUTE, SECOND } from '../../../src/kernel/time.js';
import type { MessageHeld } from '../../../src/sending/events.js';
import { parseSubject } from '../../../src/sending/subjects.js';
import { decide, failed, scene, message, recordHeld, runs, told } from '../../support/hook-scene.js';
import { tokenOf } from '../../support/policy/token.js';
import { eventually } from '../../support/smtp/eventually.js';
import { ALICE, BOB } from '../../support/smtp/stopgap.js';

describe('the hook for mail in a queue, where another block refuses its sender,', () => {
  test('releases nothing of a sender whom another block refuses: it stays on hold for that one, whose end decides', async (t) => {
    const there = await scene(t);
    const { stopgap, hook, asking } = there;
    const operators = await stopgap.block('ip', '192.0.2.0/24');
    const block = await stopgap.block('account', ALICE, { refusal: 'hold' });
    for (const [id, ip] of [
      ['4THERE', '192.0.2.7'],
      ['4ELSE', '198.51.100.7'],
    ] as const)
      await recordHeld(there, block, id, { ip });
    await decide(there, { kind: 'release', block, falsePositive: true });
    const [run] = await runs(there, 1);
    assert.deepEqual([run!.data.asked, run!.data.acted, run!.data.moved, run!.data.through], [1, 1, 1, 1]);
    assert.deepEqual((await hook.calls()).map(told), [['release', ALICE, ['4ELSE']]]);
    const held = await stopgap.all<MessageHeld>('MessageHeld');
    const { stream, by, at, data } = held.at(-1)!;
    assert.deepEqual(
      [stream, by, at, data.block, data.transaction, data.ip],
      [`held-${operators}`, 'policy:test', held[0]!.at, operators, '4THERE', '192.0.2.7'],
    );
    const subject = parseSubject('ip', '192.0.2.0/24');
    const command = { kind: 'release', block: operators, falsePositive: true } as const;
    await stopgap.app.blockCommands.execute(subject, command, { by: 'admin:test' });
    assert.deepEqual((await hook.called(2)).map(told)[1], ['release', ALICE, ['4THERE']]);
    const [, second] = await runs(there, 2);
    assert.deepEqual([second!.data.block, second!.data.acted, second!.data.moved], [operators, 1, undefined]);
    assert.equal(await asking.ask(), 'DUNNO');
  });

  test('leaves what was moved to another block there when it is called again, also where that one has ended meanwhile; it is listed once', async (t) => {
    const there = await scene(t);
    const { stopgap, hook, clock } = there;
    const block = await stopgap.block('account', ALICE, { refusal: 'hold' });
    for (const [id, ip] of [
      ['4THIEF', '192.0.2.7'],
      ['4OWN1', '198.51.100.7'],
    ] as const)
      await recordHeld(there, block, id, { ip });
    const network = await stopgap.block('ip', '192.0.2.7');
    await hook.becomes('broken');
    await decide(there, { kind: 'release', block, falsePositive: true });
    await failed(there, 1);
    const authorization = `Bearer ${await tokenOf(stopgap, 'viewer', 'viewer')}`;
    const get = async <Answer>(path: string): Promise<Answer> => {
      const url = `http://127.0.0.1:${stopgap.port('HTTP')}/api/v1/${path}`;
      return (await (await fetch(url, { headers: { authorization } })).json()) as Answer;
    };
    const listed = async (id: string): Promise<unknown> => {
      const { count, items } = await get<{ count: number; items: readonly { queueId: string }[] }>(
        `blocks/${id}/held`,
      );
      return [count, items.map(({ queueId }) => queueId)];
    };
    assert.deepEqual(
      [await listed(block), await listed(network)],
      [
        [1, ['4OWN1']],
        [1, ['4THIEF']],
      ],
    );
    await stopgap.app.blockCommands.execute(
      parseSubject('ip', '192.0.2.7'),
      { kind: 'release', block: network, falsePositive: false },
      { by: 'admin:test' },
    );
    await stopgap.settled();
    await hook.becomes('well');
    clock.advance(MINUTE);
    const [run] = await runs(there, 1);
    assert.deepEqual([run!.data.asked, run!.data.acted, run!.data.moved, run!.data.through], [1, 1, 1, 1]);
    const own = ['release', ALICE, ['4OWN1']];
    assert.deepEqual((await hook.calls()).map(told), [own, own]);
    assert.deepEqual(
      [await listed(block), await listed(network)],
      [
        [0, []],
        [1, ['4THIEF']],
      ],
    );
    const { held } = await get<{ held: unknown }>(`check?account=${ALICE}`);
    assert.deepEqual(held, [{ block: network, count: 1 }], 'a check of the account tells of it');
  });

  test('that has released some, and fails, is called for the rest alone: what has gone is moved to no block that has come since', async (t) => {
    const there = await scene(t);
    const { stopgap, hook, clock } = there;
    const domain = await stopgap.block('domain', 'example.com', { refusal: 'hold' });
    await recordHeld(there, domain, '4GOES');
    await recordHeld(there, domain, '4BOB1', { account: BOB, returnPath: BOB });
    await hook.becomes('half');
    const command = { kind: 'release', block: domain, falsePositive: true } as const;
    await stopgap.app.blockCommands.execute(parseSubject('domain', 'example.com'), command, {
      by: 'admin:test',
    });
    await failed(there, 1);
    await stopgap.block('account', ALICE);
    await hook.becomes('well');
    clock.advance(MINUTE);
    const [run] = await runs(there, 1);
    assert.deepEqual([run!.data.asked, run!.data.acted, run!.data.moved], [2, 2, undefined]);
    assert.deepEqual((await hook.calls()).map(told), [
      ['release', ALICE, ['4GOES']],
      ['release', BOB, ['4BOB1']],
      ['release', BOB, ['4BOB1']],
    ]);
  });

  test('is not called where other blocks refuse all senders: each release moves the mail on to the next of these', async (t) => {
    const there = await scene(t);
    const { stopgap, hook } = there;
    const domain = await stopgap.block('domain', 'example.com', { refusal: 'hold' });
    const block = await stopgap.block('account', ALICE, { refusal: 'hold' });
    await recordHeld(there, block, '4AAAA');
    await decide(there, { kind: 'held', block, action: 'release' });
    const [run] = await runs(there, 1);
    assert.deepEqual([run!.data.asked, run!.data.moved, run!.data.output], [0, 1, '']);
    assert.deepEqual(await hook.calls(), []);
    // Back to where it came from: both are in force still.
    const command = { kind: 'held', block: domain, action: 'release' } as const;
    await stopgap.app.blockCommands.execute(parseSubject('domain', 'example.com'), command, {
      by: 'admin:test',
    });
    await runs(there, 2);
    await decide(there, { kind: 'release', block, falsePositive: true });
    await runs(there, 3);
    const held = await stopgap.all<MessageHeld>('MessageHeld');
    assert.deepEqual(
      held.map(({ data }) => data.block),
      [block, domain, block, domain],
    );
  });

  test('waits where a block refuses its sender that is not recorded yet: what was moved to that would be listed nowhere', async (t) => {
    const there = await scene(t);
    const { stopgap, hook, clock } = there;
    const block = await stopgap.block('account', ALICE, { refusal: 'hold' });
    await recordHeld(there, block, '4AAAA');
    const subject = parseSubject('domain', 'example.com');
    const terms = { direction: 'all', until: null, refusal: 'soft', byRule: true } as const;
    stopgap.app.models.refusing.anticipate(subject, { id: 'unrecorded', ...subject, ...terms });
    await decide(there, { kind: 'release', block, falsePositive: true });
    await eventually('it waits', () => stopgap.logs.some((line) => line.includes('is not recorded yet')));
    assert.deepEqual([await hook.calls(), await stopgap.all('HookRan')], [[], []]);
    stopgap.app.models.refusing.withdraw(subject);
    clock.advance(10 * SECOND);
    const [call] = await hook.called(1);
    assert.deepEqual(told(call!), ['release', ALICE, ['4AAAA']]);
    const held = await stopgap.all<MessageHeld>('MessageHeld');
    assert.deepEqual(
      held.map(({ data }) => data.block),
      [block],
    );
  });

  test('holds what a call that was cut off may have held, where another block refuses its sender now', async (t) => {
    const there = await scene(t);
    const { stopgap, hook, asking } = there;
    await message(asking, '4AAAA');
    await stopgap.settled();
    await hook.becomes('broken');
    const block = await stopgap.block('account', ALICE);
    await hook.called(1);
    const network = await stopgap.block('ip', '192.0.2.7');
    await hook.becomes('well');
    await decide(there, { kind: 'release', block, falsePositive: true });
    const [run] = await runs(there, 1);
    assert.deepEqual([run!.data.action, run!.data.asked, run!.data.moved], ['release', 0, 1]);
    assert.deepEqual((await hook.calls()).map(told), [
      ['hold-queue', ALICE, ['4AAAA']],
      ['hold-queue', ALICE, ['4AAAA']],
    ]);
    const [held] = await stopgap.all<MessageHeld>('MessageHeld');
    assert.deepEqual([held!.data.block, held!.data.transaction, held!.by], [network, '4AAAA', 'system:hook']);
  });

  test('leaves what a call that was cut off held with the block to which it went, also where that one has ended meanwhile', async (t) => {
    const there = await scene(t);
    const { stopgap, hook, asking, clock } = there;
    await message(asking, '4THIEF');
    await message(asking, '4OWN1', { client_address: '198.51.100.7' });
    await stopgap.settled();
    await hook.becomes('broken');
    const block = await stopgap.block('account', ALICE);
    await failed(there, 1);
    const network = await stopgap.block('ip', '192.0.2.7');
    await hook.becomes('keeps');
    await decide(there, { kind: 'release', block, falsePositive: true });
    await failed(there, 2);
    await stopgap.event(({ type }) => type === 'MessageHeld');
    const subject = parseSubject('ip', '192.0.2.7');
    const command = { kind: 'release', block: network, falsePositive: false } as const;
    await stopgap.app.blockCommands.execute(subject, command, { by: 'admin:test' });
    await stopgap.settled();
    await hook.becomes('well');
    clock.advance(MINUTE);
    await runs(there, 1);
    assert.deepEqual((await hook.calls()).map(told).at(-1), ['release', ALICE, ['4OWN1']]);
  });
});
