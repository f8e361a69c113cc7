import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { HookRan } from '../../../src/blocks/events.js';
import { DAY, HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import type { MessageAccepted, MessageHeld } from '../../../src/sending/events.js';
import { parseSubject } from '../../../src/sending/subjects.js';
import { FakeHook } from '../../support/hook.js';
import { decide, failed, scene, message, recordHeld, runs, told } from '../../support/hook-scene.js';
import { Asking } from '../../support/policy/asking.js';
import { tokenOf } from '../../support/policy/token.js';
import { eventually } from '../../support/smtp/eventually.js';
import { Served, workDir } from '../../support/smtp/served.js';
import { ALICE, BOB } from '../../support/smtp/stopgap.js';

describe('the hook for mail in a queue', () => {
  test('is called with what an account sent lately when it is blocked; what it then holds is listed, and let go as a false positive', async (t) => {
    const there = await scene(t);
    const { stopgap, hook, asking } = there;
    for (const id of ['4ONE1', '4TWO2', '4GONE']) await message(asking, id);
    await message(asking, '4BOB1', { sasl_username: BOB, sender: BOB });
    await stopgap.settled();
    const block = await stopgap.block('account', ALICE);
    const [call] = await hook.called(1);
    const subject = { type: 'account', value: ALICE };
    assert.deepEqual(call, {
      action: 'hold-queue',
      block,
      subject,
      account: ALICE,
      queueIds: ['4GONE', '4TWO2', '4ONE1'],
    });
    const [{ data, by, correlation }] = (await runs(there, 1)) as [RecordedEvent & { data: HookRan }];
    const [imposed] = await stopgap.all('BlockImposed');
    const { cause, ...ran } = data;
    assert.deepEqual(ran, {
      block,
      action: 'hold-queue',
      outcome: 'done',
      asked: 3,
      acted: 2,
      output: 'held 4TWO2\nheld 4ONE1',
    });
    assert.deepEqual([cause, by, correlation], [imposed!.position, 'system:hook', `event:${cause}`]);
    const held = await stopgap.all<MessageHeld>('MessageHeld');
    assert.deepEqual(
      held.map(({ stream, by: who, data: { transaction, account } }) => [stream, who, transaction, account]),
      ['4TWO2', '4ONE1'].map((id) => [`held-${block}`, 'system:hook', id, ALICE]),
    );
    await decide(there, { kind: 'release', block, falsePositive: true });
    const calls = await hook.called(2);
    assert.deepEqual(told(calls[1]!), ['release', ALICE, ['4TWO2', '4ONE1']]);
    const [, let_go] = await runs(there, 2);
    assert.deepEqual([let_go!.data.action, let_go!.data.acted, let_go!.data.through], ['release', 2, 1]);
  });

  test('is called once for a message of which recipients were told of later, and lists it with all of them', async (t) => {
    const there = await scene(t);
    const { stopgap, hook, asking, clock } = there;
    await message(asking, '4ONE1', { size: '700' });
    await stopgap.settled();
    const at = new Date(clock.now()).toISOString();
    const item = { type: 'accepted', id: 'f', queueId: '4ONE1', at, account: ALICE, returnPath: ALICE };
    for (const recipients of [120, 200]) {
      const response = await fetch(`http://127.0.0.1:${stopgap.port('HTTP')}/api/v1/sends`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${await tokenOf(stopgap, `mx${recipients}`)}`,
          'content-type': 'application/json',
        },
        body: JSON.stringify([{ ...item, recipients, further: true }]),
      });
      assert.equal(((await response.json()) as { recorded: number }).recorded, 1);
    }
    await stopgap.settled();
    await stopgap.block('account', ALICE);
    const [call] = await hook.called(1);
    assert.deepEqual(told(call!), ['hold-queue', ALICE, ['4ONE1']]);
    await runs(there, 1);
    const [held, ...more] = await stopgap.all<MessageHeld>('MessageHeld');
    assert.deepEqual(more, []);
    const { data } = held!;
    assert.deepEqual([data.recipients, data.size, 'further' in data], [200, 700, false]);
  });

  test('is not called for mail that arrived under the name of a blocked account, however much there is', async (t) => {
    const there = await scene(t);
    const { stopgap, hook, asking } = there;
    await message(asking, '4OWN1');
    await message(asking, '--help');
    for (let one = 0; one < 500; one++)
      await message(asking, `4JUNK${one}`, { sasl_username: '', client_address: '203.0.113.7' });
    await stopgap.settled();
    await stopgap.block('account', ALICE);
    const [call] = await hook.called(1);
    assert.deepEqual(told(call!), ['hold-queue', ALICE, ['4OWN1']]);
    await runs(there, 1);
    assert.equal((await hook.calls()).length, 1);
  });

  test('is called for all mail of a block that holds: once for each login, and once for mail without one', async (t) => {
    const there = await scene(t);
    const { stopgap, hook, asking } = there;
    const block = await stopgap.block('domain', 'example.com', { refusal: 'hold' });
    for (const [queue_id, sasl_username] of [
      ['4AAAA', ALICE],
      ['4BBBB', BOB],
      ['4CCCC', ALICE],
      ['4DDDD', ''],
    ] as const) {
      const instance = `i.${queue_id}`;
      assert.equal(await asking.ask({ instance, sasl_username }), 'HOLD');
      await message(asking, queue_id, { instance, sasl_username });
    }
    await stopgap.settled();
    assert.deepEqual(await hook.calls(), [], 'nothing is looked for in the queue for a domain');
    const subject = parseSubject('domain', 'example.com');
    const { position } = await stopgap.app.blockCommands.execute(
      subject,
      { kind: 'release', block, falsePositive: false, held: 'delete' },
      { by: 'admin:test' },
    );
    await stopgap.app.models.reached(position);
    assert.deepEqual((await hook.called(3)).map(told), [
      ['delete', ALICE, ['4AAAA', '4CCCC']],
      ['delete', BOB, ['4BBBB']],
      ['delete', null, ['4DDDD']],
    ]);
    const [run] = await runs(there, 1);
    assert.deepEqual([run!.data.asked, run!.data.acted], [4, 4]);
  });

  test('deletes and releases nothing where a block ends without a word, and what is held by then where a person says so later', async (t) => {
    const there = await scene(t);
    const { stopgap, hook, asking, clock } = there;
    const block = await stopgap.block('account', ALICE, { refusal: 'hold', until: clock.now() + HOUR });
    assert.equal(await asking.ask({ instance: 'i.1' }), 'HOLD');
    await message(asking, '4AAAA', { instance: 'i.1' });
    await stopgap.settled();
    await decide(there, { kind: 'held', block, action: 'release' });
    await runs(there, 1);
    assert.equal(await asking.ask({ instance: 'i.2' }), 'HOLD', 'the block goes on');
    await message(asking, '4BBBB', { instance: 'i.2' });
    await stopgap.settled();
    clock.advance(2 * HOUR);
    await stopgap.event(({ type }) => type === 'BlockExpired');
    await stopgap.settled();
    assert.equal((await hook.calls()).length, 1, 'the earlier decision is not about later mail');
    await decide(there, { kind: 'held', block, action: 'delete' });
    assert.deepEqual((await hook.called(2)).map(told), [
      ['release', ALICE, ['4AAAA']],
      ['delete', ALICE, ['4BBBB']],
    ]);
  });

  test('still holds what waits in the queue where held mail is decided on before that is done: the decision comes after it, and is not about it', async (t) => {
    const there = await scene(t);
    const { stopgap, hook, asking, clock } = there;
    await message(asking, '4SPAM');
    await stopgap.settled();
    await hook.becomes('broken');
    const block = await stopgap.block('account', ALICE, { refusal: 'hold' });
    await failed(there, 1);
    await recordHeld(there, block, '4HELD');
    await decide(there, { kind: 'held', block, action: 'delete' });
    await failed(there, 2);
    await hook.becomes('well');
    clock.advance(MINUTE);
    await runs(there, 2);
    const hold = ['hold-queue', ALICE, ['4SPAM']];
    assert.deepEqual((await hook.calls()).map(told), [hold, hold, hold, ['delete', ALICE, ['4HELD']]]);
    await decide(there, { kind: 'release', block, falsePositive: true });
    await runs(there, 3);
    assert.deepEqual((await hook.calls()).map(told).at(-1), ['release', ALICE, ['4SPAM']]);
  });

  test('lets go of mail that has waited for longer than sends are kept', async (t) => {
    const there = await scene(t);
    const { stopgap, hook, clock, asking } = there;
    await message(asking, '4SENT', { sasl_username: BOB, sender: BOB });
    const block = await stopgap.block('account', ALICE, { refusal: 'hold', until: null });
    await recordHeld(there, block, '4LONG');
    clock.skip(399 * DAY);
    await stopgap.app.store.sweep(clock.now());
    assert.deepEqual(
      (await stopgap.events()).flatMap(({ data }) => (data as Partial<MessageHeld>).transaction ?? []),
      ['4LONG'],
    );
    await decide(there, { kind: 'release', block, falsePositive: true });
    const [call] = await hook.called(1);
    assert.deepEqual(told(call!), ['release', ALICE, ['4LONG']]);
  });

  test('is told when an earlier call for mail in the queue was not heard, and only then: that one may have held some', async (t) => {
    const there = await scene(t);
    const { stopgap, hook, asking, clock } = there;
    await message(asking, '4AAAA');
    await message(asking, '4BBBB', { sasl_username: BOB, sender: BOB });
    await stopgap.settled();
    await hook.becomes('broken');
    const block = await stopgap.block('account', ALICE);
    await failed(there, 1);
    await hook.becomes('well');
    clock.advance(MINUTE);
    await runs(there, 1);
    await stopgap.block('account', BOB);
    await runs(there, 2);
    await decide(there, { kind: 'release', block, falsePositive: true });
    await runs(there, 3);
    assert.deepEqual(
      (await hook.calls()).map(({ action, account, again }) => [action, account, again]),
      [
        ['hold-queue', ALICE, undefined],
        ['hold-queue', ALICE, true],
        ['hold-queue', BOB, undefined],
        ['release', ALICE, undefined],
      ],
    );
  });

  test('lets go of nothing that it was not called to hold: a block ended before that, as a false positive', async (t) => {
    const there = await scene(t);
    const { stopgap, hook, asking, clock } = there;
    await message(asking, '4AAAA');
    await message(asking, '4BBBB', { sasl_username: BOB, sender: BOB });
    await stopgap.settled();
    await hook.becomes('hangs');
    await stopgap.block('account', BOB);
    await hook.called(1);
    const block = await stopgap.block('account', ALICE);
    await decide(there, { kind: 'release', block, falsePositive: true });
    await hook.becomes('well');
    await failed(there, 1);
    clock.advance(MINUTE);
    await runs(there, 1);
    const hold = ['hold-queue', BOB, ['4BBBB']];
    assert.deepEqual((await hook.calls()).map(told), [hold, hold]);
  });

  test('does what was decided last where an earlier decision was not carried out', async (t) => {
    const there = await scene(t);
    const { stopgap, hook } = there;
    const block = await stopgap.block('account', ALICE, { refusal: 'hold' });
    for (const id of ['4ONE1', '4TWO2']) await recordHeld(there, block, id);
    await hook.becomes('broken');
    await decide(there, { kind: 'held', block, action: 'delete' });
    await failed(there, 1);
    await hook.becomes('well');
    await decide(there, { kind: 'release', block, falsePositive: true });
    const ran = await runs(there, 1);
    assert.deepEqual((await hook.calls()).slice(1).map(told), [['release', ALICE, ['4ONE1', '4TWO2']]]);
    assert.deepEqual(
      ran.map(({ data }) => [data.action, data.outcome, data.acted, data.through]),
      [['release', 'done', 2, 1]],
    );
  });

  test('tells what it had done of a decision when another one replaced it, and leaves the rest of it', async (t) => {
    const there = await scene(t);
    const { stopgap, hook, clock } = there;
    const domain = await stopgap.block('domain', 'example.com', { refusal: 'hold' });
    await recordHeld(there, domain, '4ONE1');
    await recordHeld(there, domain, '4GONE');
    await recordHeld(there, domain, '4BOB1', { account: BOB, returnPath: BOB });
    clock.advance(6 * MINUTE);
    await hook.becomes('half');
    const decideOn = async (action: 'release' | 'delete'): Promise<void> => {
      const command = { kind: 'held', block: domain, action } as const;
      await stopgap.app.blockCommands.execute(parseSubject('domain', 'example.com'), command, {
        by: 'admin:test',
      });
    };
    await decideOn('delete');
    await failed(there, 1);
    await hook.becomes('well');
    await decideOn('release');
    const ran = await runs(there, 2);
    assert.deepEqual(
      ran.map(({ data }) => [data.action, data.outcome, data.asked, data.acted]),
      [
        ['delete', 'replaced', 1, 1],
        ['release', 'done', 2, 1],
      ],
    );
    assert.deepEqual((await hook.calls()).map(told), [
      ['delete', ALICE, ['4ONE1', '4GONE']],
      ['delete', BOB, ['4BOB1']],
      ['release', ALICE, ['4GONE']],
      ['release', BOB, ['4BOB1']],
    ]);
  });

  test('is called by a new block for what it has let go for an earlier one, also while that one waits for the rest', async (t) => {
    const there = await scene(t);
    const { stopgap, hook, asking } = there;
    for (const id of ['4ONE1', '4TWO2']) await message(asking, id);
    await stopgap.settled();
    const block = await stopgap.block('account', ALICE, { refusal: 'hold' });
    await runs(there, 1);
    await recordHeld(there, block, '4GONE');
    await decide(there, { kind: 'release', block, falsePositive: false, held: 'release' });
    await eventually('it waits for the rest', () =>
      stopgap.logs.some((line) => line.includes('what may not be on hold yet')),
    );
    await stopgap.block('account', ALICE, { refusal: 'hold' });
    await runs(there, 2);
    assert.deepEqual((await hook.calls()).map(told), [
      ['hold-queue', ALICE, ['4TWO2', '4ONE1']],
      ['release', ALICE, ['4TWO2', '4ONE1', '4GONE']],
      ['hold-queue', ALICE, ['4TWO2', '4ONE1']],
    ]);
  });

  test('is called again for what it does not find on hold, as long as a milter may have it', async (t) => {
    const there = await scene(t);
    const { stopgap, hook, clock } = there;
    const block = await stopgap.block('account', ALICE, { refusal: 'hold' });
    for (const id of ['4ONE1', '4ALATE', '4BLATE', '4GONE']) await recordHeld(there, block, id);
    await hook.becomes('early');
    await decide(there, { kind: 'release', block, falsePositive: true });
    const again = (times: number): Promise<void> =>
      eventually(
        `it is to be called again ${times} times`,
        () => stopgap.logs.filter((line) => line.includes('what may not be on hold yet')).length === times,
      );
    await again(1);
    assert.deepEqual(await stopgap.all('HookRan'), []);
    await hook.becomes('well');
    clock.advance(MINUTE);
    await again(2);
    clock.advance(5 * MINUTE);
    const [run] = await runs(there, 1);
    assert.deepEqual([run!.data.asked, run!.data.acted, run!.data.through], [4, 3, 3]);
    assert.deepEqual((await hook.calls()).map(told), [
      ['release', ALICE, ['4ONE1', '4ALATE', '4BLATE', '4GONE']],
      ['release', ALICE, ['4ALATE', '4BLATE', '4GONE']],
      ['release', ALICE, ['4GONE']],
    ]);
  });

  test('stops between two calls where another decision replaces what it is doing', async (t) => {
    const there = await scene(t);
    const { stopgap, hook } = there;
    const block = await stopgap.block('account', ALICE, { refusal: 'hold' });
    await recordHeld(there, block, '4ONE1');
    await recordHeld(there, block, '4TWO2', { account: BOB, returnPath: ALICE });
    await hook.becomes('waits');
    await decide(there, { kind: 'held', block, action: 'delete' });
    await hook.called(1);
    await decide(there, { kind: 'held', block, action: 'release' });
    await hook.becomes('well');
    const ran = await runs(there, 2);
    assert.deepEqual(
      ran.map(({ data }) => [data.action, data.outcome, data.asked]),
      [
        ['delete', 'replaced', 1],
        ['release', 'done', 1],
      ],
    );
    assert.deepEqual((await hook.calls()).map(told), [
      ['delete', ALICE, ['4ONE1']],
      ['release', BOB, ['4TWO2']],
    ]);
  });

  test('is called for what is recorded as held just after the release as well', async (t) => {
    const there = await scene(t);
    const { stopgap, hook } = there;
    const block = await stopgap.block('account', ALICE, { refusal: 'hold' });
    await recordHeld(there, block, '4AAAA');
    await decide(there, { kind: 'release', block, falsePositive: true });
    await runs(there, 1);
    await recordHeld(there, block, '4BBBB');
    const calls = await hook.called(2);
    assert.deepEqual(told(calls[1]!), ['release', ALICE, ['4BBBB']]);
    assert.deepEqual(
      (await runs(there, 2)).map(({ data }) => data.through),
      [0, 1],
    );
  });

  test('deletes nothing that is recorded as held after a person had the held mail deleted: it waits for a decision', async (t) => {
    const there = await scene(t);
    const { stopgap, hook } = there;
    const block = await stopgap.block('account', ALICE, { refusal: 'hold' });
    await recordHeld(there, block, '4SPAM');
    await decide(there, { kind: 'release', block, falsePositive: false, held: 'delete' });
    await runs(there, 1);
    await recordHeld(there, block, '4LATE');
    await stopgap.settled();
    await decide(there, { kind: 'held', block, action: 'release' });
    assert.deepEqual((await hook.called(2)).map(told), [
      ['delete', ALICE, ['4SPAM']],
      ['release', ALICE, ['4LATE']],
    ]);
  });

  test('that failed to hold what waits in the queue of a block that has ended is said to have failed: mail may be on hold that is not listed', async (t) => {
    const there = await scene(t);
    const { stopgap, hook, asking } = there;
    await message(asking, '4AAAA');
    await stopgap.settled();
    await hook.becomes('broken');
    const block = await stopgap.block('account', ALICE);
    await failed(there, 1);
    await decide(there, { kind: 'release', block, falsePositive: false });
    const [run, ...more] = await runs(there, 1);
    const { action, outcome, acted, output } = run!.data;
    assert.deepEqual([action, outcome, acted, more], ['hold-queue', 'failed', 0, []]);
    assert.match(output, /may be on hold that is listed nowhere\. Look with mailq; postsuper -H ID/);
    await hook.becomes('well');
    await decide(there, { kind: 'held', block, action: 'release' });
    await runs(there, 2);
    assert.deepEqual((await hook.calls()).map(told), [
      ['hold-queue', ALICE, ['4AAAA']],
      ['release', ALICE, ['4AAAA']],
    ]);
  });

  test('that fails while its block ends is not said to be called again', async (t) => {
    const there = await scene(t);
    const { stopgap, hook, asking } = there;
    await message(asking, '4AAAA');
    await stopgap.settled();
    await hook.becomes('hangs');
    const block = await stopgap.block('account', ALICE);
    await hook.called(1);
    await decide(there, { kind: 'release', block, falsePositive: false });
    await hook.becomes('broken');
    const [run] = await runs(there, 1);
    assert.deepEqual([run!.data.action, run!.data.outcome], ['hold-queue', 'failed']);
    await failed(there, 0);
  });

  test('that fails is called again after longer and longer pauses, and is given up after eight calls; another decision tries anew', async (t) => {
    const there = await scene(t);
    const { stopgap, hook, asking, clock } = there;
    const block = await stopgap.block('account', ALICE, { refusal: 'hold' });
    assert.equal(await asking.ask({ instance: 'i.1' }), 'HOLD');
    await message(asking, '4AAAA', { instance: 'i.1' });
    await stopgap.settled();
    await hook.becomes('broken');
    await decide(there, { kind: 'release', block, falsePositive: true });
    for (let call = 1; call < 8; call++) {
      await failed(there, call);
      clock.advance(5 * MINUTE);
    }
    const [run] = await runs(there, 1);
    assert.deepEqual(
      [run!.data.outcome, run!.data.acted, run!.data.through, run!.data.output],
      ['failed', 0, undefined, 'exit code 3: the queue is away'],
    );
    assert.equal((await hook.calls()).length, 8);
    await eventually('it is logged', () =>
      stopgap.logs.some((line) => line.includes('the hook was given up')),
    );
    const metrics = await stopgap.app.metrics.registry.metrics();
    assert.match(metrics, /^stopgap_hook_runs_total\{action="release",outcome="retried"\} 8$/m);
    assert.match(metrics, /^stopgap_hook_runs_total\{action="release",outcome="failed"\} 1$/m);
    assert.match(metrics, /^stopgap_hook_waiting 0$/m);
    clock.advance(HOUR);
    await stopgap.settled();
    assert.equal((await hook.calls()).length, 8, 'it stays given up');
    await hook.becomes('well');
    await decide(there, { kind: 'held', block, action: 'release' });
    const [, second] = await runs(there, 2);
    assert.deepEqual([second!.data.outcome, second!.data.acted], ['done', 1]);
  });

  test('knows sends by queue id: the newest 500 of five days, by their return path for a block of an address', async (t) => {
    const there = await scene(t);
    const { stopgap, hook, clock } = there;
    await message(there.asking, '4OLD1');
    await stopgap.settled();
    clock.advance(5 * DAY + MINUTE);
    // The one before was idle for so long that it was cut.
    const asking = await Asking.open(t, stopgap.port('policy'));
    for (let index = 0; index < 510; index++) await message(asking, `4A${String(index).padStart(3, '0')}`);
    // So many within a moment are written together.
    clock.advance(SECOND);
    await stopgap.settled();
    const sent = await stopgap.all<MessageAccepted>('MessageAccepted');
    assert.equal(sent.at(-1)!.data.transaction, '4A509');
    await stopgap.block('account', ALICE);
    const [call] = await hook.called(1);
    assert.equal(call!.queueIds.length, 500);
    assert.deepEqual([call!.queueIds[0], call!.queueIds.at(-1)], ['4A509', '4A010']);
    await runs(there, 1);
    await message(asking, '4B000', { sasl_username: BOB, sender: 'else@example.com' });
    await message(asking, '4B001', { sasl_username: BOB, sender: 'Bob+x@example.com' });
    await stopgap.settled();
    await stopgap.block('address', BOB);
    const calls = await hook.called(2);
    assert.deepEqual(told(calls[1]!), ['hold-queue', BOB, ['4B001']]);
  });

  test('that was under way when the process was killed is called again by the next one, once', async (t) => {
    const hook = await FakeHook.make(t);
    const dir = await workDir(t);
    const env = { STOPGAP_POLICY_LISTEN: '127.0.0.1:0', STOPGAP_HOOKS_RUN: hook.file };
    let served = await Served.start(t, dir, env);
    const token = served.told('API token');
    const asking = await Asking.open(t, Number(served.told('policy').split(':').at(-1)));
    await message(asking, '4AAAA');
    const create = { subject: { type: 'account', value: ALICE }, duration: '1h' };
    await hook.becomes('hangs');
    assert.equal((await served.api('POST', '/api/v1/blocks', token, create)).status, 201);
    await hook.called(1);
    await served.kill();
    await hook.becomes('well');
    served = await Served.start(t, dir, env);
    const calls = await hook.called(2);
    assert.deepEqual(calls[1], { ...calls[0], again: true });
    const { items } = (await (await served.api('GET', '/api/v1/blocks', token)).json()) as {
      items: [{ id: string }];
    };
    const [{ id }] = items;
    const held = async (): Promise<{ count: number }> =>
      (await (await served.api('GET', `/api/v1/blocks/${id}/held`, token)).json()) as { count: number };
    await eventually('what it holds is listed', async () => (await held()).count === 1);
    // It is listed a moment before the call is recorded as done.
    await eventually('it is recorded', async () =>
      (await (await served.api('GET', `/api/v1/blocks/${id}`, token)).text()).includes('HookRan'),
    );
    await served.kill();
    served = await Served.start(t, dir, env);
    assert.equal((await served.api('GET', '/readyz', '')).status, 200);
    assert.equal((await hook.calls()).length, 2, 'what is recorded is not done again');
  });
});
