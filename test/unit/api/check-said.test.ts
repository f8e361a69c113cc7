import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { FailedLogins } from '../../../src/accounts/users.js';
import type { RefusalJson } from '../../../src/api/check-findings.js';
import type { Facts } from '../../../src/api/check-said.js';
import { explainSaid } from '../../../src/api/check-said.js';
import { DAY, formatInstant, HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import * as replies from '../../../src/smtp/replies.js';
import { AS_WRONG_PASSWORD } from '../../../src/smtp/replies.js';

const NOW = Date.UTC(2026, 2, 1, 12);
const LATER = replies.replyLine(replies.TRY_LATER);
const CREDENTIALS = replies.replyLine(replies.BAD_CREDENTIALS);
const PUT_OFF = replies.replyLine(replies.LOGIN_LATER);
const HONEST = replies.replyLine(replies.refusalReply('honest', 'help@example.com'));
const OTHERS = /another server may have said it|^Nothing here is known/;

const OWN: Facts['own'] = {
  isAsked: false,
  takesArriving: true,
  failsReading: false,
  failsLogins: true,
  hasLoginsWorded: false,
  askedCodes: [450],
};
const NOTHING: Facts = {
  at: NOW,
  refusals: [],
  atAddress: [],
  standing: undefined,
  troubles: [],
  behindCodes: [],
  failed: undefined,
  failedSince: undefined,
  hasNoLogin: undefined,
  returnPath: null,
  isSaidElsewhere: false,
  own: OWN,
  hasBlock: (id) => !id.startsWith('none'),
  blockOn: (id) => (id.startsWith('none') ? undefined : 'account ann@example.com'),
  isOver: (id) => id.startsWith('over'),
};

type Given = Omit<Partial<Facts>, 'own'> & { readonly own?: Partial<Facts['own']> };

function said(text: string, { own, ...given }: Given = {}) {
  return explainSaid(text, { ...NOTHING, ...given, own: { ...OWN, ...own } });
}

function refused(reply: string, block = 'b1', at = NOW - MINUTE): RefusalJson {
  const stage = reply === AS_WRONG_PASSWORD || /^(?:535|454)/.test(reply) ? 'auth' : 'rcpt';
  const from = { returnPath: null, ehlo: null, ip: '192.0.2.1', count: 1 };
  return { at: formatInstant(at), stage, block, reply, ...from };
}

function wrong(at = NOW - MINUTE, more: Partial<FailedLogins> = {}): FailedLogins {
  const failed = { count: 2, at, network: '192.0.2.1' };
  return { failed, putOff: undefined, since: at - MINUTE, isKnown: true, wasNone: false, ...more };
}

const PUT_OFF_ONLY = { failed: undefined, putOff: { count: 3, at: NOW, network: '192.0.2.2' } };

const ALL_REFUSED = {
  refusals: [CREDENTIALS, PUT_OFF, LATER, HONEST].map((reply) => refused(reply, `b-${reply.slice(0, 3)}`)),
};

describe('a text that shows the answer of a blocked client names the block', () => {
  test('but where a node refused by itself while the store was away, says so: there is no block of that id', () => {
    const { cause, block, sentence } = said(LATER, { refusals: [refused(LATER, 'none')] });
    assert.deepEqual([cause, block], ['block', null]);
    assert.match(
      sentence,
      /because a limit was exceeded while the store was away: the node refused by itself/,
    );
    assert.doesNotMatch(sentence, /is over|ended|none of your domains/);
  });

  for (const [text, block] of [
    [`It said: ${CREDENTIALS}`, 'b-535'],
    [`My mails stay undelivered, Outlook shows ${CREDENTIALS}`, 'b-535'],
    [`The remote server returned ${CREDENTIALS}`, 'b-535'],
    [`SASL authentication failed; host mail.example.com[192.0.2.1] said: ${CREDENTIALS}`, 'b-535'],
    ['An error occurred: Authentication credentials invalid.', 'b-535'],
    [`Response from SMTP server: ${PUT_OFF}`, 'b-454'],
    [`Thunderbird said: ${LATER}`, 'b-451'],
    [`'${LATER}' on server mx.example.com`, 'b-451'],
    [
      // A footer of Postfix (smtpd_reject_footer).
      `${LATER}. For assistance, call 800-555-0101. Please provide the following information in your problem report: time (Nov 30 01:02:03), client (192.0.2.1) and server (mx.example.com).`,
      'b-451',
    ],
    [`${LATER} Help: https://support.hoster.example/mail`, 'b-451'],
    ['451 4.3.2 Service temporarily unavailable. Help: https://support.google.com/', 'b-451'],
    ['it says service temporarily unavailable', 'b-451'],
    ['I have sent 250 invitations and now it says service temporarily unavailable', 'b-451'],
    ['I have sent 480 invitations and now it says service temporarily unavailable', 'b-451'],
    ['451 4.3.2 <ann@example.net>: Recipient address rejected: Service temporarily unavailable', 'b-451'],
    [
      'SMTP Error (451): Failed to add recipient "x@y.example" (4.3.2 <x@y.example>: Recipient address rejected: Service temporarily unavailable).',
      'b-451',
    ],
    [
      'SMTP Error (451): Failed to set sender "a@b.example" (Service temporarily unavailable, please',
      'b-451',
    ],
    [
      '550 5.7.1 <x@y.example>: Recipient address rejected: Sending is blocked because of unusual activity',
      'b-550',
    ],
    [`host mx.example.org[203.0.113.5] said: ${HONEST} (in reply to RCPT TO command)`, 'b-550'],
    ['451', 'b-451'],
    ['451?', 'b-451'],
    ['451 4.3.2', 'b-451'],
    ['535', 'b-535'],
  ] as const)
    test(text, () => {
      const found = said(text, ALL_REFUSED);
      assert.deepEqual([found.cause, found.block], ['block', block], found.sentence);
      assert.match(found.sentence, /^Stopgap told it "/);
      assert.doesNotMatch(found.sentence, OTHERS);
    });
});

describe('a text that shows only the code of a known answer names what was told, and that others use that code', () => {
  for (const [text, block] of [
    ['Server error:451', 'b-451'],
    ['I have sent 480 mails, and it says 451', 'b-451'],
    ['call me at 0421 555 1234: error:451', 'b-451'],
    ['451 4.3.2 <END-OF-MESSAGE>: End-of-data rejected: Service temporarily unav…', 'b-451'],
    ['451 Greylisted, please try again in 300 seconds', 'b-451'],
    ['host mx.example.org said: 451 Temporary local problem - please try later', 'b-451'],
    ['550-5.7.1 [192.0.2.1] Our system has detected that this message is likely spam', 'b-550'],
    ['Diagnostic-Code: smtp; 550 5.7.1 Message rejected as spam', 'b-550'],
    ['454 4.7.0 TLS not available due to local problem', 'b-454'],
    ['SMTP-Fehler (454): Authentifizierung fehlgeschlagen.', 'b-454'],
    ['535 5.7.8 Error: authentication failed', 'b-535'],
    ['535-5.7.8 Username and Password not accepted. Go to 535 5.7.8 https://support.google.com/', 'b-535'],
    ['SMTP-Fehler 535', 'b-535'],
  ] as const)
    test(text, () => {
      const found = said(text, ALL_REFUSED);
      assert.deepEqual([found.cause, found.block], ['block', block], found.sentence);
      assert.match(found.sentence, /^Stopgap told it ".* Only the code is the same, .* may have said it\.$/);
    });

  test('not of a login that a mail server words for Stopgap', () => {
    const own = { hasLoginsWorded: true };
    for (const given of [
      { refusals: [refused(AS_WRONG_PASSWORD)], own },
      { failed: wrong(), own },
      { standing: { block: 'b1', replies: [CREDENTIALS], cameAt: undefined }, own },
    ])
      assert.doesNotMatch(said('535 5.7.8 Error: authentication failed', given).sentence, OTHERS);
  });

  test('not of more than a day ago, for a reply has several causes', () => {
    const refusals = [LATER, CREDENTIALS].map((reply) => refused(reply, 'over', NOW - DAY - MINUTE));
    for (const text of ['451 Greylisted', '535 no', 'Login failed', LATER, CREDENTIALS])
      assert.equal(said(text, { refusals }).cause, 'none', text);
  });
});

describe('a text without the answer of a server', () => {
  for (const text of [
    'Login to server mx.example.com with username gil@example.com failed.',
    'Cannot Send Mail. The user name or password for "mx.example.com" is incorrect.',
    '(0x800CCC92) The e-mail server rejected your login.',
    'my number is 0421 555 1234: login failed',
    'Room 205: login failed',
    'Anmeldung fehlgeschlagen',
    'Das Kennwort ist falsch',
    "L'authentification a échoué",
    'Logon failed',
    'No se pudo autenticar',
    'La contraseña no es correcta',
    'A senha está incorreta',
    'Het wachtwoord is onjuist',
    'Nieprawidłowe hasło',
    'Неверный пароль',
    'Ошибка входа',
  ])
    test(`about a login names what had one fail, and says that it is not sure: ${text}`, () => {
      const block = said(text, { refusals: [refused(AS_WRONG_PASSWORD), refused(LATER, 'b2')] });
      assert.deepEqual([block.cause, block.block, block.code], ['block', 'b1', null]);
      assert.match(block.sentence, /may well be right\. The text shows no answer .* reading mail \(IMAP/);
      const reading = said(text, { failed: wrong(), own: { failsReading: true } });
      assert.equal(reading.cause, 'password');
      assert.doesNotMatch(reading.sentence, /IMAP/);
    });

  for (const text of [
    'The server does not support authentication',
    "The Outgoing server (SMTP) mx.example.com doesn't support the selected authentication method.",
    'None of the authentication methods supported by this client are supported by your server.',
    'SMTP AUTH extension not supported by server.',
    'Der Server unterstützt keine Authentifizierung',
    "Le serveur ne prend pas en charge l'authentification",
    'El servidor no admite la autenticación',
  ])
    test(`that says that no login is offered points at TLS: ${text}`, () => {
      const hint =
        /^A program that is offered no login that it can use has sent no password\. It has come without TLS,/;
      assert.match(said(text).sentence, hint);
      assert.match(said(text).sentence, /send-proxy-v2-ssl/);
      assert.match(said(text, { failed: wrong() }).sentence, hint);
      const { sentence } = said(text, { own: { isAsked: true } });
      assert.match(sentence, hint);
      assert.doesNotMatch(sentence, /send-proxy-v2-ssl|password was wrong|give the IP address/);
    });

  test('points at TLS nowhere else', () => {
    for (const text of [
      'Login failed. Please contact support@example.com',
      'No route to host: see support.example.com',
      'Authentication failed for support@example.com',
      `${CREDENTIALS}: the server does not support this login`,
    ])
      assert.doesNotMatch(said(text).sentence, /TLS/, text);
  });

  for (const text of [
    'my number is 0421 555 1234',
    'Room 205',
    'https://mail.example.com:443 fails',
    'Connection timed out',
    'cannot connect to 192.0.2.7:587 on 2026-01-31',
    'Входящие: ошибка',
    'Es geht nicht',
    'Mot de passe refusé',
    'Please try again later',
  ])
    test(`about something else is not explained, and what is known of then is named: ${text}`, () => {
      const found = said(text, { refusals: [refused(LATER)], failed: wrong(NOW - HOUR) });
      assert.deepEqual([found.cause, found.block, found.code], ['none', null, null]);
      assert.match(
        found.sentence,
        /^By these words alone it cannot be told: .* around then: Stopgap told it "451 .* Give the answer word by word/,
      );
      assert.doesNotMatch(found.sentence, /Its password was wrong/);
      const nothing = said(text);
      assert.match(nothing.sentence, / Nothing is known here of this account around then: perhaps /);
      const split = said(text, { isSaidElsewhere: true });
      assert.match(split.sentence, / What clients were told only the SMTP nodes know \(their log/);
    });

  test('about a login names also what had it put off', () => {
    const text = 'Anmeldung am Server fehlgeschlagen';
    const troubles = [{ why: 'logins', at: undefined, heard: undefined }] as const;
    const refusals = [refused(CREDENTIALS, 'over', NOW - 4 * MINUTE)];
    assert.equal(said(text, { troubles, refusals }).cause, 'trouble');
    assert.equal(said(text, { refusals: [refused(PUT_OFF)] }).block, 'b1');
    assert.equal(said(text, { failed: wrong(NOW, PUT_OFF_ONLY) }).cause, 'too many logins');
    const upstream = [{ why: 'upstream', at: undefined, heard: undefined }] as const;
    assert.doesNotMatch(said(text, { troubles: upstream, failed: wrong() }).sentence, /mail server behind/);
  });

  test('about a login names what else is known of then where no login is known to have failed', () => {
    const text = 'my outlook asks for the password all the time';
    const honest = said(text, { standing: { block: 'b9', replies: [HONEST], cameAt: undefined } });
    assert.match(honest.sentence, /^By these words alone .* around then: "550 .* is what block b9/);
    const held = said(text, { refusals: [refused('HOLD')] });
    assert.match(held.sentence, /The mail server was told to hold its mail at \S+, because of block b1/);
    const split = said(text, { isSaidElsewhere: true });
    assert.match(
      split.sentence,
      /only the SMTP nodes know \(their log, which has of failed logins the network/,
    );
    const nothing = said(text, { failedSince: NOW - HOUR, at: NOW - 2 * HOUR });
    assert.match(nothing.sentence, /^By these words alone .* Perhaps the password was wrong: /);
  });

  test('but with the enhanced code of one is that answer: some programs leave out the three digits', () => {
    for (const [text, block] of [
      ['The mail server responded: 5.7.8 Error: authentication failed: (reason unavailable)', 'b-535'],
      ['5.7.8', 'b-535'],
      ['45l 4.3.2 Service temporarily', 'b-451'],
      ['4.3.2', 'b-451'],
    ] as const) {
      const found = said(text, ALL_REFUSED);
      assert.deepEqual([found.cause, found.block], ['block', block], found.sentence);
    }
    assert.match(said('4.3.9 no').sentence, /^Nothing here is known to have said 4\.3\.9 to this/);
  });

  test('with the code of another answer is about no login', () => {
    for (const text of ['550 5.1.1 authentication', '5.1.1 login', '535 5.7.3 Authentication unsuccessful']) {
      const found = said(text, { refusals: [refused(AS_WRONG_PASSWORD)], failed: wrong() });
      assert.equal(found.cause, 'none', text);
    }
  });
});

describe('of several that fit the sentence names all, and first what is the likeliest', () => {
  const standing = { block: 'b9', replies: [CREDENTIALS, LATER], cameAt: undefined };

  test('what was refused just before by a block that stands', () => {
    const troubles = [{ why: 'upstream', at: undefined, heard: undefined }] as const;
    const found = said(LATER, { refusals: [refused(LATER)], troubles });
    assert.deepEqual([found.cause, found.block], ['block', 'b1']);
    assert.match(found.sentence, /Stopgap says 451 while .* it is so now\./);
  });

  test('then a block that stands, before a wrong password: the right one fails too', () => {
    const found = said('535', { standing, failed: wrong() });
    assert.deepEqual([found.cause, found.block, found.at], ['block', 'b9', null]);
    assert.match(
      found.sentence,
      /^"535 .*" is what block b9 .* has the client told\. Its password was wrong/,
    );
  });

  test('the newer of a refusal and a wrong password, where a block stands only for how it came then', () => {
    const guess = { ...standing, cameAt: formatInstant(NOW - 9 * MINUTE) };
    for (const [failedAt, cause] of [
      [NOW - 10 * SECOND, 'password'],
      [NOW - 10 * MINUTE, 'block'],
    ] as const) {
      const refusals = [refused(CREDENTIALS, 'b9', NOW - 9 * MINUTE)];
      const found = said('535', { standing: guess, refusals, failed: wrong(failedAt) });
      assert.equal(found.cause, cause, found.sentence);
    }
  });

  test('the refusal of that block in its place where it was just before', () => {
    const one = said('535', { standing, refusals: [refused(CREDENTIALS, 'b9')] });
    assert.match(
      one.sentence,
      /^Stopgap told it "535 [^"]*" at AUTH at \S+ because of block b9 \([^)]*\)\. The password may well be right\.$/,
    );
    const old = said('535', { standing, refusals: [refused(CREDENTIALS, 'b9', NOW - HOUR)] });
    assert.match(old.sentence, /^"535 .*" is what block b9 \([^)]*\) has the client told\.$/);
  });

  test('then what is nearest to the time, before a block that is over', () => {
    const refusals = [
      refused(LATER, 'over', NOW - 2 * MINUTE),
      refused(AS_WRONG_PASSWORD, 'over', NOW - 2 * MINUTE),
    ];
    const troubles = [
      { why: 'upstream', at: NOW - MINUTE, heard: { since: NOW - MINUTE, last: NOW - MINUTE } },
    ] as const;
    const later = said(LATER, { refusals, troubles });
    assert.deepEqual([later.cause, later.at], ['trouble', formatInstant(NOW - MINUTE)]);
    assert.match(later.sentence, /because of block over \([^)]*\)\. That block is over\.$/);
    assert.equal(said('535', { refusals, failed: wrong() }).cause, 'password');
    assert.equal(said('535', { refusals, failed: wrong(NOW - HOUR) }).cause, 'block');
  });

  test('the refusal that is nearest to the time that was named, a little later too', () => {
    const refusals = [refused(LATER, 'b2', NOW + 5 * MINUTE), refused(LATER, 'b1', NOW - 5 * HOUR)];
    assert.equal(said(LATER, { refusals }).block, 'b2');
    assert.equal(said(LATER, { refusals, at: NOW - 5 * HOUR }).block, 'b1');
  });

  test('what would refuse it only as it came before last, for nobody knows whether it comes like that', () => {
    const guess = { ...standing, cameAt: formatInstant(NOW - HOUR) };
    assert.match(
      said(LATER, { standing: guess }).sentence,
      / has the client told where it comes as it did at \S+\.$/,
    );
    const failed = wrong();
    assert.equal(said('535', { standing: guess, failed }).cause, 'password');
  });

  test('an account that cannot log in before all', () => {
    const found = said('535', { standing, hasNoLogin: 'There is no such account.' });
    assert.equal(found.cause, 'no login');
    assert.match(found.sentence, /^There is no such account\. "535/);
  });

  test('three at most, and each block once', () => {
    const refusals = ['b1', 'b2', 'b3', 'b4', 'b1'].map((id, index) =>
      refused(LATER, id, NOW - index * SECOND),
    );
    const { sentence } = said(LATER, { refusals });
    assert.deepEqual(sentence.match(/block b\d/g), ['block b1', 'block b2', 'block b3']);
  });
});

describe('what else is known here', () => {
  test('is what put off everybody, for mail and for logins', () => {
    for (const [why, text, words] of [
      ['upstream', LATER, 'the mail server behind does not answer'],
      ['store', LATER, 'the store takes no events'],
      ['spool', '451', 'spool directory'],
      ['logins', PUT_OFF, 'smtp.auth.backend'],
      ['checks', '454', 'more passwords'],
    ] as const) {
      const troubles = [{ why, at: NOW, heard: { since: NOW, last: NOW } }] as const;
      const found = said(text, { troubles });
      assert.deepEqual([found.cause, found.at, found.block], ['trouble', formatInstant(NOW), null]);
      assert.ok(found.sentence.includes(words), found.sentence);
      assert.equal(
        said(text.startsWith('451') ? PUT_OFF : LATER, { troubles }).cause,
        'none',
        'another reply',
      );
      assert.equal(said('451 4.7.1 Greylisted', { troubles }).cause, 'none');
    }
  });

  test('is a wrong password, and whether there is such an account if that is known', () => {
    assert.match(
      said(CREDENTIALS, { failed: wrong() }).sentence,
      /^Its password was wrong: .* 192\.0\.2\.1\.$/,
    );
    const perhaps = said('535', { failed: wrong(NOW, { isKnown: false }) });
    assert.match(perhaps.sentence, /^Its password was wrong, or there is no such account: /);
    const putOff = said('454 4.7.0', { failed: wrong(NOW, PUT_OFF_ONLY) });
    assert.equal(putOff.cause, 'too many logins');
    assert.match(putOff.sentence, / from 192\.0\.2\.2\.$/);
    const none = said('535', { failed: wrong(NOW, { isKnown: false, wasNone: true }) });
    assert.match(
      none.sentence,
      /^There was no such account then, or it was disabled, or its password was wrong: /,
    );
    assert.notEqual(said('Temporary authentication failure', { failed: wrong() }).cause, 'password');
  });

  test('is what the mail server behind refused with that code, unless the words are our own', () => {
    const behindCodes = [
      { code: 550, at: formatInstant(NOW - MINUTE) },
      { code: 554, at: formatInstant(NOW) },
    ];
    const found = said('550 5.1.1 no such user', { behindCodes });
    assert.deepEqual([found.cause, found.at], ['mail server', formatInstant(NOW - MINUTE)]);
    assert.match(
      found.sentence,
      /^The mail server behind refused a recipient of it with 550, .*: perhaps that\./,
    );
    assert.equal(said('551 moved', { behindCodes }).cause, 'none');
    assert.equal(said('5.1.1 <x@y.example>: User unknown', { behindCodes }).cause, 'mail server');
    assert.equal(said('4.2.1 mailbox busy', { behindCodes }).cause, 'none');
    const own = said(HONEST, { behindCodes });
    assert.doesNotMatch(own.sentence, /mail server behind/);
  });

  test('is a block that is none of the caller’s, without its name', () => {
    const found = said('535', { refusals: [refused(CREDENTIALS)], blockOn: () => undefined });
    assert.deepEqual([found.cause, found.block], ['block', null]);
    assert.match(found.sentence, /a block that is of none of your domains/);
  });

  test('may be a block of a network, where no address was given and no block stands', () => {
    for (const [text, given] of [
      ['535', { failed: wrong() }],
      ['535', { refusals: [refused(CREDENTIALS, 'over')] }],
      [CREDENTIALS, { refusals: [refused(CREDENTIALS, 'over', NOW - HOUR)] }],
      [LATER, {}],
      ['Login failed', {}],
      ['535 5.7.8 Error: authentication failed', {}],
    ] as const) {
      assert.match(
        said(text, { ...given, atAddress: undefined }).sentence,
        /give the IP address that it came from\.$/,
      );
      assert.doesNotMatch(said(text, given).sentence, /give the IP address/);
    }
    const words = 'If it was not that, a block of a network may have done it: give the IP address';
    for (const given of [{ failed: wrong() }, { refusals: [refused(CREDENTIALS, 'over')] }])
      assert.ok(said('535', { ...given, atAddress: undefined }).sentence.includes(words));
    const stands = said('535', { refusals: [refused(CREDENTIALS)], atAddress: undefined });
    assert.doesNotMatch(stands.sentence, /give the IP address/);
    // What has told these very words just then is named: nothing else is likely.
    for (const [text, given] of [
      [LATER, { refusals: [refused(LATER, 'over')] }],
      [CREDENTIALS, { refusals: [refused(CREDENTIALS, 'over')] }],
      [CREDENTIALS, { failed: wrong() }],
    ] as const) {
      const { sentence } = said(text, { ...given, atAddress: undefined });
      assert.doesNotMatch(sentence, /a block of a network|give the IP address/i);
    }
    const there = said('535', { atAddress: [refused(AS_WRONG_PASSWORD)] });
    assert.match(there.sentence, /^Stopgap had a login from 192\.0\.2\.1 fail at /);
  });
});

describe('where nothing that is known here fits', () => {
  test('each reply of our own tells what it is about, and blames no other server', () => {
    const texts = Object.values(replies).flatMap((one) =>
      typeof one === 'object' && 'code' in one ? [replies.replyLine(one)] : [],
    );
    assert.ok(texts.length >= 15);
    for (const text of [
      ...texts,
      HONEST,
      '452 Error: too many recipients',
      '530 Error: authentication Required',
      '538 Error: Must issue a STARTTLS command first',
      `450${LATER.slice(3)}`,
      'Error: "552 Error: message exceeds fixed maximum message size 26214400"',
    ])
      assert.match(said(text).sentence, /^Stopgap says so /, text);
    for (const [text, cause, setting] of [
      ['452 Error: too many recipients', 'other', 'smtp.maxRecipients'],
      ['552 5.3.4 Message exceeds the size limit', 'other', 'smtp.maxMessageSize'],
      ['553 5.7.1 You may not send from this address', 'return path', 'smtp.senders'],
      [
        '421 4.7.0 Too many connections from your network, please try again later',
        'other',
        'smtp.perNetwork',
      ],
    ] as const) {
      const found = said(text);
      assert.equal(found.cause, cause, text);
      assert.ok(found.sentence.includes(setting), found.sentence);
    }
    const common = said("552 5.3.4 Message exceeds the size limit of the recipient's mailbox");
    assert.match(common.sentence, /; other servers use the same words\.$/);
  });

  test('words are not our own with another code', () => {
    for (const text of ['550 4.3.2 Shutting down', '451 Too many recipients', '451 4.3.2 try again later'])
      assert.doesNotMatch(said(text).sentence, /Stopgap says so/, text);
  });

  test('a code tells all that it may be about, each once', () => {
    for (const [text, ...about] of [
      ['421 4.3.2', 'smtp.maxConnections', 'being stopped or started'],
      ['421 4.7.0', 'the account was removed', 'smtp.perNetwork'],
      ['550 5.7.1', 'refuses honestly', 'smtp.inbound'],
      ['552 quota', 'smtp.maxMessageSize', 'Another server may have'],
      ['450', 'because of a block'],
    ] as const) {
      const found = said(text);
      assert.equal(found.cause, 'none');
      assert.match(found.sentence, /^Nothing here is known to have said \d{3}/);
      for (const words of about) assert.equal(found.sentence.split(words).length, 2, found.sentence);
    }
  });

  test('replies that the settings leave out are not ours', () => {
    const inbound = said('550 5.7.1 Relaying denied', { own: { takesArriving: false } });
    assert.doesNotMatch(inbound.sentence, /smtp\.inbound/);
    assert.doesNotMatch(said('450', { own: { askedCodes: [] } }).sentence, /because of a block/);
    const asked = { isAsked: true, failsLogins: false };
    assert.doesNotMatch(said('535 5.7.8 Error: authentication failed', { own: asked }).sentence, /block/);
    assert.match(said('535', { own: { isAsked: true } }).sentence, /Stopgap says 535 because of a block/);
  });

  test('a wrong password is nothing that Stopgap tells where mail servers ask', () => {
    const { sentence } = said('535 5.7.8 Error: authentication failed', { own: { isAsked: true } });
    assert.match(
      sentence,
      /Stopgap says 535 5\.7\.8 because of a block, where Dovecot, stopgap sasl-proxy or a mail server .* asks/,
    );
    assert.doesNotMatch(sentence, /where the password is wrong/);
  });

  test('a login that was put off may not be known, unless each one is since before that time', () => {
    const notKept =
      /Which logins were put off is kept here for an hour at most, and none of before the last start/;
    assert.match(said(PUT_OFF).sentence, notKept);
    assert.match(said(PUT_OFF, { failedSince: NOW + 1 }).sentence, notKept);
    assert.doesNotMatch(said(PUT_OFF, { failedSince: NOW - HOUR }).sentence, notKept);
    assert.doesNotMatch(said(PUT_OFF, { isSaidElsewhere: true }).sentence, notKept);
    assert.doesNotMatch(said(LATER).sentence, notKept);
  });

  test('a wrong password may not be known, unless each one is since before that time', () => {
    const text535 = '535 5.7.8 Error: authentication failed';
    const known = said(text535, { failedSince: NOW - HOUR });
    assert.match(
      known.sentence,
      /No login of it has failed here with a wrong password since .* may use another user name, or another server/,
    );
    const before = said(text535, { failedSince: NOW - HOUR, at: NOW - 2 * HOUR });
    assert.match(before.sentence, /Perhaps the password was wrong: that is kept here for an hour at most/);
    for (const text of [CREDENTIALS, text535])
      assert.match(said(text).sentence, /Perhaps the password was wrong: that is kept here/);
  });

  test('only the SMTP nodes may know it where roles are split', () => {
    for (const text of ['535 5.7.8 Error: authentication failed', '454', LATER]) {
      const { sentence } = said(text, { isSaidElsewhere: true });
      assert.match(sentence, /the SMTP nodes know \(their log/, text);
      assert.doesNotMatch(sentence, /Nothing here|None of it|erhaps/, text);
    }
  });

  test('the store cannot be read', () => {
    assert.match(said('451', { refusals: undefined }).sentence, /^Who said that is not known: the store/);
  });

  test('a foreign return path says whether the account may use the one that was given', () => {
    const text = 'You may not send from this address';
    for (const shown of [text, `553 5.7.1 ${text}`]) {
      assert.match(said(shown).sentence, /Give the return path/);
      assert.match(said(shown, { returnPath: 'passes' }).sentence, /The account may use the return path/);
      assert.match(said(shown, { returnPath: undefined }).sentence, /is not known here\.$/);
      const not = said(shown, { returnPath: 'refused' });
      assert.equal(not.cause, 'return path');
      assert.match(not.sentence, /^The account may not use that return path/);
    }
  });
});
