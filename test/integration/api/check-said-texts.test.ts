import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { CheckJson } from '../../../src/api/check.js';
import type { ApiDependencies } from '../../../src/api/index.js';
import { MINUTE } from '../../../src/kernel/time.js';
import type { PutOffs } from '../../../src/recording/put-offs.js';
import * as replies from '../../../src/smtp/replies.js';
import { AS_WRONG_PASSWORD } from '../../../src/smtp/replies.js';
import { ApiServer } from '../../support/api/server.js';

const LINES = {
  credentials: replies.replyLine(replies.BAD_CREDENTIALS),
  later: replies.replyLine(replies.TRY_LATER),
  login: replies.replyLine(replies.LOGIN_LATER),
  honest: replies.replyLine(replies.refusalReply('honest', undefined)),
};

describe('a check of what people and mail programs put around an answer', () => {
  let server: ApiServer;
  let putOffs: readonly PutOffs[] = [];
  let settings: Partial<ApiDependencies> = {};
  before(async () => {
    server = await ApiServer.start((deps) => ({
      ...deps,
      putOffs: () => putOffs,
      get takesArriving() {
        return settings.takesArriving === true;
      },
      get failsReading() {
        return settings.failsReading === true;
      },
    }));
    const block = await server.block('', { subject: { type: 'ehlo', value: 'pc-1.example' } });
    await server.refused('ann@example.com', block.id, 'auth', LINES.credentials);
    await server.refused('ann@example.com', block.id, 'auth', LINES.login);
    await server.refused('ann@example.com', block.id, 'rcpt', LINES.later);
    await server.refused('ann@example.com', block.id, 'rcpt', LINES.honest);
    await server.refused('dov@example.com', block.id, 'auth', AS_WRONG_PASSWORD);
  });
  after(() => server.stop());

  const said = async (account: string, text: string, more = '') => {
    const query = `account=${account}&said=${encodeURIComponent(text)}${more}`;
    const { status, json, text: raw } = await server.get(`/api/v1/check?${query}`, { role: 'viewer' });
    assert.equal(status, 200, raw);
    return (json as unknown as CheckJson).said!;
  };

  const BLOCKS = [
    `It said: ${LINES.credentials}`,
    `Thunderbird said: ${LINES.later}`,
    `My mails stay undelivered, Outlook shows ${LINES.credentials}`,
    `The response from the server was: ${LINES.credentials}`,
    `Unexpected response from server: ${LINES.later}`,
    `Response from SMTP server: ${LINES.login}`,
    `Error message from the remote server: ${LINES.credentials}`,
    `The remote server returned ${LINES.credentials}`,
    `SASL authentication failed; host mail.example.com[192.0.2.1] said: ${LINES.credentials}`,
    '451 4.3.2 <ann@example.net>: Recipient address rejected: Service temporarily unavailable',
    '550 5.7.1 <x@y.example>: Recipient address rejected: Sending is blocked because of unusual activity',
    '451 4.3.2 <END-OF-MESSAGE>: End-of-data rejected: Service temporarily unav…',
    'SMTP Error (451): Failed to add recipient "x@y.example" (4.3.2 <x@y.example>: Recipient address rejected: Service temporarily unavailable).',
    'SMTP Error (451): Failed to set sender "ann@example.com" (Service temporarily unavailable, please try again later)',
    'An error occurred: 535 5.7.8 Authentication credentials inval...',
    'SMTP Error (535): Authentication failed.',
    'SMTP-Fehler (454): Authentifizierung fehlgeschlagen.',
  ];
  for (const text of BLOCKS)
    test(`finds the block that is recorded behind ${text}`, async () => {
      const found = await said('ann@example.com', text);
      assert.equal(found.cause, 'block', found.sentence);
      assert.match(found.sentence, /^Stopgap said that, /);
      assert.doesNotMatch(found.sentence, /If these words are exact|another server/);
    });

  test('says of words in brackets that are no reply of its own that another server may have said them', async () => {
    const text =
      'SMTP Error (550): Failed to add recipient "x@y.example" (5.1.1 <x@y.example>: Recipient address rejected: User unknown).';
    const found = await said('ann@example.com', text);
    assert.equal(found.cause, 'none');
    assert.match(found.sentence, /another server|Another server/);
  });

  test('names the block also for a bounce that has its very words, and leaves it open which server said them', async () => {
    const bounce = `host mx.example.org[203.0.113.5] said: ${LINES.honest} (in reply to RCPT TO command)`;
    const found = await said('ann@example.com', bounce);
    assert.equal(found.cause, 'block');
    assert.match(found.sentence, /^Stopgap said that, at RCPT TO .* if it names one that is not this one, /);
    // Of an account with no such refusal it is a bounce.
    const other = await said('bea@example.com', bounce);
    assert.match(other.sentence, /^The server that the text names said that/);
  });

  for (const text of [
    'host mx.example.org[203.0.113.5] refused to talk to me: 421 4.7.0 Too many connections',
    'Undelivered Mail Returned to Sender: <x@example.org>: 550 5.1.1 no such user',
  ])
    test(`takes for a line of a log or a bounce: ${text}`, async () => {
      assert.match(
        (await said('ann@example.com', text)).sentence,
        /^The server that the text names said that/,
      );
    });

  for (const text of [
    'No response from the server',
    'I get no response from your server since this morning',
    '0x8004210B: The operation timed out waiting for a response from the sending (SMTP) server. Contact your provider.',
    'Outlook cannot connect to your outgoing (SMTP) e-mail server. (0x80042109)',
    '(0x80042109)',
    '0x800CCC0F The connection to the server was interrupted',
    '0x800CCC0E',
    'The message could not be sent because connecting to Outgoing server (SMTP) mail.example.com failed. The server may be unavailable or is refusing SMTP connections.',
    'The message could not be sent because the connection to Outgoing server (SMTP) mail.example.com was lost in the middle of the transaction.',
    "Unable to establish a secure link with Outgoing server (SMTP) mail.example.com using STARTTLS since it doesn't advertise that feature.",
    'connect ECONNREFUSED 192.0.2.7:587',
    'Log onto outgoing mail server (SMTP): there was no response from the server.',
    'Login failed: the connection timed out',
  ])
    test(`says that no server was reached, or it was lost: ${text}`, async () => {
      const found = await said('ann@example.com', text);
      assert.deepEqual([found.cause, found.code], ['none', null]);
      assert.match(found.sentence, /^Most likely no mail server said that: the program did not reach one/);
    });

  const READING = [
    '-ERR [AUTH] Authentication failed.',
    'a1 NO [AUTHENTICATIONFAILED] Authentication failed.',
    '-ERR [SYS/TEMP] Temporary authentication failure.',
    'NO [UNAVAILABLE] Temporary authentication failure.',
    'Das Kennwort für imap.example.com ist falsch',
    'Login to POP3 server failed',
    'The user name or password for pop.example.com is incorrect',
  ];
  for (const text of READING)
    test(`does not explain trouble with reading mail by a block of sending: ${text}`, async () => {
      for (const account of ['ann@example.com', 'dov@example.com']) {
        const found = await said(account, text);
        assert.deepEqual([found.cause, found.block], ['none', null]);
        assert.match(found.sentence, /^That is of reading mail .* unless dovecot\.protocols names it/);
      }
    });

  test('finds the block behind a login for reading mail where Dovecot has those fail too', async () => {
    settings = { failsReading: true };
    for (const text of READING.filter((one) => !/temp/i.test(one)))
      assert.equal((await said('dov@example.com', text)).cause, 'block', text);
    settings = {};
    const sending = await said('ann@example.com', 'Sending from the IMAP account: the password is wrong');
    assert.equal(sending.cause, 'block');
  });

  test('names all that one answer may be about', async () => {
    settings = { takesArriving: true };
    for (const [text, ...about] of [
      ['421 4.3.2', 'smtp.maxConnections', 'being stopped or started'],
      ['421 4.7.0', 'the account was removed', 'smtp.perNetwork'],
      ['421 Too many connections', 'smtp.maxConnections', 'smtp.perNetwork'],
      ['550 5.7.1', 'refuses honestly', 'smtp.inbound'],
    ] as const) {
      const { sentence } = await said('cat@example.com', text);
      for (const words of about) assert.ok(sentence.includes(words), `${text}: ${sentence}`);
    }
    settings = {};
  });

  test('does not say that nothing here said what is kept for an hour at most', async () => {
    for (const text of ['535 5.7.8 Error: authentication failed', LINES.credentials, '421']) {
      const { sentence } = await said('cat@example.com', text);
      assert.doesNotMatch(sentence, /Nothing here said/);
      if (text !== '421')
        assert.match(
          sentence,
          /Wrong passwords are kept here for an hour at most, .*: most likely it was one\./,
        );
    }
  });

  test('names what put everybody off beside the block that stands', async () => {
    const block = await server.block('fay@example.com');
    const at = server.clock.now();
    putOffs = [{ why: 'upstream', since: at - MINUTE, at }];
    const found = await said('fay@example.com', LINES.later);
    assert.deepEqual([found.cause, found.block], ['block', block.id]);
    assert.match(
      found.sentence,
      /^That is what block .* Stopgap says that to everybody while the mail server/,
    );
    putOffs = [];
  });
});
