import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { blockDetails, heldState, heldText } from '../../../src/cli/client-format.js';

type Block = Parameters<typeof heldState>[0];

const item = (position: number, type: string, more: object = {}): object => ({
  type,
  position,
  at: '2026-11-30T04:00:00.000Z',
  by: 'admin:test',
  ...more,
});
const released = (cause: number): object =>
  item(40, 'HookRan', {
    hook: { action: 'release', cause, outcome: 'done', asked: 1, acted: 1, output: '' },
  });

type Held = Parameters<typeof heldState>[1];
const held = (count: number, more: Partial<Held> = {}): Held => ({
  count,
  decided: null,
  next: null,
  others: false,
  full: false,
  items: [{ queueId: '4AAAA' } as Held['items'][number]],
  ...more,
});
const blockWith = (state: Block['state'], ...history: readonly object[]): Block =>
  ({ state, falsePositive: false, history }) as unknown as Block;

const stateOf = (count: number, ...history: readonly object[]): string =>
  heldState(blockWith('active', ...history), held(count));

describe('what `block show` says of held mail', () => {
  const two = [20, 30].map((position) => item(position, 'HeldMailDecided', { held: 'release' }));
  const decided = { action: 'delete', count: 2, failed: false } as const;

  test('tells what is decided apart from what nobody has decided', () => {
    const some = held(5, { decided });
    const wish =
      '2 of these are to be deleted, but no hook has done it: none is set (hooks.run), or it is called again (see the log)';
    assert.equal(heldState(blockWith('active'), some), wish);
    assert.equal(
      heldState(blockWith('released'), some),
      `${wish}; nobody has decided what becomes of the other 3 (--release or --delete is about all 5)`,
    );
    const all = held(2, { decided: { ...decided, failed: true } });
    assert.equal(
      heldState(blockWith('released'), all),
      'to be deleted, and the hook has failed: --release or --delete asks it anew',
    );
  });

  test('announces the newest of many messages just before it lists them', () => {
    const message = { queueId: '4AAAA', account: null, returnPath: '', recipients: 1, size: 1, at: 'now' };
    const text = heldText(blockWith('released'), held(15, { items: [message] }));
    assert.match(
      text,
      /^held: 15 messages; nobody has decided .*\(--release, --delete\); the newest 1:\nAT /,
    );
  });

  test('names no option to a caller who may not decide, since some of the mail is of others', () => {
    const text = heldText(blockWith('released'), held(1, { items: [], others: true }));
    assert.equal(
      text,
      'held: 1 message; nobody has decided what becomes of them (an operator decides, since mail of other domains is held too)',
    );
  });

  test('says of a hook without numbers what it was called for, and no number', () => {
    const hook = { action: 'release', cause: 30, outcome: 'done' };
    const told = item(40, 'HookRan', { hook });
    assert.equal(stateOf(1, ...two, told), '');
    const subject = { type: 'address', value: 'boss@example.com' };
    const block = { id: 'b1', state: 'active', subject, evidence: null, follows: null, history: [told] };
    const shown = { ...block, description: '', endedAt: null, since: null } as unknown as Block;
    assert.match(blockDetails(shown, 0), / HookRan {2}test {2}release done$/m);
  });

  test('says how much was deleted already, as long as it is listed', () => {
    const hook = { action: 'delete', cause: 30, outcome: 'failed', asked: 2, acted: 2, output: '' };
    const deleting = item(30, 'HeldMailDecided', { held: 'delete' });
    const failed = item(40, 'HookRan', { hook });
    assert.equal(stateOf(5, deleting, failed), '2 of these were deleted already');
    const again = held(5, { decided: { action: 'delete', count: 5, failed: true } });
    assert.match(
      heldState(blockWith('active', deleting, failed), again),
      /^2 of these were deleted already; to be deleted, and the hook has failed: /,
    );
    assert.match(stateOf(1, deleting, failed), /^1 of these was deleted already$/);
    const { acted: _, asked: __, ...untold } = hook;
    assert.match(
      stateOf(1, deleting, item(40, 'HookRan', { hook: untold })),
      /^some of these may have been deleted already$/,
    );
    const done = item(60, 'HookRan', { hook: { ...hook, outcome: 'done', asked: 3, acted: 3 } });
    assert.equal(stateOf(0, deleting, failed, done), '');
  });

  test('says that mail is decided here which another block has moved back', () => {
    const hook = { action: 'release', cause: 30, outcome: 'done', asked: 0, acted: 0, moved: 3, output: '' };
    assert.equal(
      stateOf(1, ...two, item(40, 'HookRan', { hook })),
      '3 stayed on hold for other blocks of the sender, where that is decided; what is listed is decided here',
    );
  });

  test('says no more of a decision that was carried out while the block is in force', () => {
    assert.equal(stateOf(1, ...two, released(20), released(30)), '');
  });
});
