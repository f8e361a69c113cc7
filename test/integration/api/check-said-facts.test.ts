import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { FailedLogins } from '../../../src/accounts/users.js';
import type { CheckJson } from '../../../src/api/check.js';
import type { ApiDependencies } from '../../../src/api/index.js';
import { DAY, formatInstant, SECOND } from '../../../src/kernel/time.js';
import { newId } from '../../../src/runtime/ids.js';
import { sendStream } from '../../../src/sending/events.js';
import * as replies from '../../../src/smtp/replies.js';
import { AS_WRONG_PASSWORD } from '../../../src/smtp/replies.js';
import { ApiServer } from '../../support/api/server.js';

const LATER = replies.replyLine(replies.TRY_LATER);
const CREDENTIALS = replies.replyLine(replies.BAD_CREDENTIALS);

describe('what is recorded comes before what a text looks like', () => {
  let server: ApiServer;
  let block: string;
  let failed: FailedLogins | undefined;
  let settings: Partial<ApiDependencies> = {};
  before(async () => {
    server = await ApiServer.start((deps) => ({
      ...deps,
      failedLogins: () => failed,
      putOffs: () => [],
      get isAsked() {
        return settings.isAsked === true;
      },
      get dovecotAsks() {
        return settings.dovecotAsks;
      },
    }));
    ({ id: block } = await server.block('', { subject: { type: 'ehlo', value: 'pc-1.example' } }));
    await server.refused('ann@example.com', block, 'rcpt', LATER);
    await server.refused('ann@example.com', block, 'auth', CREDENTIALS);
    await server.refused('dov@example.com', block, 'auth', AS_WRONG_PASSWORD);
  });
  after(() => server.stop());
  beforeEach(() => {
    [failed, settings] = [undefined, {}];
  });

  const said = async (account: string, text: string, more = '') => {
    const query = `account=${account}&said=${encodeURIComponent(text)}${more}`;
    const { status, json, text: raw } = await server.get(`/api/v1/check?${query}`, { role: 'viewer' });
    assert.equal(status, 200, raw);
    return (json as unknown as CheckJson).said!;
  };

  for (const text of [
    // A footer of Postfix (smtpd_reject_footer).
    `${LATER}. For assistance, call 800-555-0101. Please provide the following information in your problem report: time (Nov 30 01:02:03), client (192.0.2.1) and server (mx.example.com).`,
    `'${LATER}' on server mx.example.com`,
    `${LATER} on mx.example.com`,
    '451 4.3.2 Service temporarily unavailable. Help: https://support.example.com/mail',
    `${LATER} Help: https://support.hoster.example/mail`,
    'it says service temporarily unavailable',
    'Since this morning: service temporarily unavailable, what can I do?',
    'I have sent 250 invitations and now it says service temporarily unavailable',
    'I have sent 451 invitations and now it says service temporarily unavailable',
    'I have sent 480 mails, and it says 451',
    'Server error:451',
    '451?',
    'call me at 0421 555 1234: error:451',
  ])
    test(`finds the refusal at RCPT TO that is recorded behind ${text}`, async () => {
      const found = await said('ann@example.com', text);
      assert.deepEqual([found.cause, found.block], ['block', block], found.sentence);
      assert.match(found.sentence, /^Stopgap said that, at RCPT TO/);
      assert.doesNotMatch(found.sentence, /another server|not Stopgap/);
    });

  for (const text of [
    'my number is 0421 555 1234: login failed',
    'Room 205: login failed',
    'Room 451: login failed',
    'error:535',
    'SMTP-Fehler 535',
    'Outlook meldet 535 Authentication failed',
    '535 5.7.8 Error: authentication failed. Help: https://support.example.com/mail',
    '535 5.7.8 Error: authentication failed. Help: https://support.hoster.example/mail',
  ])
    test(`finds the login that a block had fail behind ${text}`, async () => {
      for (const account of ['ann@example.com', 'dov@example.com']) {
        const found = await said(account, text);
        assert.deepEqual([found.cause, found.block], ['block', block], found.sentence);
        assert.doesNotMatch(found.sentence, /not Stopgap/);
      }
    });

  test('does not take other numbers and words for a code or a login', async () => {
    for (const text of ['my number is 0421 555 1234', 'Room 205', 'https://mail.example.com:443 fails'])
      assert.match(
        (await said('eve@example.com', text)).sentence,
        /^By these words alone it cannot be told/,
        text,
      );
    assert.equal((await said('ann@example.com', 'Входящие: ошибка')).cause, 'none');
    assert.equal((await said('ann@example.com', 'Ошибка входа')).cause, 'block');
    const size = await said(
      'ann@example.com',
      "552 5.3.4 Message exceeds the size limit of the recipient's mailbox",
    );
    assert.doesNotMatch(size.sentence, /Stopgap says that/);
  });

  test('names the last answer of the mail server behind with the code that was seen, not only its last one', async () => {
    const at = server.clock.now();
    const events = ([550, 554, 554] as const).map((code, index) => ({
      ...{ id: newId(), type: 'RecipientsRefused', at: at + index * SECOND, by: 'smtp:test' },
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
    assert.equal((await said('fin@example.com', '551 moved')).cause, 'none');
    server.clock.advance(DAY);
    assert.equal((await said('fin@example.com', '550')).cause, 'none');
  });

  test('says of a block that stands, and of words that are not its own, that another server may have said them', async () => {
    const own = await server.block('gil@example.com');
    for (const text of [
      '535 5.7.8 Error: authentication failed: (reason unavailable)',
      '535 Incorrect authentication data',
    ]) {
      const found = await said('gil@example.com', text);
      assert.deepEqual([found.cause, found.block], ['block', own.id]);
      assert.match(
        found.sentence,
        /^That code is what block .* has the client told\. If these words are exact, another server said this\./,
      );
    }
    // Dovecot has its logins fail too, and a mail server words that.
    settings = { dovecotAsks: () => true };
    const atDovecot = await said('gil@example.com', '535 Incorrect authentication data');
    assert.match(atDovecot.sentence, /^That is what block .* has the client told\.$/);
    settings = {};
    const at = server.clock.now();
    failed = { failed: 1, putOff: 0, since: at, at, network: '192.0.2.1', isKnown: true };
    for (const text of [CREDENTIALS, '535', 'Login failed']) {
      const found = await said('gil@example.com', text);
      assert.deepEqual([found.cause, found.block], ['block', own.id]);
      assert.match(found.sentence, /^That is what block .* has the client told\. Its password was wrong: /);
      assert.doesNotMatch(found.sentence, /If these words/);
    }
  });

  test('asks for the address where a wrong password is known, since a blocked network may have failed a login too', async () => {
    const at = server.clock.now();
    failed = { failed: 1, putOff: 0, since: at, at, network: '192.0.2.1', isKnown: true };
    assert.match(
      (await said('hal@example.com', '535')).sentence,
      /^Its password was wrong: .* give the IP address/,
    );
    assert.doesNotMatch((await said('hal@example.com', '535', '&ip=192.0.2.1')).sentence, /give the IP/);
  });

  test('names a refusal that is recorded before a block that the account would meet only as it came before that', async () => {
    const refused = async (account: string, id: string, ehlo: string): Promise<void> => {
      server.clock.advance(SECOND);
      const at = server.clock.now();
      const data = { account, ehlo, direction: 'outbound', stage: 'rcpt', block: id, reply: LATER };
      const event = { id: newId(), type: 'MessageRefused', at, by: 'smtp:test' };
      const events = [{ ...event, data: { ...data, count: 1, since: at } }];
      await server.deps.store.append(sendStream(account), events, 'any');
    };
    const own = await server.block('jan@example.com');
    const { id: other } = await server.block('', { subject: { type: 'ehlo', value: 'pc-3.example' } });
    await refused('jan@example.com', other, 'pc-3.example');
    await refused('jan@example.com', own.id, 'pc-2.example');
    await server.post(`/api/v1/blocks/${own.id}/release`, {});
    const found = await said('jan@example.com', LATER);
    assert.deepEqual([found.cause, found.block], ['block', own.id]);
    assert.match(found.sentence, /^Stopgap said that, .* That block is over\. .* Where it comes as it did/);
    // As it came last it would be refused by the other one.
    await refused('jan@example.com', own.id, 'pc-3.example');
    assert.equal((await said('jan@example.com', LATER)).block, other);
  });

  test('denies no code where only the enhanced code differs', async () => {
    const { sentence } = await said('ann@example.com', '535 5.7.3 Authentication unsuccessful');
    assert.match(sentence, /^Nothing here is known to have said 535 5\.7\.3 to this account/);
  });

  test('blames no block for a login where a mail server asks, and Dovecot does not', async () => {
    settings = { isAsked: true, dovecotAsks: () => false };
    const { sentence } = await said('ida@example.com', '535 5.7.8 Error: authentication failed');
    assert.doesNotMatch(sentence, /block/);
    settings = { isAsked: true, dovecotAsks: () => true };
    assert.match((await said('ida@example.com', '535')).sentence, /Stopgap says 535 because of a block/);
  });
});
