import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { serialize } from 'node:v8';
import { ReadModels } from '../../../src/detector/read-models.js';
import { FORGETTING_FILE } from '../../../src/commands/forgetting.js';
import { DAY, SECOND } from '../../../src/kernel/time.js';
import { envelope, newId } from '../../../src/runtime/ids.js';
import type { SessionFact } from '../../../src/sessions/events.js';
import { sessionStream } from '../../../src/sessions/events.js';
import type { EventStore } from '../../../src/store/port.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import { settle } from '../../support/gate.js';
import { ManualClock } from '../../support/manual-clock.js';
import { tokenOf } from '../../support/policy/token.js';
import { changed } from '../../support/store/changed.js';
import { collect } from '../../support/store/events.js';
import { eventually } from '../../support/smtp/eventually.js';
import { ALICE, BOB, Stopgap } from '../../support/smtp/stopgap.js';

interface Answer {
  readonly status: number;
  readonly json: Readonly<Record<string, unknown>>;
}

async function forget(stopgap: Stopgap, token: string, value: string): Promise<Answer> {
  const answer = await fetch(`http://127.0.0.1:${stopgap.port('HTTP')}/api/v1/forget`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ subject: { type: 'account', value } }),
  });
  return { status: answer.status, json: (await answer.json()) as Answer['json'] };
}

async function send(stopgap: Stopgap, who: string): Promise<void> {
  const dialogue = await stopgap.loggedIn(who);
  await dialogue.send(who, ['friend@example.org']);
  await dialogue.quit();
}

/** Files of the data directory that hold the name, seen by another process. */
const filesThatName = ({ dir }: Stopgap, name: string): string =>
  spawnSync('grep', ['-rlai', name, path.join(dir, 'data')], { encoding: 'utf8' }).stdout;

const knows = ({ app }: Stopgap, name: string): boolean => serialize(app.models.dump()).includes(name);

/** What anybody would fold from the store as it is. */
async function refolded({ app }: Stopgap): Promise<object> {
  const nothing = (): void => undefined;
  const models = new ReadModels({
    onVerdict: nothing,
    onBlockEvent: nothing,
    onRulesChanged: nothing,
    onSkipped: nothing,
  });
  await models.follow(app.store);
  await models.stop();
  return models.dump();
}

async function assertBlocked(stopgap: Stopgap, block: string): Promise<void> {
  assert.deepEqual(stopgap.app.models.ledger.get(block)?.subject, { type: 'account', value: ALICE });
  const events = await collect(stopgap.app.store.readStream(`block-account:${ALICE}`));
  assert.ok(JSON.stringify(events).includes(block), 'the store has it under their name');
}

/** They have signed in at a provider, which needs nothing here but this. */
async function signIn({ app }: Stopgap, person: string): Promise<void> {
  const now = Date.now();
  const session = { session: newId(), person, hash: 'h', stamp: 's', until: now + DAY, network: '192.0.2.1' };
  const signedIn: SessionFact = { type: 'SignedIn', data: { ...session, via: 'openid', role: 'admin' } };
  const events = envelope([signedIn], { by: `admin:${person}` }, now);
  const { position } = await app.store.append(sessionStream(person), events, 'any');
  await app.models.reached(position);
}

const signedIn = ({ app }: Stopgap): readonly string[] =>
  app.models.sessions.all(Date.now()).map(({ person }) => person);

describe('a process in which somebody is forgotten', () => {
  test('knows nothing of them in memory, on disk and after a restart, and goes on with all others', async (t) => {
    const stopgap = await Stopgap.start(t);
    const token = await tokenOf(stopgap, 'me', 'admin');
    await send(stopgap, ALICE);
    await send(stopgap, BOB);
    for (const who of [ALICE, BOB]) await signIn(stopgap, who);
    assert.deepEqual(signedIn(stopgap), [ALICE, BOB]);
    const block = await stopgap.block('account', ALICE);
    const refused = await forget(stopgap, token, ALICE);
    assert.deepEqual([refused.status, refused.json['code']], [409, 'conflict'], 'a block is in force');
    await stopgap.release('account', ALICE);
    await stopgap.settled();
    // A snapshot is written that holds them.
    await stopgap.restart();
    assert.ok(knows(stopgap, ALICE));
    assert.match(filesThatName(stopgap, ALICE), /snapshot/);

    const { status, json } = await forget(stopgap, token, ALICE.toUpperCase());
    assert.equal(status, 200, JSON.stringify(json));
    const pseudonym = json['pseudonym'] as string;
    assert.match(pseudonym, /^forgotten-[0-9a-f]{8}@invalid$/);
    assert.ok((json['remains'] as string[]).some((text) => text.includes('users file')));
    await eventually('it is gone from memory', () => !knows(stopgap, ALICE));
    await eventually('it is gone from the disk', () => filesThatName(stopgap, ALICE) === '');
    assert.deepEqual(stopgap.app.models.ledger.get(block)?.subject, { type: 'account', value: pseudonym });
    assert.deepEqual(signedIn(stopgap), [BOB]);

    const [said] = (await stopgap.all('PersonForgotten')) as readonly { by: string; data: object }[];
    assert.equal(said!.by, 'admin:me');
    assert.deepEqual(said!.data, { pseudonym, erased: json['erased'], rewritten: json['rewritten'] });
    await send(stopgap, BOB);
    await stopgap.settled();
    assert.deepEqual(stopgap.app.models.dump(), await refolded(stopgap), 'as if it were folded anew');
    await stopgap.restart();
    assert.ok(!knows(stopgap, ALICE) && knows(stopgap, BOB));
    assert.deepEqual(stopgap.app.models.ledger.get(block)?.subject.value, pseudonym);
  });

  for (const [last, what] of [
    [ALICE, 'is of no use now'],
    [BOB, 'is used'],
  ] as const)
    test(`does not take them back from a snapshot that ${what}, nor keep it, where it was killed in between`, async (t) => {
      const stopgap = await Stopgap.start(t);
      await send(stopgap, last === ALICE ? BOB : ALICE);
      await send(stopgap, last);
      await stopgap.settled();
      await stopgap.restart();
      // As the store is when a process has been killed right after it was done there.
      await stopgap.app.store.forget({ name: ALICE, pseudonym: 'forgotten-00000000@invalid' });
      const data = { pseudonym: 'forgotten-00000000@invalid', erased: 1, rewritten: 0 };
      const event = {
        id: crypto.randomUUID(),
        type: 'PersonForgotten',
        at: Date.now(),
        by: 'admin:me',
        data,
      };
      await stopgap.app.stop();
      const { openSqliteStore } = await import('../../../src/store/sqlite/index.js');
      const store = await openSqliteStore({
        file: path.join(stopgap.dir, 'data', 'events.db'),
        clock: { now: Date.now },
      });
      await store.append('forgetting', [event], 'any');
      await store.close();
      assert.match(filesThatName(stopgap, ALICE), /snapshot/, 'a snapshot holds them');
      await stopgap.open();
      await eventually('it is gone from memory', () => !knows(stopgap, ALICE));
      await eventually('it is gone from the disk', () => filesThatName(stopgap, ALICE) === '');
    });

  test('first completes what was interrupted, under the pseudonym that it had begun with', async (t) => {
    const stopgap = await Stopgap.start(t);
    const token = await tokenOf(stopgap, 'me', 'admin');
    await send(stopgap, ALICE);
    await send(stopgap, BOB);
    const begun = { name: ALICE, pseudonym: 'forgotten-0badcafe@invalid' };
    await writeFile(path.join(stopgap.dir, 'data', FORGETTING_FILE), JSON.stringify(begun));
    const { status } = await forget(stopgap, token, BOB);
    assert.equal(status, 200);
    const said = (await stopgap.all('PersonForgotten')) as readonly { data: { pseudonym: string } }[];
    assert.equal(said.length, 2);
    assert.equal(said[0]!.data.pseudonym, begun.pseudonym);
    await eventually('both are gone from the disk', () => filesThatName(stopgap, '@example.com') === '');
  });

  test('removes what a killed process has left of the file that names who is to be forgotten', async (t) => {
    const stopgap = await Stopgap.start(t);
    const token = await tokenOf(stopgap, 'me', 'admin');
    await send(stopgap, ALICE);
    const left = path.join(stopgap.dir, 'data', `${FORGETTING_FILE}.0123456789ab.tmp`);
    await writeFile(left, JSON.stringify({ name: ALICE, pseudonym: 'forgotten-0badcafe@invalid' }));
    assert.equal((await forget(stopgap, token, ALICE)).status, 200);
    await eventually('they are gone from the disk', () => filesThatName(stopgap, ALICE) === '');
  });

  test('does not complete what was interrupted while a block is on them: it would end', async (t) => {
    const stopgap = await Stopgap.start(t);
    const token = await tokenOf(stopgap, 'me', 'admin');
    const begun = { name: ALICE, pseudonym: 'forgotten-0badcafe@invalid' };
    await writeFile(path.join(stopgap.dir, 'data', FORGETTING_FILE), JSON.stringify(begun));
    const block = await stopgap.block('account', ALICE);
    const { status, json } = await forget(stopgap, token, BOB);
    assert.deepEqual([status, json['block']], [409, block], JSON.stringify(json));
    await assertBlocked(stopgap, block);
    await stopgap.release('account', ALICE);
    assert.equal((await forget(stopgap, token, BOB)).status, 200);
  });

  test('stops half-way where a block begins meanwhile, and goes on once it is released', async (t) => {
    let blocking: (() => Promise<string>) | undefined;
    let block: string | undefined;
    const stopgap: Stopgap = await Stopgap.start(t, {
      throughStore: (store) =>
        changed(store, {
          async forget(...args: Parameters<EventStore['forget']>) {
            block = await blocking?.();
            blocking = undefined;
            return store.forget(...args);
          },
        }),
    });
    const token = await tokenOf(stopgap, 'me', 'admin');
    await send(stopgap, ALICE);
    blocking = () => stopgap.block('account', ALICE);
    const { status, json } = await forget(stopgap, token, ALICE);
    assert.deepEqual([status, json['block']], [409, block], JSON.stringify(json));
    await assertBlocked(stopgap, block!);
    await stopgap.release('account', ALICE);
    assert.equal((await forget(stopgap, token, ALICE)).status, 200);
    await eventually('it is gone from memory', () => !knows(stopgap, ALICE));
  });

  test('rests after each try that failed, however much is sent meanwhile, and is free of them in the end', async (t) => {
    const clock = new ManualClock();
    let isAway = false;
    let tries = 0;
    const stopgap = await Stopgap.start(t, {
      clock,
      throughStore: (store) =>
        changed(store, {
          subscribe(options, handler) {
            if (!isAway) return store.subscribe(options, handler);
            tries++;
            throw new StoreUnavailable('the store is away');
          },
        }),
    });
    const token = await tokenOf(stopgap, 'me', 'admin');
    await send(stopgap, ALICE);
    await stopgap.settled();
    isAway = true;
    assert.equal((await forget(stopgap, token, ALICE)).status, 200);
    await eventually('it is tried', () => tries > 0);
    await settle(100);
    assert.equal(tries, 1);
    for (let count = 1; count <= 3; count++) await send(stopgap, BOB);
    await stopgap.settled();
    await settle();
    assert.equal(tries, 1, 'mail does not end the rest');
    clock.advance(10 * SECOND);
    await eventually('it is tried again', () => tries > 1);
    await settle(100);
    assert.equal(tries, 2);
    isAway = false;
    clock.advance(10 * SECOND);
    await eventually('it is gone from memory', () => !knows(stopgap, ALICE));
    assert.ok(knows(stopgap, BOB));
  });
});
