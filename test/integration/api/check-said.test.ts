import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { FailedLogins } from '../../../src/accounts/users.js';
import type { CheckJson } from '../../../src/api/check.js';
import type { ApiDependencies } from '../../../src/api/index.js';
import { DAY, formatInstant, HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import type { PutOffs } from '../../../src/recording/put-offs.js';
import { newId } from '../../../src/runtime/ids.js';
import { sendStream } from '../../../src/sending/events.js';
import * as replies from '../../../src/smtp/replies.js';
import { AS_WRONG_PASSWORD } from '../../../src/smtp/replies.js';
import { ApiServer } from '../../support/api/server.js';

const LATER = replies.replyLine(replies.TRY_LATER);

describe('a check of what a mail program said', () => {
  let server: ApiServer;
  let failed: FailedLogins | undefined;
  let putOffs: readonly PutOffs[] = [];
  let relay: 'ok' | 'failing' | 'unanswered' = 'ok';
  let settings: Partial<ApiDependencies> = {};
  before(async () => {
    server = await ApiServer.start((deps) => ({
      ...deps,
      failedLogins: () => failed,
      get putOffs() {
        return 'putOffs' in settings ? settings.putOffs : () => putOffs;
      },
      upstreamState: () => relay,
      accountState: (account) => (account === 'gone@example.com' ? 'unknown' : 'active'),
      get asksBesides() {
        return settings.asksBesides;
      },
      get dovecotAsks() {
        return settings.dovecotAsks;
      },
      get maySend() {
        return settings.maySend;
      },
    }));
  });
  after(() => server.stop());
  beforeEach(() => {
    [failed, putOffs, relay, settings] = [undefined, [], 'ok', {}];
  });

  const said = async (account: string, text: string, more = '') => {
    const query = `account=${account}&said=${encodeURIComponent(text)}${more}`;
    const { status, json, text: raw } = await server.get(`/api/v1/check?${query}`, { role: 'viewer' });
    assert.equal(status, 200, raw);
    const check = json as unknown as CheckJson;
    assert.ok(check.sentence.startsWith(check.said!.sentence), check.sentence);
    return check.said!;
  };

  test('finds the block on an EHLO name or network that made it, at AUTH or later', async () => {
    const ehlo = await server.block('', { subject: { type: 'ehlo', value: 'pc-1.example' } });
    const ip = await server.block('', { subject: { type: 'ip', value: '198.51.100.0/24' } });
    await server.refused('ann@example.com', ehlo.id, 'auth', '535 5.7.8 Authentication failed');
    server.clock.advance(MINUTE);
    await server.refused('ann@example.com', ip.id, 'rcpt', '451 4.3.2 Try again later');
    const atAuth = await said('ann@example.com', 'Login failed: 535 5.7.8 authentication failed');
    assert.deepEqual(
      [atAuth.cause, atAuth.block, atAuth.code, atAuth.enhanced],
      ['block', ehlo.id, 535, '5.7.8'],
    );
    assert.match(atAuth.sentence, /at AUTH at .* \(ehlo pc-1\.example\)\. The password may well be right\.$/);
    for (const text of ['Server error: "451 4.3.2 Try again later"', 'The server said: Try again later'])
      assert.equal((await said('ann@example.com', text)).block, ip.id, text);
  });

  test('finds the block that stands, and what mail servers that ask tell for it', async () => {
    const block = await server.block('fay@example.com');
    for (const [text, more] of [
      [LATER, {}],
      [`450${LATER.slice(3)}`, { asksBesides: '450' }],
      ['535 Incorrect authentication data', { dovecotAsks: () => true }],
    ] as const) {
      settings = more;
      const found = await said('fay@example.com', text);
      assert.deepEqual([found.cause, found.block], ['block', block.id], text);
      assert.match(found.sentence, /is what block .* \(account fay@example\.com\) has the client told\.$/);
    }
    await server.post(`/api/v1/blocks/${block.id}/release`, {});
    settings = { asksBesides: '451' };
    assert.doesNotMatch((await said('fay@example.com', '450')).sentence, /because of a block/);
  });

  test('finds a wrong password, an account that there is not, and the return path that it may not use', async () => {
    const at = server.clock.now();
    const last = { count: 2, at, network: '192.0.2.1' };
    failed = { failed: last, putOff: last, since: at - MINUTE, isKnown: true, wasNone: false };
    assert.equal((await said('cleo@example.com', '535 5.7.8')).cause, 'password');
    assert.equal((await said('cleo@example.com', '454 4.7.0')).cause, 'too many logins');
    failed = undefined;
    assert.equal((await said('gone@example.com', '535 5.7.8')).cause, 'no login');
    settings = { maySend: (_account, returnPath) => returnPath === 'ivy@example.com' };
    const text = replies.replyLine(replies.NOT_YOUR_ADDRESS);
    assert.match((await said('ivy@example.com', text)).sentence, /Give the return path/);
    const may = await said('ivy@example.com', text, '&returnPath=ivy@example.com');
    assert.match(may.sentence, /The account may use the return path that was given/);
    const not = await said('ivy@example.com', text, '&returnPath=boss@example.com');
    assert.match(not.sentence, /^The account may not use that return path/);
  });

  test('names the last answer of the mail server behind with that code, for a day', async () => {
    const at = server.clock.now();
    const events = ([550, 554, 554] as const).map((code, index) => ({
      id: newId(),
      type: 'RecipientsRefused',
      at: at + index * SECOND,
      by: 'smtp:test',
      data: { account: 'fin@example.com', direction: 'outbound', transaction: 't', count: 1, code },
    }));
    await server.deps.store.append(sendStream('fin@example.com'), events, 'any');
    server.clock.advance(5 * SECOND);
    for (const [text, last] of [
      ['550 5.1.1 <x@example.org>: User unknown', at],
      ['554 5.7.1 rejected', at + 2 * SECOND],
    ] as const) {
      const found = await said('fin@example.com', text);
      assert.deepEqual([found.cause, found.at], ['mail server', formatInstant(last)], text);
    }
    server.clock.advance(DAY);
    assert.equal((await said('fin@example.com', '550')).cause, 'none');
  });

  test('finds what put off everybody within a quarter of an hour of then, or does so now', async () => {
    const at = server.clock.now();
    putOffs = [{ why: 'upstream', since: at - 2 * HOUR, at: at - HOUR }];
    for (const [minutes, cause] of [
      [0, 'none'],
      [50, 'trouble'],
      [90, 'trouble'],
      [140, 'none'],
    ] as const) {
      const then = formatInstant(at - minutes * MINUTE);
      assert.equal((await said('max@example.com', LATER, `&at=${then}`)).cause, cause, then);
    }
    [putOffs, relay] = [[], 'failing'];
    const now = await said('max@example.com', LATER);
    assert.deepEqual([now.cause, now.at], ['trouble', null]);
    assert.match(now.sentence, /it is so now\.$/);
    relay = 'unanswered';
    assert.equal((await said('max@example.com', LATER)).cause, 'none', 'one message may have been such');
  });

  test('finds a refusal a little later than the time that was named, and none of much later', async () => {
    const block = await server.block('bea@example.com');
    const at = server.clock.now();
    for (const minutes of [5, 20]) {
      server.clock.advance(minutes * MINUTE);
      await server.refused('bea@example.com', block.id, 'rcpt', LATER);
    }
    await server.post(`/api/v1/blocks/${block.id}/release`, {});
    const found = await said('bea@example.com', LATER, `&at=${formatInstant(at - MINUTE)}`);
    assert.equal(found.at, formatInstant(at + 5 * MINUTE));
  });

  test('finds the block of a network that made a login of an unknown account fail, at the address that is named', async () => {
    const own = await server.block('pat@example.com');
    await server.refused('pat@example.com', own.id, 'auth', AS_WRONG_PASSWORD);
    await server.post(`/api/v1/blocks/${own.id}/release`, {});
    const network = await server.block('', { subject: { type: 'ip', value: '203.0.113.0/24' } });
    const text = '535 5.7.8 Error: authentication failed';
    const there = '&ip=203.0.113.9';
    assert.equal((await said('pat@example.com', text, there)).block, network.id, 'it stands');
    server.clock.advance(MINUTE);
    const now = server.clock.now();
    const data = {
      ip: '203.0.113.9',
      direction: 'outbound',
      stage: 'auth',
      block: network.id,
      count: 1,
      since: now,
      reply: AS_WRONG_PASSWORD,
    };
    const event = { id: newId(), type: 'MessageRefused', at: now, by: 'policy:test', data };
    await server.deps.store.append(sendStream('203.0.113.9'), [event], 'any');
    const found = await said('pat@example.com', text, there);
    assert.deepEqual([found.cause, found.block], ['block', network.id]);
    assert.match(
      found.sentence,
      /^Stopgap had a login from 203\.0\.113\.9 fail at .* because of block .*203\.0\.113\.0\/24/,
    );
    const without = await said('pat@example.com', text);
    assert.match(without.sentence, /That block is over\. .* give the IP address/);
    assert.match((await said('quin@example.com', text)).sentence, /give the IP address/);
    assert.equal((await said('quin@example.com', text, there)).block, network.id);
  });

  test('does not deny what only SMTP nodes know where roles are split', async () => {
    settings = { putOffs: undefined };
    assert.match((await said('gus@example.com', '454')).sentence, /the SMTP nodes know/);
  });

  test('needs an account, and says what is wrong with a text: empty, too long, or given twice', async () => {
    for (const [query, message] of [
      ['ip=192.0.2.1&said=535', 'needs the account whose mail program said it'],
      ['account=a&said=', 'must not be empty'],
      ['account=a&said=%20', 'must not be empty'],
      [`account=a&said=${'x'.repeat(4001)}`, 'must be at most 4,000 characters'],
      ['account=a&said=1&said=2', 'must stand only once'],
      [`account=${'x'.repeat(1025)}`, 'must be at most 1024 characters'],
    ] as const) {
      const { status, text } = await server.get(`/api/v1/check?${query}`, { role: 'viewer' });
      assert.equal(status, 400);
      assert.ok(text.includes(message), text);
    }
  });
});
