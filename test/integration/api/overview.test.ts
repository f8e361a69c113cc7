import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Evidence } from '../../../src/blocks/events.js';
import { DAY, formatInstant, HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import { newId } from '../../../src/runtime/ids.js';
import { sendStream } from '../../../src/sending/events.js';
import { ApiServer } from '../../support/api/server.js';
import type { Call } from '../../support/api/server.js';

interface Overview {
  readonly health: Readonly<Record<string, unknown>>;
  readonly unstopped: {
    readonly senders: number;
    readonly blocked: number;
    readonly sentence: string | null;
    readonly items: readonly {
      readonly subject: { readonly value: string };
      readonly rule: string | null;
      readonly block: string | null;
    }[];
  };
  readonly held: {
    readonly blocks: number;
    readonly sentence: string | null;
    readonly items: readonly { readonly subject: { readonly value: string } }[];
  };
  readonly proposals: { readonly waiting: number; readonly oldestAt: string | null };
  readonly blocks: { readonly active: number };
  readonly refusals: readonly number[];
  readonly lastMailAt: string | null;
  readonly breaker: { readonly open: boolean; readonly sentence: string } | null;
  readonly busiest: readonly {
    readonly subject: { readonly value: string };
    readonly observed: number;
    readonly limit: number;
    readonly share: number;
    readonly blocked: boolean;
  }[];
}

describe('the overview', () => {
  let server: ApiServer;
  before(async () => {
    server = await ApiServer.start();
  });
  after(() => server.stop());

  const overview = async (role: Call['role'] = 'viewer'): Promise<Overview> => {
    const { status, json, text } = await server.get('/api/v1/overview', { role });
    assert.equal(status, 200, text);
    return json as unknown as Overview;
  };
  const refuse = async (account: string, block: string, count: number): Promise<void> => {
    const at = server.clock.now();
    const sender = { account, returnPath: account, ip: '192.0.2.1', direction: 'outbound' };
    const data = { ...sender, stage: 'rcpt', block, reply: '550', count, since: at };
    const event = { id: newId(), type: 'MessageRefused', at, by: 'smtp:test', data };
    const { position } = await server.deps.store.append(sendStream(account), [event], 'any');
    await server.deps.models.reached(position);
  };

  test('of a fresh server says that nothing waits, and that no mail was seen', async () => {
    const { proposals, blocks, refusals, lastMailAt, breaker, busiest } = await overview();
    assert.deepEqual(proposals, { waiting: 0, oldestAt: null, lapsing: 0 });
    assert.deepEqual([blocks.active, lastMailAt, busiest], [0, null, []]);
    assert.deepEqual([refusals.length, Math.max(...refusals)], [60, 0]);
    assert.equal(breaker!.open, false);
    assert.match(breaker!.sentence, /block by themselves: 0 of at most/);
  });

  test('tells how the process is, and of that nothing but its age to the administrator of a domain', async () => {
    const { health } = server;
    const before = { ...health };
    Object.assign(health, { relay: 'failing', readModels: 'behind', quarantine: 2, clockSkewSeconds: 61 });
    const own = { store: null, relay: null, redis: null, quarantine: null, clockSkewSeconds: null };
    assert.deepEqual((await overview('domain')).health, { readModels: 'behind', ...own });
    assert.deepEqual((await overview()).health, {
      readModels: 'behind',
      store: 'ok',
      relay: 'failing',
      redis: null,
      quarantine: 2,
      clockSkewSeconds: 61,
    });
    Object.assign(health, { relay: before.relay, readModels: before.readModels });
    delete health['quarantine'];
    delete health['clockSkewSeconds'];
  });

  test('counts what waits and is in force, and names who is closest to a limit first', async () => {
    const proposedAt = formatInstant(server.clock.now());
    await server.trip('waits@own.example');
    const { id } = await server.block('bad@own.example');
    await server.block('bad@foreign.example');
    await server.sent('little@own.example', 3);
    await server.sent('much@foreign.example', 60);
    server.clock.advance(2 * MINUTE);
    await refuse('bad@own.example', id, 4);
    const seen = await overview();
    assert.deepEqual([seen.proposals.waiting, seen.proposals.oldestAt], [1, proposedAt]);
    assert.equal(seen.blocks.active, 2);
    assert.equal(seen.refusals.at(-1), 4);
    assert.equal(seen.lastMailAt, formatInstant(server.clock.now()));
    const [first, second] = seen.busiest;
    assert.deepEqual(
      [first!.subject.value, second!.subject.value],
      ['much@foreign.example', 'little@own.example'],
    );
    assert.equal(first!.share, first!.observed / first!.limit);
  });

  test('shows the administrator of a domain that domain alone', async () => {
    const { id } = (await server.block('worse@foreign.example')) as unknown as { id: string };
    await refuse('worse@foreign.example', id, 100);
    const seen = await overview('domain');
    assert.deepEqual([seen.proposals.waiting, seen.blocks.active, seen.refusals.at(-1)], [1, 1, 4]);
    assert.deepEqual([seen.breaker, seen.lastMailAt], [null, null]);
    assert.deepEqual(
      seen.busiest.map(({ subject }) => subject.value),
      ['little@own.example'],
    );
  });

  test('calls no sender blocked of whom arriving mail alone is refused', async () => {
    const value = 'much@foreign.example';
    for (const [direction, isBlocked] of [
      ['inbound', false],
      ['all', true],
    ] as const) {
      await server.block(value, { direction });
      const { busiest } = await overview();
      assert.equal(busiest.find(({ subject }) => subject.value === value)?.blocked, isBlocked);
    }
  });

  test('counts no block whose time is over', async () => {
    server.clock.advance(HOUR + MINUTE);
    assert.equal((await overview()).blocks.active, 0);
  });

  test('still knows the refusals of the last hour after a restart', async () => {
    const { id } = (await server.block('again@own.example')) as unknown as { id: string };
    await refuse('again@own.example', id, 7);
    const before = await overview();
    await server.restart();
    const again = await overview();
    assert.deepEqual([again.refusals, again.lastMailAt], [before.refusals, before.lastMailAt]);
    assert.equal(again.refusals.at(-1), 7);
  });

  test('says since when a circuit breaker is open, and what that means', async () => {
    const { max } = server.deps.models.sendVolume.rules.maxAutomaticBlocks;
    for (let index = 0; index < max; index++) await server.trip(`mass${index}@foreign.example`, 'block');
    const { breaker } = (await server.get('/api/v1/overview')).json as unknown as {
      breaker: { open: boolean; name: string; since: string; until: string; sentence: string };
    };
    assert.deepEqual([breaker.open, breaker.name], [true, 'account by sends']);
    assert.equal(breaker.since, formatInstant(server.clock.now()));
    assert.ok(breaker.until > breaker.since);
    assert.match(breaker.sentence, /they only propose/);
  });
});

describe('mail that is on hold for blocks that have ended', () => {
  test('is told until somebody has decided on it, and to the administrator of a domain for accounts of theirs', async (t) => {
    const server = await ApiServer.start();
    t.after(() => server.stop());
    const told = async (role: Call['role'] = 'viewer'): Promise<readonly string[]> => {
      const { json } = await server.get('/api/v1/overview', { role });
      const { blocks, sentence, items } = (json as unknown as Overview).held;
      assert.equal(sentence === null, blocks === 0);
      return items.map(({ subject }) => subject.value);
    };
    const held = async (value: string, type = 'account'): Promise<string> => {
      const { id } = (await server.block(value, { subject: { type, value } })) as { id: string };
      await server.held(id, type === 'account' ? value : `ann@${value}`, 2);
      return id;
    };
    const bad = await held('bad@own.example');
    const domain = await held('own.example', 'domain');
    const foreign = await held('bad@foreign.example');
    assert.deepEqual(await told(), [], 'blocks in force are looked at anyway');
    for (const id of [bad, domain, foreign])
      assert.equal((await server.post(`/api/v1/blocks/${id}/release`)).status, 200);
    assert.deepEqual(await told(), ['bad@own.example', 'own.example', 'bad@foreign.example']);
    assert.deepEqual(await told('domain'), ['bad@own.example']);
    await server.post(`/api/v1/blocks/${bad}/held`, { action: 'release' });
    assert.deepEqual(await told(), ['own.example', 'bad@foreign.example']);
    assert.deepEqual(await told('domain'), []);
  });
});

describe('senders over a limit that nothing stops', () => {
  let server: ApiServer;
  before(async () => {
    server = await ApiServer.start();
  });
  after(() => server.stop());

  const overview = async (role: Call['role'] = 'viewer'): Promise<Overview> =>
    (await server.get('/api/v1/overview', { role })).json as unknown as Overview;
  const names = async (role?: Call['role']): Promise<readonly string[]> =>
    (await overview(role)).unstopped.items.map(({ subject }) => subject.value);
  const checked = async (account: string): Promise<string> =>
    (await server.get(`/api/v1/check?account=${account}`)).json.sentence;

  /** The evidence of a rule that has just tripped. */
  const tripped = async (): Promise<Evidence> => {
    const last = (await server.deps.store.head()) + 1;
    return {
      rule: 'burst',
      version: 2,
      count: 'recipients',
      window: 10 * MINUTE,
      limit: 100,
      observed: 101,
      firstPosition: last,
      lastPosition: last,
      lastAt: server.clock.now(),
      sentence: 'Too many.',
    };
  };

  test('are named while no detector acts, once it has had its time, and nothing says that rules block', async () => {
    await server.sent('flood@own.example', 120);
    await server.sent('flood@foreign.example', 120);
    await server.sent('little@own.example', 5);
    assert.deepEqual((await overview()).unstopped, { senders: 0, blocked: 0, sentence: null, items: [] });
    server.clock.advance(11 * SECOND);
    const { unstopped, breaker } = await overview();
    assert.equal(unstopped.senders, 2);
    assert.match(
      unstopped.sentence!,
      /^2 senders are over a limit, and nothing stops them: no detector seems to run: see that the process with the role detector runs/,
    );
    assert.deepEqual(
      unstopped.items.map(({ subject, rule }) => [subject.value, rule]),
      [
        ['flood@own.example', 'burst'],
        ['flood@foreign.example', 'burst'],
      ],
    );
    assert.match(breaker!.sentence, /^Rules would block by themselves, and no detector seems to run/);
    assert.deepEqual(await names('domain'), ['flood@own.example']);
    assert.match(
      await checked('flood@own.example'),
      /Rule burst tripped on account flood@own\.example at .*, and nothing has followed: no detector/,
    );
    assert.doesNotMatch(await checked('little@own.example'), /nothing has followed/);
  });

  test('are none where they are blocked, or exempt, or a person has let them go since', async () => {
    const { id } = await server.block('flood@foreign.example');
    assert.deepEqual(await names(), ['flood@own.example']);
    await server.post(`/api/v1/blocks/${id}/release`);
    assert.deepEqual(await names(), ['flood@own.example']);
    const subject = { type: 'account', value: 'flood@own.example' };
    await server.post('/api/v1/exemptions', { subject, reason: 'known', duration: '1h' });
    const { unstopped, breaker } = await overview();
    assert.equal(unstopped.senders, 0);
    assert.match(breaker!.sentence, /^Rules block by themselves/);
  });

  test('are none while a proposal waits on them', async () => {
    await server.sent('proposed@own.example', 120);
    server.clock.advance(11 * SECOND);
    assert.deepEqual(await names(), ['proposed@own.example']);
    await server.trip('proposed@own.example');
    assert.deepEqual(await names(), []);
  });

  test('are named where a rule would propose, and their block is of mail of the other direction', async () => {
    const subject = { type: 'account', value: 'other@own.example' } as const;
    const id = newId();
    // An earlier version took such a block of an account. The API refuses it.
    const earlier = { kind: 'impose', subject, direction: 'inbound', duration: DAY, newId: id } as const;
    const { position } = await server.deps.blockCommands.execute(subject, earlier, { by: 'admin:earlier' });
    await server.deps.models.reached(position);
    await server.trip('other@own.example', 'propose', 'burst', { observed: 500 });
    const { unstopped } = await overview();
    assert.deepEqual(
      unstopped.items.map(({ subject, rule }) => [subject.value, rule]),
      [['other@own.example', 'burst']],
    );
    assert.match(unstopped.sentence!, /: a block is of mail of the other direction only\.$/);
    const tripped = await server.get('/api/v1/rules/observed');
    assert.match(tripped.text, /"rule":"burst","action":"propose","subject":\{[^}]*"other@own\.example"/);
    const again = { subject, duration: '1h' };
    const { status, text } = await server.post('/api/v1/blocks', again);
    assert.equal(status, 409);
    assert.match(text, /and refuses inbound mail only: nothing was changed/);
    await server.post(`/api/v1/blocks/${id}/release`);
    assert.deepEqual(await names(), []);
  });

  test('are named where they are blocked and their mail goes past the block, until a day after', async () => {
    const { id } = await server.block('past@own.example', { indefinite: true });
    server.clock.advance(SECOND);
    await server.sent('past@own.example', 60);
    assert.deepEqual(await names(), [], 'it was under way');
    server.clock.advance(28 * MINUTE);
    await server.sent('past@own.example', 60);
    const { unstopped } = await overview();
    assert.deepEqual([unstopped.senders, unstopped.blocked], [1, 1]);
    assert.equal(
      unstopped.sentence,
      '1 sender is blocked, and its mail has gone past the block within a day: Stopgap was not running or not reachable then, was not asked about that mail, or was not heard: see docs/run/mail-servers.md#mail-that-goes-past-a-block.',
    );
    assert.deepEqual(
      unstopped.items.map(({ subject, rule, block }) => [subject.value, rule, block]),
      [['past@own.example', null, id]],
    );
    await server.restart();
    assert.deepEqual(await names('domain'), ['past@own.example'], 'the events alone say so');
    server.clock.advance(DAY);
    assert.deepEqual(await names(), []);
    await server.sent('past@own.example', 1);
    assert.deepEqual(await names(), ['past@own.example']);
    await server.post(`/api/v1/blocks/${id}/release`);
    assert.deepEqual(await names(), []);
  });

  test('are named where a mail server reports what it sent past a block, and not for what it reports late', async () => {
    const account = 'uid-33@mx.own.example';
    const report = async (id: string, at: number): Promise<void> => {
      const who = { account, returnPath: 'www@own.example', direction: 'outbound' };
      const item = { type: 'accepted', id, at: formatInstant(at), ...who, recipients: 1 };
      const reply = await server.post('/api/v1/sends', [item], { role: 'server' });
      assert.match(reply.text, /"recorded":1/);
      await server.deps.models.reached(await server.deps.store.head());
    };
    const began = server.clock.now();
    const { id } = await server.block(account, { refusal: 'hold' });
    server.clock.advance(28 * MINUTE);
    await report('late', began - SECOND);
    await report('under way', began + 30 * SECOND);
    assert.deepEqual(await names(), []);
    await report('past', began + 27 * MINUTE);
    assert.deepEqual(await names(), [account]);
    assert.match(await checked(account), /Postfix asks nobody .* But 1 message has gone past this block/);
    await server.post(`/api/v1/blocks/${id}/release`);
  });

  test('are named while rules only observe, with that reason, until their window is over', async () => {
    const { source } = (await server.get('/api/v1/rules')).json as unknown as { source: string };
    const observing = source.replace('mode: enforce', 'mode: observe');
    const put = await server.call('PUT', '/api/v1/rules', { body: { source: observing } });
    assert.equal(put.status, 200, put.text);
    await server.deps.models.reached(await server.deps.store.head());
    await server.sent('seen@own.example', 120);
    const { unstopped } = await overview();
    assert.deepEqual(
      unstopped.items.map(({ subject }) => subject.value),
      ['seen@own.example'],
    );
    assert.equal(
      unstopped.sentence,
      '1 sender is over a limit, and nothing stops it: rules only observe now (mode: observe).',
    );
    const override = '/api/v1/overrides/account/seen@own.example';
    await server.call('PUT', override, { body: { limits: { burst: 120 } } });
    server.clock.advance(SECOND);
    assert.deepEqual(await names(), [], 'that much is allowed now');
    await server.call('DELETE', override);
    server.clock.advance(SECOND);
    assert.deepEqual(await names(), ['seen@own.example']);
    server.clock.advance(11 * MINUTE);
    assert.deepEqual(await names(), []);
  });

  test('are known too by what a detector has recorded that only observes', async () => {
    const subject = { type: 'account', value: 'recorded@own.example' } as const;
    const evidence = await tripped();
    for (const [value, action] of [
      ['recorded@own.example', 'block'],
      ['noted@own.example', 'observe'],
    ] as const) {
      const command = { kind: 'observe', subject: { ...subject, value }, action, evidence } as const;
      const { position } = await server.deps.blockCommands.execute(command.subject, command, {
        by: 'rule:burst@2',
      });
      await server.deps.models.reached(position);
    }
    assert.deepEqual(await names(), ['recorded@own.example']);
  });

  test('name accounts first, whatever networks strangers make trip after them', async () => {
    for (let n = 0; n < 12; n++) {
      const subject = { type: 'ip', value: `203.0.113.${n + 1}` } as const;
      const evidence = await tripped();
      const command = { kind: 'observe', subject, action: 'block', evidence } as const;
      const { position } = await server.deps.blockCommands.execute(subject, command, { by: 'rule:burst@2' });
      await server.deps.models.reached(position);
    }
    const { unstopped } = await overview();
    assert.equal(unstopped.senders, 13);
    const values = unstopped.items.map(({ subject }) => subject.value);
    assert.deepEqual([values[0], values[1], values.length], ['recorded@own.example', '203.0.113.12', 10]);
  });
});
