import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { BlockCommand } from '../../../src/blocks/commands.js';
import { newId } from '../../../src/runtime/ids.js';
import { heldStream } from '../../../src/sending/events.js';
import { parseSubject } from '../../../src/sending/subjects.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import { ApiServer, TOKENS } from '../../support/api/server.js';
import { changed } from '../../support/store/changed.js';
import { besideServer, Terminal } from './support.js';

describe('mail that is held for a block', () => {
  let server: ApiServer;
  let terminal: Terminal;
  besideServer((both) => ({ server, terminal } = both));

  /** A mail server holds so many messages for the block. */
  async function hold(block: string, ...ids: readonly string[]): Promise<void> {
    for (const transaction of ids) {
      const sender = { account: 'alice@example.com', returnPath: '', direction: 'outbound' };
      const data = { block, ...sender, transaction, recipients: 2, size: 4711 };
      const event = { id: newId(), type: 'MessageHeld', data, at: server.clock.now(), by: 'policy:test' };
      await server.deps.store.append(heldStream(block), [event], 'any');
    }
  }

  /** As the worker reports it. */
  async function report(value: string, command: Extract<BlockCommand, { kind: 'hook' }>): Promise<void> {
    const subject = parseSubject('account', value);
    const { position } = await server.deps.blockCommands.execute(subject, command, { by: 'system:hook' });
    await server.deps.models.reached(position);
  }

  /** Position of the newest event of a block. */
  async function newest(id: string): Promise<number> {
    const { json } = await server.get(`/api/v1/blocks/${id}`);
    return (json as unknown as { history: readonly { position: number }[] }).history.at(-1)!.position;
  }

  test('is said not to be known while the store is away, and the block is shown all the same', async () => {
    let isAway = false;
    const other = await ApiServer.start((deps) => ({
      ...deps,
      store: changed(deps.store, {
        readStream: (...asked) => {
          if (isAway) throw new StoreUnavailable('no KurrentDB can be reached');
          return deps.store.readStream(...asked);
        },
      }),
    }));
    const at = await Terminal.at(other);
    try {
      const { id } = await other.block('away@example.com', { description: 'phished' });
      isAway = true;
      const shown = await at.run('block', 'show', 'away@example.com');
      assert.equal(shown.code, 0, shown.err);
      assert.match(shown.out, /^why +phished$/m);
      assert.match(
        shown.err,
        /^whether mail is held for it is not known now: .*no KurrentDB can be reached/m,
      );
      const json = await at.run('block', 'show', id, '--json');
      assert.equal((JSON.parse(json.out) as { id: string }).id, id);
      assert.equal((await at.run('block', 'held', id)).code, 1);
    } finally {
      isAway = false;
      await at.close();
      await other.stop();
    }
  });

  test('is listed newest first, page by page, without what was settled or is not ours', async () => {
    const { id } = await server.block('pages@example.com', { refusal: 'hold' });
    assert.deepEqual((await server.get(`/api/v1/blocks/${id}/held`)).json, {
      count: 0,
      decided: null,
      items: [],
      next: null,
      others: false,
      full: false,
    });
    await hold(id, '4AAAA', '4BBBB', '4CCCC', '4DDDD');
    await server.deps.store.append(
      heldStream(id),
      [{ id: newId(), type: 'MessageHeld', data: { block: 5 }, at: 0, by: 'system:stranger' }],
      'any',
    );
    const first = (await server.get(`/api/v1/blocks/${id}/held?limit=3`)).json as unknown as Page;
    assert.deepEqual([first.count, idsOf(first)], [4, ['4DDDD', '4CCCC', '4BBBB']]);
    assert.deepEqual(first.items[0], {
      queueId: '4DDDD',
      account: 'alice@example.com',
      returnPath: '',
      recipients: 2,
      size: 4711,
      at: '2026-03-01T12:00:00.000Z',
    });
    const next = (await server.get(`/api/v1/blocks/${id}/held?cursor=${first.next!}`))
      .json as unknown as Page;
    assert.deepEqual([idsOf(next), next.next], [['4AAAA'], null]);
    const ran = { kind: 'hook', block: id, cause: 1, asked: 3, acted: 3, output: '' } as const;
    await report('pages@example.com', { ...ran, action: 'release', outcome: 'done', through: 2 });
    const left = (await server.get(`/api/v1/blocks/${id}/held`)).json as unknown as Page;
    assert.deepEqual([left.count, idsOf(left)], [1, ['4DDDD']]);
    assert.equal((await server.get(`/api/v1/blocks/nothing/held`)).status, 404);
  });

  test('shows with its block, with what the hook did', async () => {
    const { id } = await server.block('shown@example.com', { refusal: 'hold' });
    await hold(id, '4AAAA', '4\u202eBB');
    const ran = { kind: 'hook', block: id, cause: 1, asked: 1, acted: 0 } as const;
    const output = 'exit code 3\nthe \u001b[2Jqueue is away';
    await report('shown@example.com', { ...ran, action: 'hold-queue', outcome: 'failed', output });
    const { out } = await terminal.run('block', 'show', 'shown@example.com');
    assert.match(out, /^refuses {4}hold$/m);
    assert.match(
      out,
      /HookRan {2}the hook {2}hold-queue failed, 0 of 1: exit code 3 \| the \ufffd\[2Jqueue is away$/m,
    );
    assert.match(out, /^held: 2 messages\nAT +QUEUE ID +ACCOUNT +RETURN PATH +RECIPIENTS +BYTES$/m);
    assert.match(out, /^2026-03-01T12:00:00\.000Z +4\ufffdBB +alice@example\.com +<> +2 +4711$/m);
    const json = JSON.parse((await terminal.run('block', 'show', id, '--json')).out) as { held: Page };
    assert.deepEqual([json.held.count, json.held.items.length], [2, 2]);
    const { out: listed } = await terminal.run('block', 'held', id, '--limit', '1');
    assert.match(listed, /^held: 2 messages; the newest 1:\n/);
    const plain = await server.block('plain@example.com');
    assert.match((await terminal.run('block', 'held', plain.id)).err, /no mail is held for this block/);
    assert.doesNotMatch((await terminal.run('block', 'show', plain.id)).out, /held/);
  });

  test('is said to wait as long as no hook has done what was decided, and as long as nobody has decided', async () => {
    const { id } = await server.block('waiting@example.com', { refusal: 'hold' });
    await hold(id, '4AAAA', '4BBBB');
    const shown = async (): Promise<string> => (await terminal.run('block', 'show', id)).out;
    assert.match(await shown(), /^held: 2 messages\nAT /m);
    const released = await terminal.run('block', 'release', id);
    assert.match(
      released.err,
      /^2 messages stay on hold: stopgap block held \S+ with --release or --delete decides on them$/m,
    );
    const undecided =
      /^held: 2 messages; nobody has decided what becomes of them \(--release, --delete\)\nAT /m;
    assert.match(await shown(), undecided);
    assert.match((await terminal.run('block', 'held', id)).out, undecided);
    await terminal.run('block', 'held', id, '--release');
    assert.match(
      await shown(),
      /^held: 2 messages; to be released, but no hook has done it: none is set \(hooks\.run\), or it is called again \(see the log\)\nAT /m,
    );
    const cause = await newest(id);
    const ran = { kind: 'hook', block: id, action: 'release', cause, asked: 2, output: '' } as const;
    await report('waiting@example.com', { ...ran, acted: 0, outcome: 'failed' });
    assert.match(
      await shown(),
      /^held: 2 messages; to be released, and the hook has failed: --release or --delete asks it anew\nAT /m,
    );
    await report('waiting@example.com', { ...ran, acted: 1, outcome: 'done', through: 1 });
    assert.match(
      await shown(),
      /^held: 0 messages; the hook released 1 of 2: the rest was not on hold where it looks$/m,
    );
    const wrong = await server.block('wrong@example.com', { refusal: 'hold' });
    await hold(wrong.id, '4CCCC');
    const { err } = await terminal.run('block', 'release', 'wrong@example.com', '--false-positive');
    assert.match(
      err,
      /^1 message is to be released by the hook, and without one \(hooks\.run\) nothing does: stopgap block show \S+ tells what came of it$/m,
    );
    const plain = await server.block('nothing@example.com');
    assert.doesNotMatch((await terminal.run('block', 'release', plain.id)).err, /hold|held/);
  });

  test('is said to wait for a decision where it came after a deletion, and to stay on hold where other blocks hold it', async () => {
    const { id } = await server.block('late@example.com', { refusal: 'hold' });
    await hold(id, '4AAAA', '4BBBB');
    await terminal.run('block', 'release', id, '--held', 'delete');
    const shown = async (): Promise<string> => (await terminal.run('block', 'show', id)).out;
    const ran = { kind: 'hook', block: id, cause: await newest(id), output: '', outcome: 'done' } as const;
    await report('late@example.com', { ...ran, action: 'delete', asked: 2, acted: 2, through: 1 });
    await hold(id, '4LATE');
    const undecided =
      /^held: 1 message; nobody has decided what becomes of them \(--release, --delete\)\nAT /m;
    assert.match(await shown(), undecided);
    await terminal.run('block', 'held', id, '--release');
    const decided = { ...ran, cause: await newest(id), action: 'release' } as const;
    await report('late@example.com', { ...decided, asked: 0, acted: 0, moved: 1, through: 2 });
    assert.match(await shown(), /the hook {2}release done, 0 of 0, 1 on hold for other blocks$/m);
    assert.match(
      await shown(),
      /^held: 0 messages; 1 stayed on hold for other blocks of the sender, where that is decided$/m,
    );
    const { history } = (await server.get(`/api/v1/blocks/${id}`)).json as unknown as {
      history: { hook?: { moved?: number } }[];
    };
    assert.equal(history.at(-1)!.hook!.moved, 1);
  });

  test('is told apart by what is decided: what came later is not, and another decision replaces one that is open', async () => {
    const { id } = await server.block('apart@example.com', { refusal: 'hold' });
    await hold(id, '4AAAA', '4BBBB');
    assert.doesNotMatch((await terminal.run('block', 'held', id, '--delete')).err, /replaces/);
    await hold(id, '4CCCC');
    const shown = async (): Promise<string> => (await terminal.run('block', 'held', id)).out;
    assert.match(await shown(), /^held: 3 messages; 2 of these are to be deleted, but no hook has done it/);
    const page = (await server.get(`/api/v1/blocks/${id}/held`)).json as unknown as Page;
    assert.deepEqual(page.decided, { action: 'delete', count: 2, failed: false });
    const { out } = await terminal.run('block', 'report', id);
    assert.match(out, /^Of what is listed 2 are to be deleted, and no hook has done it\.$/m);
    const { err } = await terminal.run('block', 'release', id);
    assert.match(
      err,
      /^2 messages are to be deleted by the hook, and without one \(hooks\.run\) nothing does: stopgap block show \S+ tells what came of it$/m,
    );
    assert.match(
      err,
      /^1 message stays on hold: stopgap block held \S+ with --release or --delete decides on all 3$/m,
    );
    assert.match(
      await shown(),
      /; nobody has decided what becomes of the other 1 \(--release or --delete is about all 3\)\n/,
    );
    assert.match(
      (await terminal.run('block', 'held', id, '--release')).err,
      /^that replaces the decision to delete 2 of it, which no hook had done$/m,
    );
    assert.match(await shown(), /^held: 3 messages; to be released, but no hook has done it/);
    assert.match((await terminal.run('block', 'held', id, '--keep')).err, /^3 messages stay on hold: /m);
    assert.match(await shown(), /^held: 3 messages; nobody has decided what becomes of them/);
  });

  test('is not said to be kept where it has gone before, or nothing was held', async () => {
    const { id } = await server.block('gone@example.com', { refusal: 'hold' });
    const keep = async (): Promise<string> => (await terminal.run('block', 'held', id, '--keep')).err;
    assert.equal(await keep(), 'nothing is kept, since no mail is listed as held for this block\n');
    await hold(id, '4AAAA', '4BBBB');
    await terminal.run('block', 'held', id, '--delete');
    const ran = { kind: 'hook', block: id, cause: await newest(id), output: '', outcome: 'done' } as const;
    await report('gone@example.com', { ...ran, action: 'delete', asked: 2, acted: 2, through: 1 });
    assert.equal(
      await keep(),
      'nothing is kept, since no mail is listed as held for this block: the hook deleted 2 before, which cannot be taken back\n',
    );
  });

  test('waits for a decision where one was made twice and the first has been carried out', async () => {
    const { id } = await server.block('twice@example.com', { refusal: 'hold' });
    await hold(id, '4AAAA');
    await terminal.run('block', 'held', id, '--delete');
    const ran = { kind: 'hook', block: id, cause: await newest(id), output: '', outcome: 'done' } as const;
    await report('twice@example.com', { ...ran, action: 'delete', asked: 1, acted: 1, through: 0 });
    await terminal.run('block', 'held', id, '--delete');
    await hold(id, '4BBBB');
    const { err } = await terminal.run('block', 'release', id);
    assert.match(err, /^1 message stays on hold: /m);
    const { out } = await terminal.run('block', 'held', id);
    assert.match(out, /^held: 1 message; nobody has decided what becomes of them /);
  });

  test('is said to be left to people where its queue ids are none that a hook is asked for', async () => {
    const { id } = await server.block('unusable@example.com', { refusal: 'hold' });
    await hold(id, '4A', 'ABC');
    await terminal.run('block', 'release', id, '--held', 'release');
    const { out } = await terminal.run('block', 'show', id);
    assert.match(out, /^held: 2 messages; to be released by hand: no hook is asked, since no queue id of /m);
    assert.doesNotMatch(out, /none is set|called again/);
  });

  test('is said not to be listed where none is, and the decision is taken all the same', async () => {
    const { id } = await server.block('none@example.com', { refusal: 'hold' });
    await hold(id, '4AAAA');
    await terminal.run('block', 'release', id, '--held', 'release');
    const ran = { kind: 'hook', block: id, cause: await newest(id), output: '', outcome: 'done' } as const;
    await report('none@example.com', { ...ran, action: 'release', asked: 1, acted: 1, through: 0 });
    const { code, err } = await terminal.run('block', 'held', id, '--delete');
    assert.equal(code, 0, err);
    assert.match(
      err,
      /^no mail is listed as held for this block: stopgap block show \S+ tells if anything comes of that decision$/m,
    );
    assert.doesNotMatch(err, /is to delete it/);
    const { json } = await server.get(`/api/v1/blocks/${id}`);
    assert.equal((json.history as unknown as readonly { held?: string }[]).at(-1)!.held, 'delete');
  });

  test('is said to be for an operator to decide on where the administrator of a domain sees only some of it', async () => {
    const subject = { type: 'address', value: 'both@own.example' };
    const { id } = await server.block('', { subject, refusal: 'hold' });
    await server.held(id, 'both@own.example', 1);
    await server.held(id, 'carol@foreign.example', 1);
    const env = { STOPGAP_URL: server.url, STOPGAP_TOKEN: TOKENS.domain };
    const theirs = await Terminal.open(server.clock, env);
    try {
      const { err } = await theirs.run('block', 'release', id);
      assert.match(
        err,
        /^1 message stays on hold: an operator decides, since mail of other domains is held too$/m,
      );
      assert.doesNotMatch((await theirs.run('block', 'held', id)).out, /--release|--delete/);
      assert.match((await terminal.run('block', 'held', id)).out, /--release, --delete/);
    } finally {
      await theirs.close();
    }
  });

  test('is decided on with the release of its block, or later, and never both ways at once', async () => {
    const { id } = await server.block('decided@example.com', { refusal: 'hold' });
    const released = await terminal.run('block', 'release', id, '--held', 'keep', '--false-positive');
    assert.equal(released.code, 0, released.err);
    for (const both of [
      ['--release', '--delete'],
      ['--keep', '--delete'],
      ['--release', '--keep'],
    ])
      assert.notEqual((await terminal.run('block', 'held', id, ...both)).code, 0);
    await hold(id, '4AAAA');
    const later = await terminal.run('block', 'held', id, '--delete', '--note', 'it was a thief');
    assert.match(
      later.err,
      /^the hook .* is to delete it, and without one nothing does: stopgap block show .* tells what came of it$/m,
    );
    const { json } = await server.get(`/api/v1/blocks/${id}`);
    const history = json.history as unknown as readonly { type: string; held?: string; note?: string }[];
    assert.deepEqual(
      history.map(({ type, held, note }) => [type, held, note]),
      [
        ['BlockImposed', undefined, undefined],
        ['BlockReleased', 'keep', undefined],
        ['HeldMailDecided', 'delete', 'it was a thief'],
      ],
    );
    assert.equal((await server.post(`/api/v1/blocks/${id}/held`, { action: 'hold' })).status, 400);
    assert.equal(
      (await server.post(`/api/v1/blocks/${id}/held`, { action: 'delete' }, { role: 'viewer' })).status,
      403,
    );
    const proposal = await server.trip('waits@example.com');
    const refused = await server.post(`/api/v1/blocks/${proposal}/held`, { action: 'delete' });
    assert.deepEqual([refused.status, refused.json.state], [409, 'proposed']);
  });
});

interface Page {
  readonly count: number;
  readonly decided: unknown;
  readonly items: readonly { readonly queueId: string }[];
  readonly next: string | null;
}

const idsOf = ({ items }: Page): readonly string[] => items.map(({ queueId }) => queueId);
