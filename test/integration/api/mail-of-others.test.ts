import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import type { IncomingMessage } from 'node:http';
import { after, describe, test } from 'node:test';
import type { Role } from '../../../src/accounts/roles.js';
import type { ReportJson } from '../../../src/api/block-report.js';
import { HOUR, MINUTE } from '../../../src/kernel/time.js';
import { newId } from '../../../src/runtime/ids.js';
import { heldStream, movedStream, sendStream } from '../../../src/sending/events.js';
import type { Subject } from '../../../src/sending/subjects.js';
import type { Answered } from '../../support/api/answered.js';
import { ApiServer, TOKENS } from '../../support/api/server.js';

const BLOCKS = '/api/v1/blocks';
const CAROL = 'carol@foreign.example';
const SHOWN = ['domain', 'viewer'] as const;

const server = await ApiServer.start();
after(() => server.stop());

async function append(stream: string, type: string, data: unknown, by = 'policy:test'): Promise<void> {
  const event = { id: newId(), type, at: server.clock.now(), by, data };
  const { position } = await server.deps.store.append(stream, [event], 'any');
  await server.deps.models.reached(position);
}

/** A block whose mail is held. An account elsewhere may send under its address too. */
async function blockOn(type: Subject['type'], value: string): Promise<string> {
  return (await server.block('', { subject: { type, value }, duration: '8h', refusal: 'hold' })).id;
}

const from = (account: string, returnPath: string) =>
  ({ account, returnPath, ip: '192.0.2.1', direction: 'outbound', size: 10 }) as const;

/** A message that is held for a block. */
async function held(block: string, account: string, returnPath: string, transaction: string): Promise<void> {
  const data = { ...from(account, returnPath), block, transaction, recipients: 3 };
  await append(heldStream(block), 'MessageHeld', data);
}

/** A message that was sent on. */
async function sent(account: string, returnPath: string, transaction: string): Promise<void> {
  const data = { ...from(account, returnPath), transaction, recipients: 3, recipientDomains: [] };
  await append(sendStream(account), 'MessageAccepted', { ...data, entitled: true });
}

/** The hook was called. */
async function hookRan(block: string, subject: Subject, more: object): Promise<void> {
  const ran = { kind: 'hook', block, action: 'release', cause: 1, outcome: 'done' } as const;
  const { position } = await server.deps.blockCommands.execute(
    subject,
    { ...ran, asked: 3, acted: 2, output: 'released 4FOR1', ...more },
    { by: 'system:hook' },
  );
  await server.deps.models.reached(position);
}

async function reportOf(block: string, role: Role): Promise<ReportJson> {
  return (await server.get(`${BLOCKS}/${block}/report`, { role })).json as unknown as ReportJson;
}

/** What the feed gives from the beginning until an event that comes now. */
async function feedTo(role: Role): Promise<string> {
  const target = new URL('/api/v1/events?after=0&categories=block,held', server.url);
  const request = http.get(target, {
    headers: { authorization: `Bearer ${TOKENS[role]}` },
    agent: false,
  });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  response.setEncoding('utf8');
  const last = (await server.block(`last-${newId()}@own.example`)).id;
  let text = '';
  for await (const part of response) if ((text += part as string).includes(last)) break;
  response.destroy();
  return text;
}

/** What a text tells of the hook's calls for a block, wherever it does. */
function hooksIn(text: string): readonly Readonly<Record<string, unknown>>[] {
  const parts = text.split('\n').map((line) => line.replace(/^data: /, ''));
  const found: Record<string, unknown>[] = [];
  const look = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    if ('outcome' in value && 'cause' in value) found.push(value);
    Object.values(value).forEach(look);
  };
  for (const part of parts) if (part.startsWith('{')) look(JSON.parse(part));
  return found;
}

describe('of a block on their address, the administrator of a domain', () => {
  test('is told of held mail by the report only where an account of theirs sent it', async () => {
    const boss = 'held@own.example';
    const block = await blockOn('address', boss);
    await held(block, CAROL, boss, '4FOR1');
    await held(block, CAROL, boss, '4FOR2');
    const messages = async (): Promise<unknown> =>
      Promise.all(
        SHOWN.map(async (role) => {
          const { held: found } = await reportOf(block, role);
          return [found.messages, found.recipients, found.waiting];
        }),
      );
    assert.deepEqual(await messages(), [
      [0, 0, 0],
      [2, 6, 2],
    ]);
    await held(block, boss, boss, '4OWN1');
    assert.deepEqual(await messages(), [
      [1, 3, 1],
      [3, 9, 3],
    ]);
  });

  test('is told by the report of mail that another block took over only where an account of theirs sent it', async () => {
    const boss = 'moved@own.example';
    const [block, other] = [await blockOn('address', boss), await blockOn('ip', '192.0.2.0/24')];
    const ids = ['4FOR1', '4FOR2', '4OWN1'];
    for (const [revision, transaction] of ids.entries()) {
      const account = transaction === '4OWN1' ? boss : CAROL;
      for (const id of [block, other]) await held(id, account, boss, transaction);
      const moved = { block, to: other, transaction, revision };
      await append(movedStream(block), 'HeldMailMoved', moved, 'system:hook');
    }
    await hookRan(block, { type: 'address', value: boss }, { asked: 0, acted: 0, moved: 3, through: 2 });
    const found = await Promise.all(
      SHOWN.map(async (role) => {
        const { moved, elsewhere } = (await reportOf(block, role)).held;
        return [moved, elsewhere.waiting];
      }),
    );
    assert.deepEqual(found, [
      [1, 1],
      [3, 3],
    ]);
  });

  test('is nowhere told for how many messages the hook was called, nor what it printed', async () => {
    const boss = 'hook@own.example';
    const subject = { type: 'address', value: boss } as const;
    const block = await blockOn('address', boss);
    await held(block, CAROL, boss, '4FOR1');
    await hookRan(block, subject, { moved: 1, through: 0 });
    const asked: readonly (readonly [target: string, role: Role])[] = SHOWN.flatMap((role) =>
      [
        `${BLOCKS}/${block}`,
        `${BLOCKS}?value=${boss}`,
        `${BLOCKS}?value=${boss}&at=${new Date(server.clock.now()).toISOString()}`,
        `${BLOCKS}?value=${boss}&format=ndjson`,
        `${BLOCKS}/${block}/report`,
        `/api/v1/senders/address/${boss}`,
        `/api/v1/check?returnPath=${boss}`,
      ].map((target) => [target, role] as const),
    );
    for (const [target, role] of asked) {
      const { text } = await server.get(target, { role });
      const [told] = hooksIn(text);
      assert.deepEqual([told?.['action'], told?.['outcome']], ['release', 'done'], text);
      const more = ['asked', 'acted', 'moved', 'output'].filter((name) => name in told!);
      assert.equal(more.length, role === 'domain' ? 0 : 4, `${target} to the role ${role}: ${text}`);
      assert.equal(text.includes('4FOR1'), role !== 'domain', target);
    }
    const [theirs, all] = await Promise.all(SHOWN.map(feedTo));
    assert.ok(all!.includes('4FOR1'));
    assert.ok(!theirs!.includes('4FOR1'), theirs);
    const [told] = hooksIn(theirs!).filter((ran) => ran['block'] === block);
    assert.deepEqual(told, { block, action: 'release', cause: 1, outcome: 'done' });

    const acted = [
      await server.post(`${BLOCKS}/${block}/release`, {}, { role: 'domain' }),
      await server.post(`${BLOCKS}/${block}/release`, { note: 'again' }, { role: 'domain' }),
      await server.post(`${BLOCKS}/actions`, { action: 'release', ids: [block] }, { role: 'domain' }),
    ];
    assert.deepEqual(
      acted.map(({ status }) => status),
      [200, 409, 200],
    );
    for (const { text } of acted) {
      assert.equal(hooksIn(text).length, 1, text);
      assert.doesNotMatch(text, /4FOR1|"asked"/);
    }
  });

  test('is told in the letter that held mail of theirs may be gone, where the hook has let go of mail of all', async () => {
    const boss = 'letter@own.example';
    const block = await blockOn('address', boss);
    await held(block, CAROL, boss, '4FOR1');
    await held(block, boss, boss, '4OWN1');
    await hookRan(block, { type: 'address', value: boss }, { asked: 2, acted: 2, through: 1 });
    const letter = async (role: Role): Promise<string> =>
      (await server.get(`${BLOCKS}/${block}/report?format=text`, { role })).text;
    const [theirs, all] = [await letter('domain'), await letter('viewer')];
    assert.match(theirs, /^- 1 message to 3 recipients did not leave our server at first\.$/m);
    assert.match(theirs, /^- 1 message of these may have been sent on or deleted since\.$/m);
    assert.match(all, /^- 2 messages of these were sent on later\.$/m);
    assert.doesNotMatch(all, /may have been/);
  });

  test('is told that held mail is not theirs to decide on, where some is of others', async () => {
    const boss = 'decides@own.example';
    const block = await blockOn('address', boss);
    const told = async (role: Role): Promise<readonly unknown[]> => {
      const page = (await server.get(`${BLOCKS}/${block}/held`, { role })).json as unknown as {
        others: boolean;
      };
      return [page.others, (await reportOf(block, role)).held.others];
    };
    const decide = async (): Promise<number> =>
      (await server.post(`${BLOCKS}/${block}/held`, { action: 'release' }, { role: 'domain' })).status;
    await held(block, boss, boss, '4OWN1');
    assert.deepEqual([await told('domain'), await decide()], [[false, false], 200]);
    await held(block, CAROL, boss, '4FOR1');
    assert.deepEqual([await told('domain'), await decide()], [[true, true], 403]);
    assert.deepEqual(await told('viewer'), [false, false]);
  });

  test('finds by pages of held mail only what is theirs, as if there were no other', async () => {
    const boss = 'pages@own.example';
    const block = await blockOn('address', boss);
    for (const [n, account] of [boss, CAROL, CAROL, boss, CAROL].entries())
      await held(block, account, boss, `4ID${n}`);
    const pages: unknown[] = [];
    for (let cursor: string | null = ''; cursor !== null;) {
      const more = cursor === '' ? '' : `&cursor=${cursor}`;
      const { json } = await server.get(`${BLOCKS}/${block}/held?limit=1${more}`, { role: 'domain' });
      const page = json as unknown as { items: { queueId: string }[]; next: string | null };
      pages.push(page.items.map(({ queueId }) => queueId));
      cursor = page.next;
    }
    assert.deepEqual(pages, [['4ID3'], ['4ID0']]);
  });

  test('is not told how many attempts it has refused, in any order, page or export of the list', async () => {
    const [boss, bob] = ['refused@own.example', 'refused.bob@own.example'];
    const [block, own] = [await blockOn('address', boss), await blockOn('account', bob)];
    // It refused nothing, and is the newest.
    const none = await blockOn('address', 'refused.none@own.example');
    const since = server.clock.now();
    for (const [account, id, count] of [
      [CAROL, block, 77],
      [bob, own, 33],
    ] as const) {
      const refused = { stage: 'rcpt', reply: '550 no', since, block: id, count };
      await append(sendStream(account), 'MessageRefused', { ...from(account, boss), ...refused });
    }
    const list = async (role: Role, sort: string): Promise<unknown> => {
      const { items } = (await server.get(`${BLOCKS}?q=refused&sort=${sort}`, { role })).json;
      return items.map(({ id, ...rest }) => {
        const { refused, lastRefusedAt } = rest as unknown as Record<string, unknown>;
        return [id, refused, typeof lastRefusedAt];
      });
    };
    assert.deepEqual(await list('viewer', 'refused'), [
      [block, 77, 'string'],
      [own, 33, 'string'],
      [none, 0, 'object'],
    ]);
    const theirs = [own, 33, 'string'];
    const [others, newest] = [block, none].map((id) => [id, null, 'object']);
    assert.deepEqual(await list('domain', 'oldest'), [others, theirs, newest]);
    assert.deepEqual(await list('domain', 'refused'), [theirs, newest, others], 'the order tells no number');
    const pages: string[] = [];
    for (let cursor: string | null = ''; cursor !== null;) {
      const more: string = cursor === '' ? '' : `&cursor=${cursor}`;
      const path = `${BLOCKS}?q=refused&sort=refused&limit=1${more}`;
      const reply: Answered = (await server.get(path, { role: 'domain' })).json;
      pages.push(...reply.items.map(({ id }) => id));
      cursor = reply.next;
    }
    assert.deepEqual(pages, [own, none, block]);
    const csv = (await server.get(`${BLOCKS}?q=refused&format=csv`, { role: 'domain' })).text;
    assert.ok(csv.includes(',33,') && !csv.includes(',77,'), csv);
    const page = (await server.get(`${BLOCKS}?sort=refused&limit=1`, { role: 'domain' })).json;
    assert.doesNotMatch(Buffer.from(page.next!, 'base64url').toString(), /~77~/);
  });

  test('is told only of mail of theirs that got through, went past it or was let go', async () => {
    for (const [type, value, boss] of [
      ['address', 'past@own.example', 'past@own.example'],
      ['domain', 'past.own.example', 'boss@past.own.example'],
    ] as const) {
      const both = async (id: string): Promise<void> => {
        for (const account of [CAROL, boss]) await sent(account, boss, `${id}-${account}`);
      };
      await both('before');
      const block = await blockOn(type, value);
      await held(block, CAROL, boss, `let-go-${CAROL}`);
      server.clock.advance(HOUR);
      await sent(CAROL, boss, `let-go-${CAROL}`);
      const [mine, all] = await Promise.all(SHOWN.map((role) => reportOf(block, role)));
      assert.deepEqual([mine!.letGo, mine!.after.messages, mine!.past.messages], [false, 0, 0]);
      assert.deepEqual([mine!.pastWhy, mine!.sources], [null, []]);
      assert.deepEqual([all!.letGo, all!.after.messages, all!.past.messages], [true, 1, 0]);
      await held(block, boss, boss, `let-go-${boss}`);
      await sent(boss, boss, `let-go-${boss}`);
      await both('past');
      const [theirs, everybodys] = await Promise.all(SHOWN.map((role) => reportOf(block, role)));
      assert.deepEqual([theirs!.letGo, theirs!.after.messages, theirs!.past.messages], [true, 1, 1]);
      assert.equal(theirs!.sources[0]!.messages, 2);
      assert.deepEqual([everybodys!.after.messages, everybodys!.past.messages], [2, 2]);
      await server.post(`${BLOCKS}/${block}/release`, {});
    }
  });

  test('is not told by check or the overview that mail of somebody else went past it', async () => {
    const [boss, bob] = ['ways@own.example', 'ways.bob@own.example'];
    const block = await blockOn('address', boss);
    server.clock.advance(20 * MINUTE);
    await sent(CAROL, boss, newId());
    const said = async (role: Role, asked: string): Promise<readonly [string, readonly string[]]> => {
      const { sentence } = (await server.get(`/api/v1/check?${asked}`, { role })).json;
      const { json } = await server.get('/api/v1/overview', { role });
      const { unstopped } = json as unknown as { unstopped: { items: { block: string | null }[] } };
      return [String(sentence), unstopped.items.flatMap(({ block: id }) => id ?? [])];
    };
    const [theirs, named] = await said('domain', `returnPath=${boss}`);
    assert.doesNotMatch(theirs, /gone past/);
    assert.deepEqual(named, []);
    const [all, allNamed] = await said('viewer', `returnPath=${boss}`);
    assert.match(all, /1 message has gone past this block/);
    assert.ok(allNamed.includes(block));
    const own = await blockOn('account', bob);
    server.clock.advance(20 * MINUTE);
    await sent(bob, bob, newId());
    const [ownSaid, ownNamed] = await said('domain', `account=${bob}`);
    assert.match(ownSaid, /1 message has gone past this block/, 'of an account it is their mail');
    assert.deepEqual(ownNamed, [own]);
  });
});

test('of a block on an account of theirs, the administrator of a domain is told what the hook did, and not what it printed', async () => {
  const bob = 'bob@own.example';
  const block = await blockOn('account', bob);
  await hookRan(block, { type: 'account', value: bob }, { moved: 1 });
  const { text } = await server.get(`${BLOCKS}/${block}`, { role: 'domain' });
  const told = { action: 'release', cause: 1, outcome: 'done', asked: 3, acted: 2, moved: 1 };
  assert.deepEqual(hooksIn(text), [told]);
  const [fed] = hooksIn(await feedTo('domain')).filter((ran) => ran['block'] === block);
  assert.deepEqual(fed, { block, ...told });
});
