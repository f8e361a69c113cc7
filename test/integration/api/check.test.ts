import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { newId } from '../../../src/runtime/ids.js';
import { HOUR, MINUTE, SECOND, formatInstant } from '../../../src/kernel/time.js';
import { sendStream } from '../../../src/sending/events.js';
import type { AccountState } from '../../../src/api/dependencies.js';
import type { FailedLogins } from '../../../src/accounts/users.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import { ApiServer } from '../../support/api/server.js';
import { changed } from '../../support/store/changed.js';

describe('checks over HTTP', () => {
  let server: ApiServer;
  before(async () => {
    server = await ApiServer.start();
  });
  after(() => server.stop());

  const check = async (query: string) => {
    const reply = await server.get(`/api/v1/check?${query}`, { role: 'viewer' });
    assert.equal(reply.status, 200, reply.text);
    return reply.json;
  };

  /** A refusal as the listener records it. */
  async function refused(account: string, block: string, more: object): Promise<void> {
    const now = server.clock.now();
    const data = { account, direction: 'outbound', stage: 'auth', block, reply: '535 5.7.8 no', ...more };
    const event = {
      id: newId(),
      type: 'MessageRefused',
      at: now,
      by: 'smtp:test',
      data: { count: 1, since: now, ...data },
    };
    await server.deps.store.append(sendStream(account), [event], 'any');
  }

  test('of a blocked sender says how much mail has gone past the block, since when it is in force, and what to look at', async () => {
    const { since } = await server.block('goes-past@example.com');
    server.clock.advance(SECOND);
    await server.sent('goes-past@example.com', 1);
    assert.doesNotMatch((await check('account=goes-past@example.com')).sentence, /gone past/);
    server.clock.advance(28 * MINUTE);
    await server.sent('goes-past@example.com', 1);
    await server.sent('goes-past@example.com', 1);
    const { sentence } = await check('account=goes-past@example.com');
    const last = formatInstant(server.clock.now());
    assert.ok(
      sentence.includes(
        `But 2 messages have gone past this block, though it has been in force since ${String(since)}, the last at ${last}: Stopgap was not running or not reachable then, was not asked about that mail, or was not heard: see docs/run/mail-servers.md#mail-that-goes-past-a-block.`,
      ),
      sentence,
    );
  });

  test('of a blocked user of the mail server itself says that Postfix asks nobody about its mail', async () => {
    await server.block('uid-33@mx', { refusal: 'hold' });
    const { refused: isRefused, auth, rcpt, sentence } = await check('account=uid-33@mx');
    assert.deepEqual([isRefused, rcpt.outcome, rcpt.reply], [true, 'not asked', null]);
    assert.deepEqual([auth.outcome, auth.reply], ['not asked', null], 'a local program has no login');
    assert.match(sentence, /Postfix asks nobody about such mail and sends it on: without a hook/);
    assert.doesNotMatch(sentence, /takes its mail and holds it|takes the mail and holds it/);
    const { id } = await server.block('uid-34@mx');
    await refused('uid-34@mx', id, { stage: 'rcpt', reply: '451 4.3.2 no' });
    const asked = await check('account=uid-34@mx');
    assert.equal(asked.rcpt.outcome, 'refused', 'an Exim asks about it');
    assert.doesNotMatch(asked.sentence, /asks nobody/);
  });

  test('of an account that the users file has says what its mail program hears, though it is called as a user of a mail server', async () => {
    const other = await ApiServer.start((deps) => ({
      ...deps,
      accountState: (account) => (account === 'uid-33@example.com' ? 'active' : 'unknown'),
    }));
    try {
      const ask = async (query: string) => (await other.get(`/api/v1/check?${query}`)).json;
      assert.equal((await ask('account=uid-33@example.com')).auth.outcome, 'passes');
      await other.block('uid-33@example.com');
      const { auth, rcpt, sentence } = await ask('account=uid-33@example.com');
      assert.deepEqual([auth.outcome, rcpt.outcome], ['refused', 'refused']);
      assert.doesNotMatch(sentence, /own machine|authorized_submit_users/);
      await other.block('uid-33@mx');
      const local = await ask('account=uid-33@mx');
      assert.deepEqual([local.auth.outcome, local.rcpt.outcome], ['not asked', 'not asked']);
    } finally {
      await other.stop();
    }
  });

  test('a check of an account alone finds the block on the EHLO name or network that it came from', async () => {
    const ehlo = await server.block('', { subject: { type: 'ehlo', value: 'pc-17.example' } });
    const ip = await server.block('', { subject: { type: 'ip', value: '198.51.100.0/24' } });
    await refused('clerk@example.com', ehlo.id, { ehlo: 'PC-17.example', ip: '192.0.2.9' });
    await refused('boss@example.com', ip.id, { ehlo: 'laptop.example', ip: '198.51.100.4' });
    const clerk = await check('account=clerk@example.com');
    assert.equal(clerk.refused, true);
    assert.deepEqual([clerk.auth.outcome, clerk.auth.block], ['refused', ehlo.id]);
    assert.match(
      clerk.sentence,
      /^This sender is refused: EHLO name pc-17\.example is blocked .* At 2026-\S+ it came from 192\.0\.2\.9 as PC-17\.example\.$/,
    );
    assert.equal((await check('account=boss@example.com')).auth.block, ip.id);
    const elsewhere = await check('account=clerk@example.com&ehlo=phone.example&ip=192.0.2.9');
    assert.equal(elsewhere.refused, false, 'it is asked about another EHLO name');
    assert.equal(elsewhere.refusals.length, 1);

    await server.post(`/api/v1/blocks/${ehlo.id}/release`, {});
    const letGo = await check('account=clerk@example.com');
    assert.equal(letGo.refused, false);
    assert.equal(letGo.refusals[0].block, ehlo.id, 'what happened stays in the list');
    const since = server.clock.now();
    server.clock.advance(10 * SECOND);
    await refused('clerk@example.com', ehlo.id, { since });
    const [single] = (await check('account=clerk@example.com')).refusals;
    assert.equal(single.at, formatInstant(since), 'when it was, not when it was recorded');
  });

  test('a check of a past instant finds the refusal of then, however much the account has sent since', async () => {
    const network = await server.block('', { subject: { type: 'ip', value: '203.0.113.0/28' } });
    await server.sent('busy@example.com', 1);
    server.clock.advance(HOUR / 2);
    await refused('busy@example.com', network.id, { ehlo: 'pc.example', ip: '203.0.113.4' });
    server.clock.advance(SECOND);
    const then = formatInstant(server.clock.now());
    server.clock.advance(SECOND);
    await server.post(`/api/v1/blocks/${network.id}/release`, {});
    for (let hour = 0; hour < 11; hour++) {
      server.clock.advance(HOUR);
      for (let message = 0; message < 20; message++) await server.sent('busy@example.com', 1);
    }
    const past = await check(`account=busy@example.com&at=${then}`);
    assert.deepEqual([past.refused, past.auth.block], [true, network.id]);
    assert.match(past.sentence, /^This sender was refused: network 203\.0\.113\.0\/28 was blocked/);
    const before = formatInstant(Date.parse(then) - 20 * MINUTE);
    assert.deepEqual((await check(`account=busy@example.com&at=${before}`)).refusals, []);
    const now = await check('account=busy@example.com');
    assert.equal(now.refused, false);
  });

  test('a check names the proposals that wait and cover the sender', async () => {
    const idsOf = async (query: string) =>
      (await check(query)).proposals?.map((proposal: { id: string }) => proposal.id) ?? null;
    const id = await server.trip('waits@example.com');
    assert.deepEqual(await idsOf('account=waits@example.com'), [id]);
    assert.equal((await check('account=waits@example.com')).refused, false);
    assert.deepEqual(await idsOf('account=waits@example.com&direction=inbound'), []);
    assert.deepEqual(await idsOf('account=another@example.com'), []);
    server.clock.advance(SECOND);
    const past = formatInstant(server.clock.now() - 1);
    assert.equal(await idsOf(`account=waits@example.com&at=${past}`), null);
    await server.post(`/api/v1/blocks/${id}/dismiss`, {});
    assert.deepEqual(await idsOf('account=waits@example.com'), []);
    const lapses = await server.trip('lapses@example.com');
    assert.deepEqual(await idsOf('account=lapses@example.com'), [lapses]);
    server.clock.advance(24 * HOUR);
    assert.deepEqual(await idsOf('account=lapses@example.com'), []);
  });

  test('a check says that there is no such account, or that it is disabled', async () => {
    const states: Record<string, AccountState> = {
      'here@example.com': 'active',
      'off@example.com': 'disabled',
    };
    const other = await ApiServer.start((deps) => ({
      ...deps,
      accountState: (account) => states[account] ?? 'unknown',
    }));
    try {
      const ask = async (query: string) => (await other.get(`/api/v1/check?${query}`)).json;
      const nobody = await ask('account=Nobody@example.com');
      assert.match(
        nobody.sentence,
        /^There is no such account: nobody@example\.com is not in the users file/,
      );
      assert.deepEqual(
        [nobody.refused, nobody.auth.outcome, nobody.rcpt.outcome],
        [true, 'refused', 'not asked'],
      );
      assert.match(nobody.auth.reply, /^535 /);
      assert.match(
        (await ask('account=off@example.com')).sentence,
        /^The account off@example\.com is disabled/,
      );
      assert.equal((await ask('account=here@example.com')).refused, false);
      assert.equal((await ask('account=nobody@example.com&direction=inbound')).refused, false);
    } finally {
      await other.stop();
    }
  });

  test('a check says where it is not known whether there is such an account', async () => {
    const ask = async (query: string) => (await server.get(`/api/v1/check?${query}`)).json;
    const unknown =
      /not refused.* Whether there is such an account, whether its password is right and which return paths it may use is not known here: this process has no users file/;
    const outbound = await ask('account=whoknows@example.com');
    assert.match(outbound.sentence, unknown);
    assert.doesNotMatch((await ask('account=whoknows@example.com&direction=inbound')).sentence, unknown);
    assert.doesNotMatch((await ask('ip=192.0.2.1')).sentence, unknown);
  });

  test('a check says where it is not known whether the upstream mail server answers', async () => {
    const silent =
      /Whether the mail server behind answers is not known here: .* \/healthz of the SMTP nodes has/;
    for (const query of [
      'account=whoknows@example.com',
      'account=whoknows@example.com&direction=inbound',
      'returnPath=x@arrives.example&direction=inbound',
      'ip=192.0.2.1',
    ])
      assert.match((await check(query)).sentence, silent, query);
    const past = formatInstant(server.clock.now() - 1);
    assert.doesNotMatch((await check(`ip=192.0.2.1&at=${past}`)).sentence, silent);
    await server.block('stopped@example.com');
    const { sentence } = await check('account=stopped@example.com');
    assert.doesNotMatch(sentence, silent, 'the block is the answer');
    const node = await ApiServer.start((deps) => ({
      ...deps,
      accountState: () => 'active',
      upstreamState: () => 'ok',
    }));
    try {
      const { json } = await node.get('/api/v1/check?account=a@example.com');
      assert.doesNotMatch(json.sentence, /not known/);
    } finally {
      await node.stop();
    }
  });

  test('a check says that logins fail with a wrong password, although no block covers the sender', async () => {
    const [since, at] = [Date.parse('2026-06-01T12:00:00Z'), Date.parse('2026-06-01T12:30:00Z')];
    const counted = (failed: number, putOff = 0) => ({
      failed: { count: failed, at, network: '192.0.2.7' },
      putOff: putOff === 0 ? undefined : { count: putOff, at, network: '192.0.2.8' },
    });
    const failures: Record<string, FailedLogins> = {
      'once@example.com': { ...counted(1), since: at, isKnown: true, wasNone: false },
      'often@example.com': { ...counted(33, 4), since, isKnown: true, wasNone: false },
      'new@example.com': { ...counted(1), since: at, isKnown: false, wasNone: false },
      'added@example.com': { ...counted(1), since: at, isKnown: false, wasNone: true },
    };
    const other = await ApiServer.start((deps) => ({
      ...deps,
      accountState: () => 'active',
      failedLogins: (account) => failures[account],
    }));
    try {
      const ask = async (query: string) => (await other.get(`/api/v1/check?${query}`)).json;
      const once = await ask('account=Once@example.com');
      assert.equal(once.refused, false);
      assert.equal(
        once.sentence,
        'This sender is not refused: no block in force covers it. 1 login of it failed with a wrong password, at 2026-06-01T12:30:00.000Z from 192.0.2.7.',
      );
      const often = await ask('account=often@example.com');
      assert.match(
        often.sentence,
        / 33 logins of it failed with a wrong password, the last at 2026-06-01T12:30:00\.000Z from 192\.0\.2\.7, and 4 logins of it got 454, since too many from that network had failed, the last at 2026-06-01T12:30:00\.000Z from 192\.0\.2\.8; the first at 2026-06-01T12:00:00\.000Z\.$/,
      );
      assert.deepEqual(often.failedLogins, {
        failed: 33,
        putOff: 4,
        network: '192.0.2.8',
        since: '2026-06-01T12:00:00.000Z',
        at: '2026-06-01T12:30:00.000Z',
      });
      // With another back end nobody knows the account before its first login.
      const fresh = await ask('account=new@example.com');
      assert.match(
        fresh.sentence,
        / 1 login of it failed with a wrong password, or since there is no such account, at /,
      );
      const added = await ask('account=added@example.com');
      assert.match(added.sentence, /, or since there was no such account then, or it was disabled, at /);
      assert.equal((await ask('account=fine@example.com')).failedLogins, null);
      // Somebody who asks about the time that a customer named must not hear that nothing was wrong.
      other.clock.advance(at + HOUR - other.clock.now());
      const then = await ask('account=often@example.com&at=2026-06-01T12:10:00Z');
      assert.equal((then.failedLogins as FailedLogins | null)?.failed, 33);
      assert.match(
        then.sentence,
        /^This sender was not refused.* 33 logins of it failed with a wrong password/,
      );
      const earlier = await ask('account=often@example.com&at=2026-06-01T10:59:00Z');
      assert.equal(earlier.failedLogins, null, 'more than an hour before the first');
      assert.match(
        earlier.sentence,
        / Of that time blocks alone are known here: not whether its password was right, /,
      );
    } finally {
      await other.stop();
    }
  });

  test('a check says that an account may not use the return path, which is refused before any block', async () => {
    const other = await ApiServer.start((deps) => ({
      ...deps,
      accountState: () => 'active',
      maySend: (account, returnPath) => account === returnPath,
    }));
    try {
      const ask = async (query: string) => (await other.get(`/api/v1/check?${query}`)).json;
      const foreign = await ask('account=a@example.com&returnPath=boss@example.com');
      assert.deepEqual(
        [foreign.refused, foreign.auth.outcome, foreign.mail.outcome, foreign.rcpt.outcome],
        [true, 'passes', 'refused', 'not asked'],
      );
      assert.match(foreign.mail.reply, /^553 5\.7\.1 /);
      assert.equal(
        foreign.sentence,
        'The account a@example.com may not use the return path boss@example.com (smtp.senders): MAIL FROM is refused.',
      );
      const own = await ask('account=a@example.com&returnPath=A@example.com');
      assert.deepEqual([own.refused, own.mail.outcome, own.rcpt.outcome], [false, 'passes', 'passes']);
      for (const query of [
        'account=a@example.com',
        'account=a@example.com&returnPath=',
        'returnPath=b@c.example',
      ])
        assert.equal((await ask(query)).mail.outcome, 'not asked', query);
    } finally {
      await other.stop();
    }
  });

  test('a check tells what the upstream mail server has refused of an account within a day', async () => {
    const other = await ApiServer.start((deps) => ({ ...deps, accountState: () => 'active' }));
    try {
      const account = 'lists@example.com';
      const refusedBehind = async (count: number, code: number): Promise<void> => {
        const { store, clock } = other.deps;
        const data = { account, direction: 'outbound', transaction: newId(), count, code, entitled: true };
        const event = { id: newId(), type: 'RecipientsRefused', at: clock.now(), by: 'smtp:test', data };
        await store.append(sendStream(account), [event], 'any');
      };
      const ask = async (more = '') => (await other.get(`/api/v1/check?account=${account}${more}`)).json;
      await refusedBehind(40, 550);
      other.clock.advance(25 * HOUR);
      assert.equal((await ask()).behind, null, 'it was too long ago');
      await refusedBehind(2, 450);
      other.clock.advance(MINUTE);
      const last = formatInstant(other.clock.now());
      await refusedBehind(1, 550);
      const told = await ask();
      assert.deepEqual(told.behind, { count: 3, code: 550, at: last });
      assert.equal(
        told.sentence,
        `This sender is not refused: no block in force covers it. The mail server behind has refused 3 recipients of it within a day, the last at ${last} with 550.`,
      );
      assert.equal((await ask('&direction=inbound')).behind, null);
    } finally {
      await other.stop();
    }
  });

  test('a check says which circuit breaker is open, for as long as it is', async () => {
    const other = await ApiServer.start();
    try {
      const source = `version: 1\nmaxAutomaticBlocks: 2 in 10m\nrules: []\n`;
      assert.equal((await other.call('PUT', '/api/v1/rules', { body: { source } })).status, 200);
      const ask = async () => (await other.get('/api/v1/check?account=a@example.com')).json.sentence;
      await other.trip('one@example.com', 'block');
      assert.doesNotMatch(await ask(), /circuit breaker/);
      await other.trip('two@example.com', 'block');
      assert.match(
        await ask(),
        / The circuit breaker "account by sends" is open: such blocks are only proposed below five times the limit\.$/,
      );
      other.clock.advance(10 * MINUTE);
      assert.doesNotMatch(await ask(), /circuit breaker/);
    } finally {
      await other.stop();
    }
  });

  test('a check says that rules only observe, for any count', async () => {
    const other = await ApiServer.start();
    try {
      const put = (mode: string) =>
        other.call('PUT', '/api/v1/rules', { body: { source: `version: 1\nmode: ${mode}\nrules: []\n` } });
      const ask = async (more = '') =>
        (await other.get(`/api/v1/check?account=a@example.com${more}`)).json.sentence;
      const before = formatInstant(other.clock.now());
      other.clock.advance(MINUTE);
      assert.equal((await put('observe')).status, 200);
      assert.match(
        await ask(),
        / Rules only observe now \(mode: observe\): none of them blocks or proposes\.$/,
      );
      assert.doesNotMatch(await ask(`&at=${before}`), /observe/);
      await put('enforce');
      assert.doesNotMatch(await ask(), /observe/);
    } finally {
      await other.stop();
    }
  });

  test('a check tells who is put off while the upstream mail server does not answer, or not every message, or the store is away', async () => {
    let upstream: 'ok' | 'failing' | 'unanswered' = 'ok';
    const other = await ApiServer.start((deps) => ({
      ...deps,
      accountState: () => 'active',
      upstreamState: (direction) => (direction === 'outbound' ? upstream : 'ok'),
    }));
    try {
      const ask = async (more = '') =>
        (await other.get(`/api/v1/check?account=a@example.com${more}`)).json.sentence;
      const well = await ask();
      assert.equal(well, 'This sender is not refused: no block in force covers it.');
      Object.assign(other.health, { store: 'failing' });
      upstream = 'failing';
      assert.equal(
        await ask(),
        `${well} The mail server behind does not answer now: until it does, mail of everybody is put off (451). The store takes no events now: until it does, messages of everybody are put off (451).`,
      );
      assert.doesNotMatch(await ask(`&at=${formatInstant(other.clock.now() - 1)}`), /put off/);
      const arriving = await ask('&direction=inbound');
      assert.match(arriving, /The store takes no events now/);
      assert.doesNotMatch(arriving, /The mail server behind/, 'another one takes what arrives');
      upstream = 'unanswered';
      assert.match(
        await ask(),
        / answers, but not to every message that it is sent: such a message is put off/,
      );
      assert.doesNotMatch(await ask(), /mail of everybody/);
    } finally {
      await other.stop();
    }
  });

  test('a check tells that SMTP nodes with an outbox go on taking mail while the store is away', async () => {
    const other = await ApiServer.start((deps) => ({ ...deps, hasOutboxes: true }));
    try {
      Object.assign(other.health, { store: 'failing' });
      const { sentence } = (await other.get('/api/v1/check?account=a@example.com')).json;
      assert.match(sentence, / SMTP nodes go on taking mail as long as their outboxes have room, /);
      assert.doesNotMatch(sentence, /put off/);
    } finally {
      await other.stop();
    }
  });

  test('a check tells what becomes of a login where a mail server asks, by what is known of Dovecot', async () => {
    for (const [isAsked, expected] of [
      [
        true,
        / its login fails as with a wrong password where Dovecot, stopgap sasl-proxy or a mail server .* asks too, and passes elsewhere, and the/,
      ],
      [
        false,
        / its login passes, since no Dovecot asks, unless a mail server .*\(decide\) asks too, and the client hears "451 /,
      ],
      [undefined, / its login passes, unless Dovecot, stopgap sasl-proxy or a mail server .* asks too, and /],
    ] as const) {
      const other = await ApiServer.start((deps) => ({
        ...deps,
        hasOutboxes: true,
        asksBesides: '451',
        dovecotAsks: () => isAsked,
      }));
      try {
        await other.block('asked@example.com', { refusal: 'soft' });
        const { sentence } = (await other.get('/api/v1/check?account=asked@example.com')).json;
        assert.match(sentence, expected);
      } finally {
        await other.stop();
      }
    }
  });

  test('a check tells what a mail server that asks does, where SMTP nodes answer otherwise', async () => {
    for (const [asksBesides, refusal, expected] of [
      [
        '451',
        'soft',
        /Where a mail server asks Stopgap its login passes, unless .* the client hears "451 4\.3\.2 /,
      ],
      ['450', 'soft', / the client hears "450 4\.3\.2 /],
      [
        'hold',
        'soft',
        / A mail server that asks takes the mail and holds it, or refuses what it cannot hold; at a listener of Stopgap /,
      ],
      [
        '451',
        'hold',
        / A mail server that asks takes the mail and holds it, or refuses what it cannot hold; at a listener of Stopgap /,
      ],
    ] as const) {
      const other = await ApiServer.start((deps) => ({ ...deps, hasOutboxes: true, asksBesides }));
      try {
        await other.block('asked@example.com', { refusal });
        const { sentence } = (await other.get('/api/v1/check?account=asked@example.com')).json;
        assert.match(sentence, expected, `${asksBesides} ${refusal}`);
        const { sentence: arriving } = (
          await other.get('/api/v1/check?returnPath=asked@example.com&direction=inbound')
        ).json;
        assert.doesNotMatch(arriving, /its login passes/);
      } finally {
        await other.stop();
      }
    }
    await server.block('nobody-asks@example.com');
    assert.doesNotMatch((await check('account=nobody-asks@example.com')).sentence, /mail server/);
  });

  test('the reason that an administrator gave ends like a sentence', async () => {
    await server.block('reason@example.com', { description: 'phished' });
    assert.match((await check('account=reason@example.com')).sentence, / The reason given: phished\.$/);
  });

  test('a check answers from memory while the store cannot be read', async () => {
    const other = await ApiServer.start((deps) => ({
      ...deps,
      store: changed(deps.store, {
        // eslint-disable-next-line require-yield -- it fails before it has anything to give
        async *readStream() {
          throw new StoreUnavailable('away');
        },
      }),
    }));
    try {
      const { json } = await other.get('/api/v1/check?account=a@example.com');
      assert.deepEqual([json.refused, json.refusals], [false, null]);
    } finally {
      await other.stop();
    }
  });

  test('a check names at least one identity, each in its form', async () => {
    for (const [query, field] of [
      ['', 'account'],
      ['direction=outbound', 'account'],
      ['ip=192.0.2.0/24', 'ip'],
      ['ip=nine', 'ip'],
      ['returnPath=a%0Ab', 'returnPath'],
      ['account=%20', 'account'],
      ['account=a@example.com&at=2999-01-01', 'at'],
      ['account=a@example.com&direction=all', 'direction'],
      ['user=a', 'user'],
    ] as const) {
      const reply = await server.get(`/api/v1/check?${query}`);
      assert.equal(reply.status, 400, query);
      assert.equal(reply.json.errors[0].field, field, query);
    }
    assert.equal((await check('returnPath=')).refused, false);
  });

  test('a check of a sender that no block covers says that it passes', async () => {
    const verdict = await check('account=fine@example.com&ip=192.0.2.1&ehlo=laptop.example');
    assert.equal(verdict.refused, false);
    assert.match(verdict.sentence, /^This sender is not refused: no block in force covers it\. /);
    assert.deepEqual(verdict.auth, { outcome: 'passes', block: null, reply: null });
    assert.deepEqual(verdict.matching, []);
    assert.ok(verdict.windows.some(({ rule }) => rule === 'guessing'));
  });

  for (const [refusal, auth, rcpt] of [
    ['soft', /^535 5\.7\.8 /, /^451 4\.3\.2 /],
    ['defer', /^454 4\.7\.0 /, /^451 4\.3\.2 /],
    ['hold', /^535 5\.7\.8 /, /^451 4\.3\.2 /],
    ['honest', undefined, /^550 5\.7\.1 .*postmaster@example\.com$/],
  ] as const) {
    test(`what the client sees: ${refusal}`, async () => {
      const block = await server.block(`${refusal}@example.com`, { refusal });
      const verdict = await check(`account=${refusal}@example.com`);
      assert.equal(verdict.refused, true);
      assert.equal(verdict.block.id, block.id);
      if (auth === undefined) assert.equal(verdict.auth.outcome, 'passes');
      else assert.match(verdict.auth.reply, auth);
      assert.match(verdict.rcpt.reply, rcpt);
    });
  }

  test('a return path is judged at RCPT, the login as its own address at AUTH', async () => {
    const body = { subject: { type: 'address', value: '*@shared.example' }, indefinite: true };
    const { json: block } = await server.post('/api/v1/blocks', body);
    const foreign = await check('account=me@example.com&returnPath=bulk@shared.example');
    assert.equal(foreign.auth.outcome, 'passes');
    assert.deepEqual([foreign.rcpt.outcome, foreign.rcpt.block], ['refused', block.id]);
    assert.match(
      foreign.sentence,
      /return path \*@shared\.example is blocked by an administrator until it is released/,
    );
    const own = await check('account=bulk@shared.example');
    assert.equal(own.auth.block, block.id);
    const inbound = await check('account=bulk@shared.example&direction=inbound');
    assert.equal(inbound.auth.outcome, 'not asked');
    assert.equal(inbound.refused, false);
  });

  test('a check of an account alone tells of a block on its own address that lets it log in', async () => {
    for (const value of ['teacher@honest.example', '*@honest.example']) {
      const subject = { type: 'address', value };
      const block = await server.block('', { subject, refusal: 'honest' });
      const told = await check('account=teacher@honest.example');
      assert.deepEqual([told.refused, told.block?.id], [true, block.id]);
      assert.deepEqual([told.auth.outcome, told.rcpt.outcome], ['passes', 'refused']);
      assert.match(told.rcpt.reply, /^550 5\.7\.1 /);
      assert.match(told.sentence, /^This sender is refused: return path \S+@honest\.example is blocked /);
      const other = await check('account=teacher@honest.example&returnPath=x@elsewhere.example');
      assert.equal(other.refused, false, 'it is asked about another return path');
      assert.equal((await check('account=teacher@honest.example&direction=inbound')).refused, false);
      await server.post(`/api/v1/blocks/${block.id}/release`, {});
    }
  });

  test('a check that finds no block of its direction tells of one of the other', async () => {
    const subject = { type: 'domain', value: 'arriving.example' };
    const block = await server.block('', { subject, direction: 'inbound', description: 'spam' });
    const from = 'returnPath=x@sub.arriving.example';
    const submits = await check(from);
    assert.deepEqual([submits.refused, submits.block, submits.matching], [false, null, []]);
    assert.match(
      submits.sentence,
      /^Outbound mail of this sender is not refused, but its inbound mail is \(ask with direction inbound\): domain arriving\.example is blocked by an administrator until .*The reason given: spam\.$/,
    );
    assert.doesNotMatch(submits.sentence, /no block in force/);
    const arrives = await check(`${from}&direction=inbound`);
    assert.equal(arrives.block.id, block.id);
    assert.match(arrives.sentence, /^This sender is refused: domain arriving\.example/);

    await server.block('', { subject: { type: 'ip', value: '198.51.100.77' } });
    assert.match(
      (await check('ip=198.51.100.77&direction=inbound')).sentence,
      /^Inbound mail of this sender is not refused, but its outbound mail is \(ask with direction outbound\): network 198/,
    );
    const account = await check('account=me@arriving.example');
    assert.match(
      account.sentence,
      /^This sender is not refused: no block in force covers it/,
      'a login only submits',
    );
  });

  test('a check of arriving mail says so where none arrives here and no mail server asks', async () => {
    const elsewhere =
      / This Stopgap takes no mail that arrives \(smtp\.inbound\), and no mail server has asked it/;
    for (const [change, outcome] of [
      [{}, 'passes'],
      [{ takesArriving: false }, 'not asked'],
      [{ takesArriving: true }, 'passes'],
      [{ takesArriving: false, wasAsked: () => false }, 'not asked'],
      [{ takesArriving: false, wasAsked: () => true }, 'passes'],
      [{ takesArriving: false, hasOutboxes: true }, 'passes'],
    ] as const) {
      const other = await ApiServer.start((deps) => ({ ...deps, ...change }));
      const ask = async (direction: string): Promise<unknown[]> => {
        const { json } = await other.get(`/api/v1/check?returnPath=a@example.com&direction=${direction}`);
        return [json['rcpt'].outcome, elsewhere.test(json['sentence'])];
      };
      try {
        const isElsewhere = outcome === 'not asked';
        assert.deepEqual(await ask('inbound'), [outcome, isElsewhere], JSON.stringify(change));
        assert.deepEqual(await ask('outbound'), ['passes', false]);
        await other.block('', { subject: { type: 'domain', value: 'example.com' }, direction: 'inbound' });
        assert.deepEqual(await ask('inbound'), ['refused', isElsewhere]);
        await other.post('/api/v1/decide', { account: 'b@example.com' }, { role: 'server' });
        assert.deepEqual(await ask('inbound'), ['refused', false], 'a mail server has asked');
      } finally {
        await other.stop();
      }
    }
  });

  test('of several blocks the one that ends last decides, and all are shown', async () => {
    const account = await server.block('both@several.example', { duration: '1h' });
    const domain = await server.post('/api/v1/blocks', {
      subject: { type: 'domain', value: 'several.example' },
      duration: '2h',
    });
    const verdict = await check('account=both@several.example');
    assert.equal(verdict.block.id, domain.json.id);
    const ids = verdict.matching.map(({ id }) => id);
    assert.deepEqual(ids.sort(), [account.id, domain.json.id].sort());
  });

  test('a check shows evidence, exemptions and windows', async () => {
    await server.trip('spam@example.com', 'block');
    const verdict = await check('account=spam@example.com&ip=10.0.0.1');
    assert.match(
      verdict.sentence,
      /is blocked by rule "burst" until .* \(for another 1h\)\. Account spam@example\.com: 101 recipients within 10m/,
    );
    assert.deepEqual(
      verdict.exemptions.map(({ id }) => id),
      ['built-in'],
    );
  });

  test('a block that is in force before its event is durable refuses too', async () => {
    const subject = { type: 'account', value: 'quick@example.com' } as const;
    const { activeBlocks } = server.deps.models;
    activeBlocks.anticipate(subject, {
      ...subject,
      id: newId(),
      direction: 'outbound',
      until: null,
      refusal: 'soft',
      byRule: true,
    });
    const verdict = await check('account=quick@example.com');
    activeBlocks.withdraw(subject);
    assert.equal(verdict.refused, true);
    assert.equal(verdict.block.description, 'in force, being recorded');
    assert.match(verdict.sentence, /is blocked by a rule until it is released\./);
  });
});
