import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { v7 } from 'uuid';
import type { NewEvent } from '../../../src/kernel/events.js';
import type { Person } from '../../../src/forgetting/person.js';
import { pseudonymOf } from '../../../src/kernel/pseudonym.js';
import { eventually } from '../../support/smtp/eventually.js';
import { collect, ids, newEvent } from '../../support/store/events.js';
import type { StoreHarness, StoreUnderTest } from './harness.js';

/** Each test has a person and others of its own: tests may share one log. */
function people(): { person: Person; other: string } {
  const mark = v7().slice(-8);
  return {
    person: { name: `alice-${mark}@example.com`, pseudonym: pseudonymOf(mark) },
    other: `bob-${mark}@example.com`,
  };
}

const sent = (account: string, over: object = {}): NewEvent =>
  newEvent(
    {
      account,
      returnPath: account,
      direction: 'outbound',
      transaction: 't',
      recipients: 1,
      size: 9,
      ...over,
    },
    { type: 'MessageAccepted' },
  );

const imposed = (account: string): NewEvent =>
  newEvent(
    {
      block: v7(),
      subject: { type: 'account', value: account },
      direction: 'all',
      description: `asked by ${account}`,
      refusal: 'soft',
      until: null,
      origin: 'admin',
    },
    { type: 'BlockImposed', by: 'admin:me' },
  );

export function forgettingContract(harness: StoreHarness): void {
  const apart = async (play: (subject: StoreUnderTest) => Promise<void>): Promise<void> => {
    const subject = await harness.open();
    try {
      await play(subject);
    } finally {
      await subject.destroy();
    }
  };

  describe('when somebody is forgotten', () => {
    it('the streams that are theirs are empty, in each way to read them, and those of others are whole', () =>
      apart(async ({ store }) => {
        const { person, other } = people();
        const theirs = [
          `send-${person.name}`,
          `profile-${person.name}`,
          `override-account:${person.name}`,
          `override-address:${person.name}`,
          `session-${person.name}`,
        ];
        for (const stream of theirs)
          await store.append(stream, [sent(person.name), sent(person.name)], 'any');
        const kept = [sent(other), sent(other)];
        await store.append(`send-${other}`, kept, 'any');
        const { erased } = await store.forget(person);
        assert.equal(erased, 10);
        for (const stream of theirs) assert.deepEqual(await collect(store.readStream(stream)), []);
        const all = await collect(store.readAll());
        assert.deepEqual(
          all.filter(
            ({ stream, data }) => theirs.includes(stream) || JSON.stringify(data).includes(person.name),
          ),
          [],
        );
        assert.deepEqual(ids(await collect(store.readStream(`send-${other}`))), ids(kept));
        const given: string[] = [];
        const subscription = store.subscribe({ after: 0 }, ({ stream }) => void given.push(stream));
        await subscription.caughtUp;
        await subscription.stop();
        assert.ok(given.includes(`send-${other}`));
        assert.deepEqual(
          given.filter((stream) => theirs.includes(stream)),
          [],
        );
      }));

    it('what is told of a domain of the same name stays', () =>
      apart(async ({ store }) => {
        const mark = v7().slice(-8);
        const name = `shop-${mark}.example`;
        const subject = { type: 'domain', value: name };
        const kept = new Map([
          [`profile-${name}`, newEvent({ subject, messages: 3 }, { type: 'SenderDaySummarised' })],
          [`override-domain:${name}`, newEvent({ subject, terms: {} }, { type: 'OverrideSet' })],
        ]);
        for (const [stream, event] of kept) await store.append(stream, [event], 'any');
        await store.append(`send-${name}`, [sent(name)], 'any');
        const { erased } = await store.forget({ name, pseudonym: pseudonymOf(mark) });
        assert.equal(erased, 1);
        for (const [stream, event] of kept) {
          const [left] = await collect(store.readStream(stream));
          assert.deepEqual([left?.id, left?.data], [event.id, event.data]);
        }
      }));

    it('the history of their blocks goes on under the pseudonym, in order, without the name', () =>
      apart(async ({ store }) => {
        const { person } = people();
        const stream = `block-account:${person.name}`;
        const events = [imposed(person.name), newEvent({ note: `for ${person.name}.` }, { type: 'Noted' })];
        await store.append(stream, events, 'none');
        const { rewritten } = await store.forget(person);
        assert.equal(rewritten, 2);
        assert.deepEqual(await collect(store.readStream(stream)), []);
        const history = await collect(store.readStream(`block-account:${person.pseudonym}`));
        assert.deepEqual(
          history.map(({ type, by, at }) => ({ type, by, at })),
          events.map(({ type, by, at }) => ({ type, by, at })),
        );
        const [first, second] = history.map(({ data }) => data as Record<string, unknown>);
        assert.deepEqual(first!['subject'], { type: 'account', value: person.pseudonym });
        assert.equal(first!['block'], (events[0]!.data as { block: string }).block);
        assert.equal(first!['description'], `asked by ${person.pseudonym}`);
        assert.equal(second!['note'], `for ${person.pseudonym}.`);
      }));

    it('what others share is without the name, or it is said that it is not', () =>
      apart(async ({ store }) => {
        const { person, other } = people();
        const shared = newEvent({ block: 'b', note: `as ${person.name} wants` }, { type: 'BlockReleased' });
        await store.append(`block-account:${other}`, [imposed(other), shared], 'none');
        const { remains } = await store.forget(person);
        const after = await collect(store.readStream(`block-account:${other}`));
        assert.equal(after.length, 2);
        const isWithout = !JSON.stringify(after).includes(person.name);
        assert.ok(isWithout || remains.some((text) => text.includes('1 event in streams that others share')));
        assert.ok(!remains.join().includes(person.name));
      }));

    it('their streams begin again where they come back', () =>
      apart(async (subject) => {
        const { person } = people();
        const streams = [`send-${person.name}`, `block-account:${person.name}`];
        for (const stream of streams) await subject.store.append(stream, [sent(person.name)], 'any');
        await subject.store.forget(person);
        const again = streams.map(() => sent(person.name));
        for (const [i, stream] of streams.entries()) {
          const { revision } = await subject.store.append(stream, [again[i]!], 'none');
          // KurrentDB 24.10 may show a stream that begins again a moment after it has taken the append.
          const read = () => collect(subject.store.readStream(stream));
          await eventually('its event can be read', async () => (await read()).length > 0);
          assert.deepEqual(ids(await read()), [again[i]!.id]);
          assert.equal((await subject.store.append(stream, [sent('x')], revision)).revision, revision + 1);
        }
        await subject.reopen();
        for (const stream of streams)
          assert.equal((await collect(subject.store.readStream(stream))).length, 2, stream);
      }));

    it('it is left where somebody says that it must not go on', () =>
      apart(async ({ store }) => {
        const { person } = people();
        const stream = `block-account:${person.name}`;
        await store.append(stream, [imposed(person.name)], 'none');
        const forbid = (): never => {
          throw new Error('not now');
        };
        await assert.rejects(store.forget(person, forbid), /not now/);
        assert.equal((await collect(store.readStream(stream))).length, 1);
      }));

    it('doing it again changes nothing, also after a restart', () =>
      apart(async (subject) => {
        const { person } = people();
        await subject.store.append(`send-${person.name}`, [sent(person.name)], 'any');
        await subject.store.append(`block-account:${person.name}`, [imposed(person.name)], 'none');
        await subject.store.forget(person);
        const after = await collect(subject.store.readStream(`block-account:${person.pseudonym}`));
        await subject.reopen();
        const again = await subject.store.forget(person);
        assert.deepEqual([again.erased, again.rewritten], [0, 0]);
        assert.deepEqual(await collect(subject.store.readStream(`block-account:${person.pseudonym}`)), after);
        assert.equal(after.length, 1);
      }));
  });
}
