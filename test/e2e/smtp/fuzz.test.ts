import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { MessageAccepted } from '../../../src/sending/events.js';
import { Dialogue } from '../../support/smtp/dialogue.js';
import { ALICE, BOB, PASSWORDS, Stopgap, WRONG } from '../../support/smtp/stopgap.js';

const plain = (user: string, password: string): string =>
  `AUTH PLAIN ${Buffer.from(`\0${user}\0${password}`).toString('base64')}`;

/** What a client may say: mostly sense, in any order, some of it nonsense. */
const LINES: fc.Arbitrary<string> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.constantFrom(`MAIL FROM:<${ALICE}>`, 'RCPT TO:<a@x.test>', 'RCPT TO:<b@x.test>', 'DATA'),
  },
  {
    weight: 4,
    arbitrary: fc.constantFrom('EHLO fuzz.test', 'HELO fuzz.test', 'RSET', 'NOOP', 'QUIT', 'VRFY a', 'HELP'),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom(plain(ALICE, PASSWORDS[ALICE]!), plain(BOB, WRONG), 'AUTH LOGIN', '*', '.'),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      'MAIL FROM:<>',
      'MAIL FROM:<x@y> SIZE=1 SIZE=2',
      'MAIL FROM:<a@b> BODY=BINARYMIME',
      'RCPT TO:<>',
      'RCPT TO:<@a,@b:c@d.test>',
      'RCPT TO:<"a b"@x.test>',
      'RCPT TO:<a@[127.0.0.1]>',
      'RCPT TO:<ü@ü.test>',
      'STARTTLS x',
      'BDAT 10 LAST',
      'EHLO',
      'MAIL',
      '',
    ),
  },
  {
    weight: 1,
    arbitrary: fc.string({ unit: 'binary', maxLength: 60 }).map((text) => text.replace(/[\r\n]/g, '?')),
  },
);

const ENDS: fc.Arbitrary<string> = fc.constantFrom('\r\n', '\r\n', '\r\n', '\n');
const ANYTHING = fc.array(fc.tuple(LINES, ENDS), { maxLength: 25 });
const after = (...lines: string[]): typeof ANYTHING =>
  ANYTHING.map((rest) => [...lines.map((line): [string, string] => [line, '\r\n']), ...rest]);
const LOGGED_IN = ['EHLO fuzz.test', plain(ALICE, PASSWORDS[ALICE]!)];
/** Most of them begin well, or none would ever get far. */
const SCRIPT = fc.oneof(
  ANYTHING,
  after(...LOGGED_IN),
  after(...LOGGED_IN, `MAIL FROM:<${ALICE}>`, 'RCPT TO:<a@x.test>'),
  after(...LOGGED_IN, `MAIL FROM:<${ALICE}>`, 'RCPT TO:<a@x.test>', 'DATA'),
);
const RUNS = 25;

test('whatever clients say in whatever order, the process stays up and keeps its books', async (t) => {
  const stopgap = await Stopgap.start(t, {
    smtp: { auth: { users: './users.yaml', attemptsPerMinute: 100_000 } },
    rules: JSON.stringify({ version: 1, rules: [] }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(SCRIPT, { minLength: 8, maxLength: 8 }),
      fc.boolean(),
      async (scripts, abrupt) => {
        // Side by side: the greeting takes its time.
        await Promise.all(
          scripts.map(async (script, index) => {
            const port = stopgap.port(index % 4 === 3 ? 'inbound' : 'submission');
            const session = await Dialogue.connect(port);
            await session.reply();
            session.write(script.map(([line, end]) => `${line}${end}`).join(''));
            if (abrupt && index % 2 === 0) session.vanish();
            else session.write('\r\n.\r\nQUIT\r\nQUIT\r\n');
            await session.closed;
          }),
        );
        const session = await stopgap.loggedIn();
        assert.match(await session.send(ALICE, ['still@x.test']), /^250 /);
        await session.quit();
      },
    ),
    { numRuns: RUNS, seed: 20260302 },
  );
  const sends = await stopgap.all<MessageAccepted>('MessageAccepted');
  const handedOver = stopgap.upstream.messages;
  assert.ok(handedOver.length > RUNS + 10, 'not only the message that proves that it still works');
  assert.equal(sends.length, handedOver.length, 'an event for each message that went out');
  for (const { data } of sends) {
    const message = handedOver.find(({ content }) => content.includes(` id ${data.transaction};`));
    assert.equal(message?.to.length, data.recipients);
  }
  assert.deepEqual(
    stopgap.logs.filter((line) => /"level":(50|60)/.test(line)),
    [],
    'nothing that a client says is an error of ours',
  );
  assert.deepEqual(stopgap.faults, []);
});
