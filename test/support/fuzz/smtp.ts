import fc from 'fast-check';
import { ALICE, BOB, PASSWORDS, WRONG } from '../smtp/stopgap.js';
import { anyText, cuts, damaged } from './cases.js';

export type Port = 'submission' | 'inbound';

/** What a client does next. */
export type Step =
  /** Says a line and waits for its reply. */
  | { readonly say: string }
  /** Sends what follows a 354, and the end of the message. */
  | { readonly content: string }
  /** STARTTLS and the handshake, with something in clear behind the command. */
  | { readonly startTls: string };

export interface Talk {
  readonly port: Port;
  readonly steps: readonly Step[];
}

/** Everything at once, without waiting for answers. */
export interface Stream {
  readonly port: Port;
  readonly text: string;
  readonly cuts: readonly number[];
  /** Before the greeting. */
  readonly early: boolean;
  readonly end: 'quit' | 'close' | 'reset';
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const plain = (user: string, password: string): string => `AUTH PLAIN ${base64(`\0${user}\0${password}`)}`;
const LOGIN = plain(ALICE, PASSWORDS[ALICE]!);

const part = fc.constantFrom(
  'alice',
  'bob',
  'victim',
  'postmaster',
  'a',
  '+tag',
  '.',
  '..',
  '%',
  '!',
  '@',
  '"',
  '\\',
  ' ',
  '\t',
  'ü',
  'İ',
  '\u202e',
  '\u200b',
  '\0',
  '\x1b[2J',
  '(c)',
  '[',
  ']',
  ',',
  ':',
  ';',
  '<',
  '>',
  '=',
  '|',
  '`',
);
const local = fc.array(part, { minLength: 1, maxLength: 4 }).map((all) => all.join(''));
const domain = fc.constantFrom(
  'example.com',
  'EXAMPLE.com',
  'example.com.',
  'sub.example.com',
  'evil.test',
  'example.com.evil.test',
  'exämple.com',
  'xn--exmple-cua.com',
  'ｅxample.com',
  'example\u3002com',
  '[127.0.0.1]',
  '[IPv6:::1]',
  'example.com\0',
  'evil.test%example.com',
  '[example.com]',
  '',
  '-',
  'a..b',
  `${'x'.repeat(300)}.test`,
);
const address = fc.oneof(
  fc.constantFrom(ALICE, BOB, 'victim@example.com', 'one@elsewhere.test', '', 'Postmaster'),
  fc.tuple(local, domain).map(([name, where]) => `${name}@${where}`),
  anyText,
);
const route = fc.constantFrom('', '', '', '@evil.test:', '@a.test,@b.test:', '@[127.0.0.1]:', '@:');
const parameter = fc.constantFrom(
  '',
  '',
  '',
  ' SIZE=1',
  ' SIZE=99999999999999999999',
  ' SIZE=-1',
  ' BODY=8BITMIME',
  ' BODY=x',
  ' SMTPUTF8',
  ' RET=HDRS ENVID=a+0D+0AQUIT',
  ' NOTIFY=NEVER',
  ' ORCPT=rfc822;a+0D+0ARSET',
  ' AUTH=<>',
  ' x=',
  ' __proto__=1',
  ' ENVID=+FF+00',
  ' SIZE=1 SIZE=1',
  ' =',
  ' ORCPT=;',
  ' SMTPUTF8=1',
  'SIZE=1',
);
const envelope = fc
  .tuple(fc.constantFrom('MAIL FROM:', 'RCPT TO:', 'mail from: ', 'RCPT  TO:'), route, address, parameter)
  .map(([verb, by, who, more]) => `${verb}<${by}${who}>${more}`);
const login = fc.oneof(
  fc.constantFrom(LOGIN, LOGIN, plain(BOB, WRONG), 'AUTH LOGIN', `AUTH LOGIN ${base64(ALICE)}`, 'AUTH PLAIN'),
  fc.constantFrom('AUTH', 'AUTH PLAIN =', 'AUTH PLAIN !!', 'AUTH CRAM-MD5', 'AUTH LOGIN *', 'AUTH XOAUTH2 a'),
  fc.array(fc.oneof(anyText, fc.constantFrom(ALICE, PASSWORDS[ALICE]!)), { maxLength: 4 }).map((all) => {
    return `AUTH PLAIN ${base64(all.join('\0'))}`;
  }),
);
/** What a login is continued with. */
const continued = fc.oneof(
  fc.constantFrom('*', '=', '', base64(ALICE), base64(PASSWORDS[ALICE]!), base64('\0\0'), '!', 'QUIT'),
  anyText.map(base64),
);
const word = fc.constantFrom(
  'RSET',
  'NOOP',
  'NOOP x y',
  'VRFY a',
  'HELP',
  'QUIT',
  'EHLO fuzz.test',
  'HELO fuzz.test',
  'EHLO',
  'ETRN x',
  'EHLO [::1]',
  'EHLO a b',
  'HELO \u202e',
  `EHLO ${'x'.repeat(256)}`,
  'LHLO x',
  'DATA',
  'DATA x',
  'DATA',
  '',
  'BDAT 5',
  'BDAT 0 LAST',
  'BDAT -1',
  'STARTTLS x',
  'XCLIENT ADDR=192.0.2.1',
  'XFORWARD NAME=x',
  'EXPN a',
  ' ',
  'PROXY TCP4 192.0.2.1 192.0.2.2 1 2',
  'GET / HTTP/1.1',
  'WIZ',
  'TURN',
  '.',
  'x'.repeat(4097),
  '\0',
  '\xff\xfe',
);
const line = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(`MAIL FROM:<${ALICE}>`, 'RCPT TO:<victim@example.com>', 'DATA') },
  { weight: 4, arbitrary: envelope },
  { weight: 3, arbitrary: word },
  { weight: 2, arbitrary: login },
  { weight: 1, arbitrary: continued },
  { weight: 1, arbitrary: damaged(fc.oneof(envelope, login, word)) },
  { weight: 1, arbitrary: anyText },
);
const oneLine = line.map((text) => text.replace(/[\r\n]/g, '?'));
const content = fc
  .array(
    fc.constantFrom(
      'Subject: x',
      '',
      '.',
      '..',
      '...',
      '.x',
      'x'.repeat(1200),
      'Received: from a by b; now',
      'QUIT',
      '\0',
      'RCPT TO:<smuggled@evil.test>',
      'MAIL FROM:<bob@example.com>',
      'Content-Type: multipart/report',
      '\r',
      '\n',
      `${'x'.repeat(998)}\r\n`.repeat(270),
      'x\n.\nRSET',
      'x\r.\rRSET',
      'x\n.\r\nRSET',
      '\xff\xfe',
      'Action: failed',
      'BDAT 1',
    ),
    { maxLength: 8 },
  )
  .map((lines) => lines.join('\r\n'));

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: oneLine.map((say): Step => ({ say })) },
  { weight: 2, arbitrary: content.map((text): Step => ({ content: text })) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom('', '', 'RSET\r\n', `${LOGIN}\r\n`, `MAIL FROM:<${BOB}>\r\n`, '\x16\x03\x01\0')
      .map((startTls): Step => ({ startTls })),
  },
);
/** Most conversations begin well, or none would ever get far. */
const begun: readonly (readonly string[])[] = [
  [],
  ['EHLO fuzz.test'],
  ['EHLO fuzz.test', LOGIN],
  ['EHLO fuzz.test', LOGIN, `MAIL FROM:<${ALICE}>`],
  ['EHLO fuzz.test', LOGIN, `MAIL FROM:<${ALICE}>`, 'RCPT TO:<victim@example.com>'],
  ['EHLO fuzz.test', LOGIN, `MAIL FROM:<${ALICE}>`, 'RCPT TO:<victim@example.com>', 'DATA'],
  ['EHLO fuzz.test', 'AUTH LOGIN'],
  ['EHLO fuzz.test', 'MAIL FROM:<stranger@elsewhere.test>', 'RCPT TO:<victim@example.com>'],
];
const port = fc.constantFrom<Port>('submission', 'submission', 'submission', 'inbound');
export const talk: fc.Arbitrary<Talk> = fc.record({
  port,
  steps: fc
    .tuple(fc.constantFrom(...begun), fc.array(step, { maxLength: 14 }))
    .map(([first, rest]) => [...first.map((say) => ({ say })), ...rest]),
});
export const stream: fc.Arbitrary<Stream> = fc.record({
  port,
  text: fc
    .tuple(
      fc.constantFrom(...begun),
      fc.array(
        fc.tuple(fc.oneof(line, content), fc.constantFrom('\r\n', '\r\n', '\r\n', '\n', '\r', '\0\r\n', '')),
        {
          maxLength: 20,
        },
      ),
    )
    .map(([first, rest]) => [...first.map((each) => `${each}\r\n`), ...rest.flat()].join('')),
  cuts,
  early: fc.constantFrom(false, false, false, true),
  end: fc.constantFrom('quit', 'quit', 'close', 'reset'),
});
