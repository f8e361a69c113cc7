import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { HookRan } from '../../../src/blocks/events.js';
import { DAY, HOUR, MINUTE } from '../../../src/kernel/time.js';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import { newId } from '../../../src/runtime/ids.js';
import type { MessageAccepted, MessageHeld } from '../../../src/sending/events.js';
import { parseSubject } from '../../../src/sending/subjects.js';
import { FakeHook } from '../../support/hook.js';
import { decide, failed, scene, message, runs, told } from '../../support/hook-scene.js';
import { Asking } from '../../support/policy/asking.js';
import { eventually } from '../../support/smtp/eventually.js';
import { Served, workDir } from '../../support/smtp/served.js';
import { ALICE, BOB } from '../../support/smtp/stopgap.js';

describe('the hook that is to hold what waits in a queue', () => {
  test('that was under way when the process was killed, and whose block has ended by the next start, is said to have failed; one that was not made yet is not', async (t) => {
    const hook = await FakeHook.make(t);
    const dir = await workDir(t);
    const env = { STOPGAP_POLICY_LISTEN: '127.0.0.1:0', STOPGAP_HOOKS_RUN: hook.file };
    let served = await Served.start(t, dir, env);
    const token = served.told('API token');
    const asking = await Asking.open(t, Number(served.told('policy').split(':').at(-1)));
    await message(asking, '4AAAA');
    await message(asking, '4BBBB', { sasl_username: BOB, sender: BOB });
    await hook.becomes('hangs');
    const block = async (value: string): Promise<string> => {
      const create = { subject: { type: 'account', value }, duration: '1h' };
      const response = await served.api('POST', '/api/v1/blocks', token, create);
      assert.equal(response.status, 201);
      return ((await response.json()) as { id: string }).id;
    };
    const cutOff = await block(ALICE);
    await hook.called(1);
    const waiting = await block(BOB);
    for (const [id, falsePositive] of [
      [cutOff, false],
      [waiting, true],
    ] as const)
      assert.equal(
        (await served.api('POST', `/api/v1/blocks/${id}/release`, token, { falsePositive })).status,
        200,
      );
    await served.kill();
    await hook.becomes('well');
    served = await Served.start(t, dir, env);
    const ran = async (id: string): Promise<readonly HookRan[]> => {
      const response = await served.api('GET', `/api/v1/blocks/${id}`, token);
      const { history } = (await response.json()) as { history: readonly { hook?: HookRan }[] };
      return history.flatMap(({ hook: run }) => run ?? []);
    };
    await eventually('it is recorded', async () => (await ran(cutOff)).length === 1);
    const [{ action, outcome, output }] = (await ran(cutOff)) as [HookRan];
    assert.deepEqual([action, outcome], ['hold-queue', 'failed']);
    assert.match(output, /may be on hold that is listed nowhere/);
    await served.kill();
    served = await Served.start(t, dir, env);
    const decided = await served.api('POST', `/api/v1/blocks/${cutOff}/held`, token, { action: 'release' });
    assert.equal(decided.status, 200);
    await eventually('it is let go', async () => (await ran(cutOff)).length === 2);
    assert.deepEqual(await ran(waiting), []);
    assert.deepEqual((await hook.calls()).map(told), [
      ['hold-queue', ALICE, ['4AAAA']],
      ['release', ALICE, ['4AAAA']],
    ]);
  });

  test('is called for what waits in the queue from before an import of older mail', async (t) => {
    const there = await scene(t);
    const { stopgap, hook, asking, clock } = there;
    await message(asking, '4LIVE');
    await stopgap.settled();
    const [{ data, stream }] = (await stopgap.all<MessageAccepted>('MessageAccepted')) as [
      RecordedEvent & { data: MessageAccepted },
    ];
    const history = { ...data, transaction: '3OLD1', imported: 'postfix-log' };
    await stopgap.app.store.append(
      stream,
      [
        {
          id: newId(),
          type: 'MessageAccepted',
          data: history,
          at: clock.now() - 20 * DAY,
          by: 'import:test',
        },
      ],
      'any',
    );
    await stopgap.settled();
    await stopgap.block('account', ALICE);
    const [call] = await hook.called(1);
    assert.deepEqual(told(call!), ['hold-queue', ALICE, ['4LIVE']]);
    await runs(there, 1);
  });

  test('is not called sooner or more often because a blocked sender goes on trying', async (t) => {
    const there = await scene(t);
    const { stopgap, hook, asking, clock } = there;
    await message(asking, '4AAAA');
    await message(asking, '4BBBB', { sasl_username: BOB, sender: BOB });
    await stopgap.settled();
    await hook.becomes('hangs');
    const block = await stopgap.block('account', ALICE);
    await hook.called(1);
    // As a rule does each time that it finds more.
    const longer = async (hours: number): Promise<void> => {
      await decide(there, { kind: 'change', block, span: { until: clock.now() + hours * HOUR } });
      await stopgap.settled();
    };
    await longer(30);
    await hook.becomes('broken');
    await failed(there, 1);
    await longer(40);
    await hook.becomes('well');
    // Calls are made in the order in which they were asked for.
    await stopgap.block('account', BOB);
    await runs(there, 1);
    clock.advance(MINUTE);
    await runs(there, 2);
    assert.deepEqual((await hook.calls()).map(told), [
      ['hold-queue', ALICE, ['4AAAA']],
      ['hold-queue', BOB, ['4BBBB']],
      ['hold-queue', ALICE, ['4AAAA']],
    ]);
  });

  test('is not called for what waits for the decision on another block, to which an earlier one of the account has moved it', async (t) => {
    const there = await scene(t);
    const { stopgap, hook, asking, clock } = there;
    await message(asking, '4THIEF');
    await stopgap.settled();
    const domain = await stopgap.block('domain', 'example.com');
    const first = await stopgap.block('account', ALICE);
    await runs(there, 1);
    await decide(there, { kind: 'release', block: first, falsePositive: true });
    await runs(there, 2);
    const command = { kind: 'release', block: domain, falsePositive: false } as const;
    await stopgap.app.blockCommands.execute(parseSubject('domain', 'example.com'), command, {
      by: 'admin:test',
    });
    await stopgap.settled();
    await message(asking, '4LATER');
    await stopgap.settled();
    await hook.becomes('broken');
    await stopgap.block('account', ALICE);
    await failed(there, 1);
    await hook.becomes('well');
    clock.advance(MINUTE);
    await runs(there, 3);
    const own = ['hold-queue', ALICE, ['4LATER']];
    assert.deepEqual((await hook.calls()).map(told).slice(1), [own, own]);
  });

  test('is not called for what was moved to the block meanwhile: it is listed once', async (t) => {
    const there = await scene(t);
    const { stopgap, hook, asking, clock } = there;
    for (const id of ['4MOVED', '4GONE']) await message(asking, id);
    await stopgap.settled();
    const block = await stopgap.block('account', ALICE);
    await runs(there, 1);
    await hook.becomes('broken');
    const address = await stopgap.block('address', ALICE);
    await failed(there, 1);
    await decide(there, { kind: 'release', block, falsePositive: true });
    await runs(there, 2);
    await hook.becomes('well');
    clock.advance(MINUTE);
    await runs(there, 3);
    const held = await stopgap.all<MessageHeld>('MessageHeld');
    const listed = held.filter(({ data }) => data.block === address);
    assert.deepEqual(
      listed.map(({ data }) => data.transaction),
      ['4MOVED'],
    );
    assert.deepEqual((await hook.calls()).map(told).at(-1), ['hold-queue', ALICE, ['4GONE']]);
  });
});
