import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Act } from '../../../src/blocks/commands.js';
import { newId } from '../../../src/runtime/ids.js';
import { HOUR } from '../../../src/kernel/time.js';
import { parseSubject } from '../../../src/sending/subjects.js';
import { openKurrentStore } from '../../../src/store/kurrentdb/index.js';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import type { Reply } from '../../support/api/server.js';
import { TwoApis } from '../../support/api/two-apis.js';
import { evidence, terms } from '../../support/given.js';
import { StandIn } from '../../support/kurrentdb/stand-in.js';
import { ManualClock } from '../../support/manual-clock.js';
import { temporaryDirectory } from '../../support/store/files.js';

const BLOCKS = '/api/v1/blocks';
const EXEMPTIONS = '/api/v1/exemptions';
const RULES = '/api/v1/rules';
const OVERRIDES = '/api/v1/overrides';
/** How often the first race is run, and how often each of the others. */
const [TRIES, FEWER] = [30, 8];

const sourceOf = (limit: number): string =>
  `version: 1\nrules:\n  - { id: burst, per: account, count: recipients, window: 10m, limit: ${limit}, then: block, for: 1h }\n`;

const onSqlite = async (): Promise<Opened> => {
  const directory = await temporaryDirectory();
  const store = await openSqliteStore({ file: path.join(directory, 'events.db'), clock: new ManualClock() });
  return { apis: await TwoApis.start(store), end: () => rm(directory, { recursive: true }) };
};

const onStandIn = async (): Promise<Opened> => {
  const server = await StandIn.start();
  const open = () => openKurrentStore({ url: server.url, clock: new ManualClock() });
  return { apis: await TwoApis.start(await open(), await open()), end: () => server.kill() };
};

const actOf = (value: string, id: string): Act => ({
  kind: 'act',
  action: 'propose',
  subject: parseSubject('account', value),
  newId: id,
  terms: terms(),
  evidence: evidence({ firstPosition: 1e9, lastPosition: 1e9 }),
});

interface Opened {
  readonly apis: TwoApis;
  readonly end: () => Promise<unknown>;
}

for (const [name, open] of [
  ['one SQLite store', onSqlite],
  ['one stand-in for KurrentDB', onStandIn],
] as const) {
  describe(`two APIs over ${name}`, () => {
    let opened: Opened;
    let apis: TwoApis;
    let names = 0;
    before(async () => {
      opened = await open();
      ({ apis } = opened);
    });
    after(async () => {
      await apis.stop();
      await opened.end();
    });

    const fresh = (): string => `user${++names}@example.com`;
    const bodyOf = (value: string, duration = '1h') => ({ subject: { type: 'account', value }, duration });
    const typesOf = async (stream: string): Promise<string[]> =>
      (await apis.events(stream)).map(({ type }) => type);
    const block = async (value: string): Promise<Reply> => {
      const reply = await apis.call(0, 'POST', BLOCKS, { body: bodyOf(value) });
      await apis.settled();
      return reply;
    };
    /** What a detector does when a rule trips. @returns the id of the proposal */
    const propose = async (value: string): Promise<string> => {
      const command = actOf(value, newId());
      await apis.nodes[0].deps.blockCommands.execute(command.subject, command, { by: 'rule:burst@1' });
      await apis.settled();
      return command.newId;
    };

    test('give one answer to one key that comes to both at once: a block is created once', async () => {
      for (let n = 0; n < TRIES; n++) {
        const value = fresh();
        const reply = await apis.one('POST', BLOCKS, { body: bodyOf(value) });
        assert.equal(reply.status, 201, reply.text);
        assert.deepEqual(await typesOf(`block-account:${value}`), ['BlockImposed']);
      }
    });

    test('give one answer to one key: a block in force is made stronger once', async () => {
      for (let n = 0; n < FEWER; n++) {
        const value = fresh();
        await block(value);
        const reply = await apis.one('POST', BLOCKS, { body: bodyOf(value, '3h') });
        assert.equal(reply.status, 200, reply.text);
        assert.deepEqual(await typesOf(`block-account:${value}`), ['BlockImposed', 'BlockExtended']);
      }
    });

    test('give one answer to one key: a block is changed and released once', async () => {
      for (let n = 0; n < FEWER; n++) {
        const value = fresh();
        const { json, headers } = await block(value);
        const target = `${BLOCKS}/${json.id}`;
        const etag = headers.get('etag')!;
        const change = { body: { duration: '2h' }, headers: { 'if-match': etag } };
        assert.equal((await apis.one('PATCH', target, change)).status, 200);
        await apis.settled();
        assert.equal((await apis.one('POST', `${target}/release`)).json.state, 'released');
        const types = ['BlockImposed', 'BlockExtended', 'BlockReleased'];
        assert.deepEqual(await typesOf(`block-account:${value}`), types);
      }
    });

    test('give one answer to one key: a proposal is approved or dismissed once', async () => {
      for (let n = 0; n < FEWER; n++) {
        const [first, second] = [fresh(), fresh()];
        const approved = await apis.one('POST', `${BLOCKS}/${await propose(first)}/approve`);
        assert.deepEqual([approved.status, approved.json.state], [200, 'active']);
        const dismissed = await apis.one('POST', `${BLOCKS}/${await propose(second)}/dismiss`);
        assert.deepEqual([dismissed.status, dismissed.json.state], [200, 'dismissed']);
        const approval = ['BlockProposed', 'ProposalApproved', 'BlockImposed'];
        assert.deepEqual(await typesOf(`block-account:${first}`), approval);
        assert.deepEqual(await typesOf(`block-account:${second}`), ['BlockProposed', 'ProposalDismissed']);
      }
    });

    test('find a block that the other has just made, by its id, though it does not show here yet', async () => {
      for (let n = 0; n < FEWER; n++) {
        const { json } = await apis.call(0, 'POST', BLOCKS, { body: bodyOf(fresh()) });
        const released = await apis.call(1, 'POST', `${BLOCKS}/${json.id}/release`);
        assert.deepEqual([released.status, released.json.state], [200, 'released'], released.text);
        const proposal = newId();
        const value = fresh();
        const act = actOf(value, proposal);
        await apis.nodes[0].deps.blockCommands.execute(act.subject, act, { by: 'rule:burst@1' });
        const approved = await apis.call(1, 'POST', `${BLOCKS}/${proposal}/approve`);
        assert.deepEqual([approved.status, approved.json.state], [200, 'active'], approved.text);
      }
      assert.equal((await apis.call(1, 'GET', `${BLOCKS}/${newId()}`)).status, 404);
    });

    test('give one answer to one key: an exemption is granted and revoked once', async () => {
      for (let n = 0; n < FEWER; n++) {
        const value = fresh();
        const body = { ...bodyOf(value), reason: 'list' };
        const granted = await apis.one('POST', EXEMPTIONS, { body });
        assert.equal(granted.status, 201, granted.text);
        await apis.settled();
        const revoked = await apis.one('DELETE', `${EXEMPTIONS}/${granted.json.id}`);
        assert.equal(revoked.status, 204, revoked.text);
        const types = ['ExemptionGranted', 'ExemptionRevoked'];
        assert.deepEqual(await typesOf(`block-account:${value}`), types);
      }
    });

    test('give one answer to one key: overrides are set and removed once, one by one and many at once', async () => {
      for (let n = 0; n < FEWER; n++) {
        const value = fresh();
        const target = `${OVERRIDES}/account/${value}`;
        assert.equal((await apis.one('PUT', target, { body: { factor: 2 } })).status, 201);
        assert.equal((await apis.one('DELETE', target)).status, 204);
        assert.deepEqual(await typesOf(`override-account:${value}`), ['OverrideSet', 'OverrideRemoved']);
        const list = Array.from({ length: 20 }, () => ({
          subject: { type: 'account', value: fresh() },
          factor: 2,
        }));
        const { json } = await apis.one('PUT', OVERRIDES, { body: list });
        assert.deepEqual(json, { set: 20, removed: 0, unchanged: 0, unused: [] });
        for (const { subject } of list)
          assert.deepEqual(await typesOf(`override-account:${subject.value}`), ['OverrideSet']);
      }
    });

    test('give one answer to one key: rules are replaced, tried in the shadow and promoted once', async () => {
      for (let n = 0; n < FEWER; n++) {
        const before = (await apis.events('rules')).length;
        const [source, shadow] = [sourceOf(1000 + ++names), sourceOf(1000 + ++names)];
        const replaced = await apis.one('PUT', RULES, { body: { source } });
        assert.deepEqual([replaced.status, replaced.json.source], [200, source]);
        const loaded = await apis.one('PUT', `${RULES}/shadow`, { body: { source: shadow } });
        assert.equal(loaded.status, 201, loaded.text);
        await apis.settled();
        const promoted = await apis.one('POST', `${RULES}/shadow/promote`);
        assert.deepEqual([promoted.status, promoted.json.source], [200, shadow]);
        await apis.one('PUT', `${RULES}/shadow`, { body: { source } });
        await apis.settled();
        assert.equal((await apis.one('DELETE', `${RULES}/shadow`)).status, 204);
        assert.deepEqual((await typesOf('rules')).slice(before), [
          'RulesChanged',
          'ShadowRulesChanged',
          'ShadowRulesPromoted',
          'RulesChanged',
          'ShadowRulesChanged',
          'ShadowRulesRemoved',
        ]);
      }
    });

    test('answer a PUT of rules with the rules that were sent, and their version', async () => {
      for (let n = 0; n < FEWER; n++) {
        const sources = [sourceOf(1000 + ++names), sourceOf(1000 + ++names)] as const;
        const replies = await Promise.all([
          apis.call(0, 'PUT', RULES, { body: { source: sources[0] } }),
          apis.call(1, 'PUT', RULES, { body: { source: sources[1] } }),
        ]);
        const written = await apis.events('rules');
        for (const [index, { status, json, headers }] of replies.entries()) {
          assert.deepEqual([status, json.source], [200, sources[index]]);
          assert.equal(headers.get('etag'), `"${json.version}"`);
          const data = written.map((event) => event.data as { version: number; source: string });
          assert.equal(data.find(({ version }) => version === json.version)?.source, sources[index]);
        }
      }
    });

    test('let one of two through who change the same version of the rules', async () => {
      for (let n = 0; n < FEWER; n++) {
        const [last] = (await apis.events('rules')).slice(-1);
        const { version } = last!.data as { version: number };
        const headers = { 'if-match': `"${version}"` };
        const replies = await Promise.all(
          ([0, 1] as const).map((node) =>
            apis.call(node, 'PUT', RULES, { body: { source: sourceOf(1000 + ++names) }, headers }),
          ),
        );
        assert.deepEqual(replies.map(({ status }) => status).sort(), [200, 412]);
        const won = replies.find(({ status }) => status === 200)!;
        assert.equal(won.json.version, version + 1);
      }
    });

    test('let one of two through who change the same version of a block or of an override', async () => {
      for (let n = 0; n < FEWER; n++) {
        const value = fresh();
        const { json, headers } = await block(value);
        const match = { 'if-match': headers.get('etag')! };
        const target = `${BLOCKS}/${json.id}`;
        const changes = await Promise.all(
          ([0, 1] as const).map((node) =>
            apis.call(node, 'PATCH', target, { body: { duration: `${5 + node}h` }, headers: match }),
          ),
        );
        assert.deepEqual(changes.map(({ status }) => status).sort(), [200, 412]);
        const settings = await Promise.all(
          ([0, 1] as const).map((node) =>
            apis.call(node, 'PUT', `${OVERRIDES}/account/${value}`, {
              body: { factor: 2 + node },
              headers: { 'if-match': '"0"' },
            }),
          ),
        );
        assert.deepEqual(settings.map(({ status }) => status).sort(), [201, 412]);
      }
    });

    /** Thirty requests for the same at once, half of them at each. @param keyOf the Idempotency-Key of each */
    const thirty = (value: string, keyOf?: (index: number) => string): Promise<Reply[]> =>
      Promise.all(
        Array.from({ length: 30 }, (_, index) => {
          const node = (index % 2) as 0 | 1;
          apis.clocks[node].advance(1);
          const headers: Record<string, string> =
            keyOf === undefined ? {} : { 'idempotency-key': keyOf(index) };
          return apis.call(node, 'POST', BLOCKS, { body: bodyOf(value), headers });
        }),
      );

    test('create a block once for thirty who ask for it at once with one key, and give all the first answer', async () => {
      for (let n = 0; n < 5; n++) {
        const [value, key] = [fresh(), newId()];
        const replies = await thirty(value, () => key);
        assert.deepEqual(new Set(replies.map(({ status }) => status)), new Set([201]));
        assert.equal(new Set(replies.map(({ text }) => text)).size, 1);
        assert.equal(replies.filter(({ headers }) => headers.get('idempotency-replayed') === null).length, 1);
        assert.deepEqual(await typesOf(`block-account:${value}`), ['BlockImposed']);
      }
    });

    test('create a block once for thirty who ask for the same at once, and refuse none of them', async () => {
      for (let n = 0; n < 6; n++) {
        const value = fresh();
        const replies = await thirty(value, n % 2 === 0 ? undefined : newId);
        const counts = [201, 200].map((wanted) => replies.filter(({ status }) => status === wanted).length);
        assert.deepEqual(counts, [1, 29], replies.map(({ status }) => status).join(' '));
        assert.equal(new Set(replies.map(({ json }) => json.id)).size, 1);
        const [first] = await apis.events(`block-account:${value}`);
        const longest = apis.clocks[1].now() + HOUR;
        await apis.settled();
        const { json } = await apis.call(0, 'GET', `${BLOCKS}/${replies[0]!.json.id}`);
        assert.equal(first!.type, 'BlockImposed');
        assert.equal(Date.parse(json.until), longest, 'the longest holds');
      }
    });
  });
}
