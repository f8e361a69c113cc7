import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { HookRan } from '../../src/blocks/events.js';
import type { HookCall } from '../../src/hooks/call.js';
import type { RecordedEvent } from '../../src/kernel/events.js';
import { newId } from '../../src/runtime/ids.js';
import type { MessageHeld } from '../../src/sending/events.js';
import { heldStream, sendStream } from '../../src/sending/events.js';
import { parseSubject } from '../../src/sending/subjects.js';
import { FakeHook } from './hook.js';
import { ManualClock } from './manual-clock.js';
import { Asking } from './policy/asking.js';
import { eventually } from './smtp/eventually.js';
import { ALICE, Stopgap } from './smtp/stopgap.js';

const END = { protocol_state: 'END-OF-MESSAGE', recipient: '', size: '1000', recipient_count: '1' };

export interface HookScene {
  readonly stopgap: Stopgap;
  readonly hook: FakeHook;
  readonly asking: Asking;
  readonly clock: ManualClock;
}

/** @param isSet whether `hooks.run` names the hook */
export async function scene(t: TestContext, isSet = true): Promise<HookScene> {
  const hook = await FakeHook.make(t);
  const clock = new ManualClock();
  const hooks = isSet ? { hooks: { run: hook.file } } : {};
  const settings = { policy: { listen: '127.0.0.1:0' }, ...hooks };
  const stopgap = await Stopgap.start(t, { settings, clock, rules: 'version: 1\nrules: []\n' });
  return { stopgap, hook, clock, asking: await Asking.open(t, stopgap.port('policy')) };
}

/** A person decides; resolves when it is folded. */
export async function decide(
  { stopgap }: HookScene,
  command: Parameters<Stopgap['app']['blockCommands']['execute']>[1],
  value = ALICE,
): Promise<void> {
  const { position } = await stopgap.app.blockCommands.execute(parseSubject('account', value), command, {
    by: 'admin:test',
  });
  await stopgap.app.models.reached(position);
}

/** Resolves with what the hook did, once so much is recorded. */
export async function runs(
  { stopgap }: HookScene,
  count: number,
): Promise<readonly (RecordedEvent & { readonly data: HookRan })[]> {
  await eventually(`${count} runs are recorded`, async () => (await stopgap.all('HookRan')).length >= count);
  return stopgap.all<HookRan>('HookRan');
}

/** Resolves once a call of the hook has failed so often. */
export async function failed({ stopgap }: HookScene, times: number): Promise<void> {
  const failures = (): number =>
    stopgap.logs.filter((line) => line.includes('the hook failed: it is called again')).length;
  await eventually(`it failed ${times} times`, () => failures() === times);
}

/** A message that the policy service is asked about at its end. */
export async function message(
  asking: Asking,
  queue_id: string,
  more: Readonly<Record<string, string>> = {},
): Promise<void> {
  assert.equal(await asking.ask({ ...END, queue_id, ...more }), 'DUNNO');
}

/** A mail server holds a message for a block. Resolves when that is folded. */
export async function recordHeld(
  { stopgap }: HookScene,
  block: string,
  transaction: string,
  more: Partial<MessageHeld> = {},
): Promise<void> {
  const sender = { account: ALICE, returnPath: ALICE, ip: '192.0.2.7', direction: 'outbound', ...more };
  const data = { block, ...sender, transaction, recipients: 1, size: 1000 };
  const event = { id: newId(), type: 'MessageHeld', data, at: stopgap.clock.now(), by: 'policy:test' };
  await stopgap.app.store.append(heldStream(block), [event], 'any');
  await stopgap.settled();
}

/** A mail server reports a message as sent. Resolves when that is folded. */
export async function recordSent({ stopgap }: HookScene, transaction: string): Promise<void> {
  const sender = { account: ALICE, returnPath: ALICE, ip: '192.0.2.7', direction: 'outbound' };
  const data = { ...sender, transaction, recipients: 1, size: 1000, recipientDomains: [], entitled: true };
  const event = { id: newId(), type: 'MessageAccepted', data, at: stopgap.clock.now(), by: 'policy:test' };
  await stopgap.app.store.append(sendStream(ALICE), [event], 'any');
  await stopgap.settled();
}

export const told = ({ action, account, queueIds }: HookCall): unknown => [action, account, queueIds];
