import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readMessage } from '../../../src/import/postfix-log/message.js';
import { refusesRecipient } from '../../../src/sending/refused-recipient.js';

/** What servers say at RCPT, and whether it says that the recipient does not exist. */
const REPLIES: ReadonlyArray<readonly [code: number, text: string, isOfRecipient: boolean]> = [
  [550, '5.1.1 <x@a.test>: Recipient address rejected: User unknown in virtual mailbox table', true],
  [550, '5.1.10 RESOLVER.ADR.RecipientNotFound; not found', true],
  [553, '5.1.3 <x@a.test>: Recipient address rejected: bad address syntax', true],
  [556, '5.1.10 <x@a.test>: Recipient address rejected: Domain does not accept mail (nullMX)', true],
  [552, '5.2.2 <x@a.test> Mailbox is full', true],
  [550, 'No such user', true],
  [551, 'User not local', true],
  [553, 'sorry, no mailbox here by that name', true],
  [550, 'Unrouteable address', true],
  [550, 'Unknown user', true],
  [550, 'mailbox unavailable', true],
  [550, '<x@a.test>: Recipient not found', true],
  [550, "The email account that you tried to reach doesn't exist", true],
  [511, 'sorry, no mailbox here by that name (#5.1.1 - chkusr)', true],
  [550, '', false],
  [550, 'Verification failed for <b@a.test> Unrouteable address Sender verify failed', false],
  [550, 'Sender verify failed', false],
  [550, 'Callout verification failed: 550 no such user', false],
  [550, 'Your account is disabled', false],
  [550, 'authentication required: invalid account', false],
  [550, 'Return path does not exist', false],
  [550, 'HELO name does not exist in DNS', false],
  [550, 'Client address unknown', false],
  [550, '"unknown user"@x.test: relay not permitted', false],
  [550, '<x@a.test>: Recipient address rejected: User unknown in local recipient table', true],
  [550, 'relay not permitted', false],
  [550, 'Administrative prohibition', false],
  [550, 'authentication required', false],
  [550, 'Sender rate overlimit', false],
  [550, '192.0.2.7 is blacklisted', false],
  [550, '<no.such.user@a.test>: rejected, <does not exist@a.test>', false],
  [553, "sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", false],
  [450, '4.1.1 <x@a.test>: Recipient address rejected: unverified address', false],
  [452, '4.2.2 Mailbox is full', false],
  [552, '5.3.4 Message size exceeds fixed limit', false],
  [550, '5.2.3 Message length exceeds the limit', false],
  [554, '5.7.1 <pc.a.test[192.0.2.7]>: Client host rejected: Access denied', false],
  [554, '5.7.1 <x@a.test>: Relay access denied', false],
  [554, '5.7.1 <x@a.test>: Recipient address rejected: Access denied', false],
  [553, '5.7.1 <b@a.test>: Sender address rejected: not owned by user b@a.test', false],
  [550, '5.1.0 <b@a.test>: Sender address rejected: User unknown in virtual mailbox table', false],
  [550, '5.1.7 <b@a.test>: Sender address rejected: undeliverable address', false],
  [550, '5.1.8 <b@a.test>: Sender address rejected: Domain not found', false],
  [550, '5.6.7 a non-ASCII address is not permitted', false],
  [504, '5.5.2 <x>: Helo command rejected: need fully-qualified hostname', false],
  [503, 'need MAIL', false],
  [554, 'no thanks', false],
];

describe('a refusal at RCPT', () => {
  test('speaks of the recipient by its status, or by its words where it has none', () => {
    for (const [code, text, isOfRecipient] of REPLIES)
      assert.equal(refusesRecipient(code, text), isOfRecipient, `${code} ${text}`);
  });

  test('means the same in a log of Postfix as at the front door', () => {
    for (const [code, text, isOfRecipient] of REPLIES.filter(([, text]) => text.includes('rejected: '))) {
      const line = `NOQUEUE: reject: RCPT from pc.a.test[192.0.2.7]: ${code} ${text}; from=<b@a.test> to=<x@a.test> proto=ESMTP helo=<x>`;
      assert.equal(readMessage('smtpd', line)?.kind, isOfRecipient ? 'refused' : undefined, line);
    }
  });
});
