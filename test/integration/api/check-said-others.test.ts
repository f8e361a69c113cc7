import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { FailedLogins } from '../../../src/accounts/users.js';
import type { CheckJson } from '../../../src/api/check.js';
import type { ApiDependencies } from '../../../src/api/index.js';
import { MINUTE } from '../../../src/kernel/time.js';
import type { PutOffs } from '../../../src/recording/put-offs.js';
import { newId } from '../../../src/runtime/ids.js';
import { sendStream } from '../../../src/sending/events.js';
import * as replies from '../../../src/smtp/replies.js';
import { AS_WRONG_PASSWORD } from '../../../src/smtp/replies.js';
import { ApiServer } from '../../support/api/server.js';

const OF_GOOGLE =
  '535-5.7.8 Username and Password not accepted. For more information, go to 535 5.7.8 https://support.google.com/mail/?p=BadCredentials';
const HONEST = replies.replyLine(replies.refusalReply('honest', undefined));

describe('a check of words that another server may have said', () => {
  let server: ApiServer;
  let failed: FailedLogins | undefined;
  let putOffs: readonly PutOffs[] = [];
  let settings: Partial<ApiDependencies> = {};
  before(async () => {
    server = await ApiServer.start((deps) => ({
      ...deps,
      failedLogins: () => failed,
      get putOffs() {
        return 'putOffs' in settings ? settings.putOffs : () => putOffs;
      },
      get asksBesides() {
        return settings.asksBesides;
      },
      get takesArriving() {
        return settings.takesArriving === true;
      },
      get maySend() {
        return settings.maySend;
      },
    }));
  });
  after(() => server.stop());
  beforeEach(() => {
    [failed, putOffs, settings] = [undefined, [], {}];
  });

  const said = async (account: string, text: string, more = '') => {
    const query = `account=${account}&said=${encodeURIComponent(text)}${more}`;
    const { status, json, text: raw } = await server.get(`/api/v1/check?${query}`, { role: 'viewer' });
    assert.equal(status, 200, raw);
    return (json as unknown as CheckJson).said!;
  };
  const wrongLately = (): FailedLogins => {
    const at = server.clock.now();
    return { failed: 3, putOff: 2, since: at - MINUTE, at, network: '192.0.2.1', isKnown: true };
  };

  test('gives a bounce, and a reply of another provider, to neither a block, a password nor a trouble', async () => {
    const at = server.clock.now();
    const block = await server.block('', { subject: { type: 'ehlo', value: 'pc-9.example' } });
    await server.refused('amy@example.com', block.id, 'rcpt', HONEST);
    await server.refused('amy@example.com', block.id, 'rcpt', replies.replyLine(replies.TRY_LATER));
    failed = wrongLately();
    putOffs = (['upstream', 'logins'] as const).map((why) => ({ why, since: at - MINUTE, at }));
    for (const text of [
      'host gmail-smtp-in.l.google.com said: 550-5.7.1 [192.0.2.1] Our system has detected that this message is likely spam',
      'host mx.example.org said: 451 Temporary local problem - please try later',
      'host mx.example.org[203.0.113.5] said: 451 Temporary local problem (in reply to RCPT TO command)',
      "Remote Server returned '550 5.7.1 Message rejected'",
      'Diagnostic-Code: smtp; 550 5.7.1 Message rejected as spam',
      '... while talking to mx.example.org.: >>> DATA <<< 550 5.7.1 Message rejected',
      'SMTP error from remote mail server after RCPT TO:<x@example.org>: 550 5.7.1 Rejected. Returning message to sender',
      OF_GOOGLE,
      '535 5.7.139 Authentication unsuccessful, the user credentials were incorrect. [AM0PR01.eurprd01.prod.outlook.com]',
      '530-5.7.0 Authentication Required. For more information, go to https://support.google.com/mail/?p=WantAuthError',
    ]) {
      const found = await said('amy@example.com', text);
      assert.deepEqual([found.cause, found.block], ['none', null], text);
      assert.match(found.sentence, /^(?:The|A) server .*that the text names said that/, text);
    }
    // A mail server that asks Dovecot words a login that failed, and may point to whom it likes.
    await server.refused('amy@example.com', block.id, 'auth', AS_WRONG_PASSWORD);
    const likeIt = await said('amy@example.com', OF_GOOGLE);
    assert.deepEqual([likeIt.cause, likeIt.block], ['block', block.id]);
    assert.match(
      likeIt.sentence,
      /^The mail server said that, .* But the text looks like what another server/,
    );
    // A long text often ends with the code.
    const long = `${'Your message could not be sent. '.repeat(60)} host mx.example.org said: 550 5.7.1 no`;
    assert.match((await said('amy@example.com', long)).sentence, /^The server that the text names/);
  });

  test('says of other words with the same codes what was refused, and that another server may have said them', async () => {
    const at = server.clock.now();
    const block = await server.block('', { subject: { type: 'ehlo', value: 'pc-8.example' } });
    await server.refused('ben@example.com', block.id, 'rcpt', HONEST);
    failed = wrongLately();
    putOffs = (['upstream', 'logins'] as const).map((why) => ({ why, since: at - MINUTE, at }));
    for (const [text, expected] of [
      [
        '550 5.7.1 Message rejected as spam',
        /^Stopgap refused it with 550 at RCPT TO at .*, because of block /,
      ],
      [
        '550 5.7.1 <x@example.org>: Recipient address rejected: Access denied',
        /^Stopgap refused it with 550 at RCPT TO at /,
      ],
      ['451 Greylisted, please try again in 300 seconds', /^Stopgap says 451 to everybody while /],
      ['451 4.3.2 Please try again later', /^Stopgap says 451 to everybody while /],
      ['454 4.7.0 TLS not available due to local problem', /were put off with 454, since too many/],
    ] as const) {
      const found = await said('ben@example.com', text);
      assert.deepEqual([found.cause, found.block], ['none', null], text);
      assert.match(found.sentence, expected, text);
      assert.match(found.sentence, /If these words are exact, another server said this\./, text);
      assert.doesNotMatch(found.sentence, /Stopgap says? that|Stopgap said that|Nothing here/, text);
    }
    const denied = await said('ben@example.com', '454 4.7.1 Relay access denied');
    assert.equal(denied.cause, 'none');
    assert.match(denied.sentence, /^Nothing here is known to have said 454 /);
    assert.equal((await said('ben@example.com', '454 4.7.0')).cause, 'trouble');
    // A login that failed: mail servers word it, and it may well be the block.
    await server.refused('bob@example.com', block.id, 'auth', replies.replyLine(replies.BAD_CREDENTIALS));
    failed = undefined;
    const login = await said('bob@example.com', '535 5.7.8 Error: authentication failed');
    assert.deepEqual([login.cause, login.block], ['block', block.id]);
    assert.match(login.sentence, /^Stopgap refused it with 535 at AUTH .* If these words are exact, another/);
  });

  test('knows its own text in what Postfix puts around it', async () => {
    const block = await server.block('', { subject: { type: 'ehlo', value: 'pc-7.example' } });
    const later = '450 4.3.2 Service temporarily unavailable, please try again later';
    const at = server.clock.now();
    putOffs = [{ why: 'upstream', since: at, at }];
    await server.refused('cat@example.com', block.id, 'rcpt', later);
    settings = { asksBesides: '450' };
    for (const text of [
      '450 4.3.2 <ann@example.net>: Recipient address rejected: Service temporarily unavailable, please try again later',
      '450 4.3.2 <END-OF-MESSAGE>: End-of-data rejected: Service temporarily unavailable, please try again later',
      'The mail server responded: 450 4.3.2 Service temporarily unavailable, please try again later. Please check the recipient and try again.',
    ]) {
      const found = await said('cat@example.com', text);
      assert.deepEqual([found.cause, found.block], ['block', block.id], text);
      assert.match(found.sentence, /^Stopgap said that, at RCPT TO/);
    }
    const byCode = await said('dee@example.com', '450');
    assert.match(byCode.sentence, /Stopgap says 450 because of a block/);
    settings = { asksBesides: '451' };
    assert.doesNotMatch((await said('dee@example.com', '450')).sentence, /Stopgap says 450/);
  });

  test('says with certainty only of its own words that they are its own', async () => {
    settings = { takesArriving: true };
    for (const text of [
      '452 4.5.3 Too many recipients',
      '550 5.7.1 Relaying denied',
      '421 4.3.2 Shutting down',
      '421 4.3.2 Too many connections, please try again later',
      '530 Error: authentication Required',
      '538 Error: Must issue a STARTTLS command first',
      '451 4.3.2',
    ]) {
      const { sentence } = await said('eva@example.com', text);
      assert.match(sentence, /^Stopgap says that .*; other servers use the same (?:words|codes)\./, text);
    }
    for (const text of [
      "552 5.3.4 The message exceeds the size limit of the recipient's mailbox",
      '550 4.3.2 Shutting down',
      '451 Too many recipients',
      'Please try again later',
      'try again later',
      '451 4.3.2 try again later',
      '553 5.1.8 Domain of sender address does not exist',
    ])
      assert.doesNotMatch((await said('eva@example.com', text)).sentence, /Stopgap says that/, text);
    settings = {};
    const relaying = await said('eva@example.com', '550 5.7.1 Relaying denied');
    assert.doesNotMatch(relaying.sentence, /smtp\.inbound/);
    // Sentences of their own, and each once.
    settings = { takesArriving: true };
    const byCode = await said('eva@example.com', '550');
    assert.equal(byCode.sentence.split('smtp.inbound').length, 2, byCode.sentence);
    assert.match(byCode.sentence, /must use the other one\. Stopgap does not record this\. Another/);
  });

  test('leaves it open whether the mail server behind said that, and never says so of its own words', async () => {
    const at = server.clock.now();
    const data = { account: 'fin@example.com', direction: 'outbound', transaction: 't', count: 1, code: 550 };
    const event = { id: newId(), type: 'RecipientsRefused', at, by: 'smtp:test', data };
    await server.deps.store.append(sendStream('fin@example.com'), [event], 'any');
    const found = await said('fin@example.com', '550 5.1.1 no such user');
    assert.equal(found.cause, 'mail server');
    assert.match(
      found.sentence,
      /^The mail server behind refused a recipient of it with 550, last at .*: perhaps that\./,
    );
    const own = await said('fin@example.com', HONEST);
    assert.doesNotMatch(own.sentence, /mail server behind/);
    assert.equal(own.cause, 'none');
  });

  test('does not deny what only SMTP nodes know where roles are split', async () => {
    settings = { putOffs: undefined };
    for (const text of [
      '535 5.7.8 Error: authentication failed',
      '454',
      replies.replyLine(replies.TRY_LATER),
    ]) {
      const { sentence } = await said('gus@example.com', text);
      assert.match(sentence, /Whether Stopgap said \d{3} is not known here: the SMTP nodes know/, text);
      assert.doesNotMatch(sentence, /Nothing here|None of it/, text);
    }
  });

  test('takes no reply of its own that puts a login off for a wrong password, and never denies words without a code', async () => {
    failed = { ...wrongLately(), putOff: 0 };
    assert.notEqual((await said('hal@example.com', 'Temporary authentication failure')).cause, 'password');
    for (const text of [
      'Authentication failure',
      'No se pudo autenticar',
      'La contraseña no es correcta',
      'A senha está incorreta',
      'Het wachtwoord is onjuist',
      'Nieprawidłowe hasło',
      'Неверный пароль',
      'Не удалось выполнить вход',
    ])
      assert.equal((await said('hal@example.com', text)).cause, 'password', text);
    failed = undefined;
    for (const text of ['Неверный пароль', 'Es geht nicht', 'The message was refused']) {
      const { sentence } = await said('hal@example.com', text);
      assert.match(sentence, /^By these words alone it cannot be told/, text);
    }
  });

  test('says whether the account may use the return path that was given', async () => {
    settings = { maySend: (_account, returnPath) => returnPath === 'ivy@example.com' };
    const text = 'You may not send from this address';
    for (const shown of [text, `553 5.7.1 ${text}`]) {
      assert.match((await said('ivy@example.com', shown)).sentence, /Give the return path/);
      const may = await said('ivy@example.com', shown, '&returnPath=ivy@example.com');
      assert.match(may.sentence, /The account may use the return path that was given/);
      const not = await said('ivy@example.com', shown, '&returnPath=boss@example.com');
      assert.deepEqual([may.cause, not.cause], ['return path', 'return path']);
      assert.match(not.sentence, /^The account may not use that return path/);
    }
  });

  test('says what is wrong with a text: empty, too long, or given twice', async () => {
    for (const [query, message] of [
      ['account=a&said=', 'must not be empty'],
      ['account=a&said=%20', 'must not be empty'],
      [`account=a&said=${'x'.repeat(4001)}`, 'must be at most 4,000 characters'],
      ['account=a&said=1&said=2', 'must stand only once'],
      [`account=${'x'.repeat(321)}`, 'must be at most 320 characters'],
    ] as const) {
      const { status, text } = await server.get(`/api/v1/check?${query}`, { role: 'viewer' });
      assert.equal(status, 400);
      assert.ok(text.includes(message), text);
    }
  });
});
