import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MessageRefused } from '../../../src/sending/events.js';
import type { Direction, SubjectType } from '../../../src/sending/subjects.js';
import type { Dialogue } from '../../support/smtp/dialogue.js';
import { ALICE, BOB, PASSWORDS, Stopgap } from '../../support/smtp/stopgap.js';

const SOFT = /^451 4\.3\.2 Service temporarily unavailable/;
const OK = /^250 /;

/** What a client meets at MAIL FROM and at the first RCPT TO. */
async function offer(session: Dialogue, from: string, to = 'one@elsewhere.test'): Promise<string> {
  await session.say('RSET');
  const utf8 = /^[ -~]*$/.test(from) ? '' : ' SMTPUTF8';
  assert.match(await session.say(`MAIL FROM:<${from}>${utf8}`), OK, 'MAIL FROM succeeds as always');
  return session.say(`RCPT TO:<${to}>`);
}

interface Case {
  readonly type: SubjectType;
  readonly value: string;
  /** Return paths, EHLO names or client addresses. */
  readonly refused: readonly string[];
  readonly passed: readonly string[];
}

const BY_RETURN_PATH: readonly Case[] = [
  {
    type: 'address',
    value: 'Alice.Smith@Example.COM.',
    refused: [
      'alice.smith@example.com',
      'ALICE.SMITH@EXAMPLE.COM',
      'alice.smith+tag@example.com',
      '"alice.smith"@example.com',
      '"Alice\\.Smith+tag"@example.com',
    ],
    passed: ['alice@example.com', 'alice.smith@sub.example.com', ''],
  },
  {
    type: 'address',
    value: '*@wild.example',
    refused: ['a@wild.example', 'B+c@WILD.example'],
    passed: ['a@sub.wild.example', 'a@wild.example.org'],
  },
  {
    type: 'address',
    value: 'bulk-*@example.com',
    refused: ['bulk-1@example.com', 'Bulk-march@example.com'],
    passed: ['bulk@example.com', 'bulky@example.com', 'bulk-1@example.org'],
  },
  {
    type: 'domain',
    value: 'spam.example',
    refused: ['a@spam.example', 'a@mail.spam.example', 'a@a.b.SPAM.example'],
    passed: ['a@notspam.example', 'a@spam.example.org'],
  },
  {
    type: 'domain',
    value: 'bücher.example',
    refused: ['a@xn--bcher-kva.example', 'a@shop.xn--bcher-kva.example', 'a@BÜCHER.example'],
    passed: ['a@bucher.example'],
  },
];

test('return paths: exact, wildcards, domains with their subdomains, in any spelling', async (t) => {
  const stopgap = await Stopgap.start(t, { smtp: { senders: 'any' } });
  const session = await stopgap.loggedIn();
  for (const { type, value, refused, passed } of BY_RETURN_PATH) {
    await t.test(`${type} ${value}`, async () => {
      for (const path of refused) assert.match(await offer(session, path), OK, `${path} before`);
      await stopgap.block(type, value);
      for (const path of refused) assert.match(await offer(session, path), SOFT, path);
      for (const path of passed) assert.match(await offer(session, path), OK, path);
      await stopgap.release(type, value);
      for (const path of refused) assert.match(await offer(session, path), OK, `${path} afterwards`);
    });
  }
  await session.quit();
});

test('EHLO names and client addresses', async (t) => {
  const stopgap = await Stopgap.start(t);
  const cases: readonly Case[] = [
    {
      type: 'ehlo',
      value: 'WIN-7.corp.test',
      refused: ['win-7.corp.test', 'WIN-7.CORP.TEST.'],
      passed: ['win-77.corp.test'],
    },
    {
      type: 'ehlo',
      value: 'win-*.corp.test',
      refused: ['win-1.corp.test', 'WIN-abc.corp.test'],
      passed: ['mac-1.corp.test', 'win-1.other.test'],
    },
    { type: 'ip', value: '127.0.0.9', refused: ['127.0.0.9'], passed: ['127.0.0.10'] },
    {
      type: 'ip',
      value: '127.0.9.0/24',
      refused: ['127.0.9.1', '127.0.9.255'],
      passed: ['127.0.8.255', '127.0.10.1'],
    },
  ];
  for (const { type, value, refused, passed } of cases) {
    await t.test(`${type} ${value}`, async () => {
      const sessions = await Promise.all(
        [...refused, ...passed].map((one) =>
          stopgap.loggedIn(ALICE, type === 'ip' ? { from: one } : { ehlo: one }),
        ),
      );
      await stopgap.block(type, value);
      for (const [index, session] of sessions.entries()) {
        const isRefused = index < refused.length;
        assert.match(await offer(session, ALICE), isRefused ? SOFT : OK, String(index));
        await session.say('RSET');
      }
      const again = await Promise.all(
        [...refused, ...passed].map((one) => stopgap.hello(type === 'ip' ? { from: one } : { ehlo: one })),
      );
      for (const [index, session] of again.entries()) {
        const reply = await session.login(ALICE, PASSWORDS[ALICE]!);
        assert.match(reply, index < refused.length ? /^535 / : /^235 /, String(index));
      }
      await Promise.all([...sessions, ...again].map((session) => session.quit()));
      await stopgap.release(type, value);
    });
  }
});

test('at AUTH, accounts, addresses and domains match the login itself', async (t) => {
  const stopgap = await Stopgap.start(t);
  for (const [type, value] of [
    ['account', 'ALICE@EXAMPLE.COM'],
    ['address', 'alice@example.com'],
    ['address', 'al*@example.com'],
    ['domain', 'example.com'],
  ] as const) {
    await t.test(`${type} ${value}`, async () => {
      await stopgap.block(type, value);
      const session = await stopgap.hello();
      assert.match(await session.login(ALICE, PASSWORDS[ALICE]!), /^535 /);
      assert.match(await session.login('Alice@Example.Com', PASSWORDS[ALICE]!), /^535 /);
      await stopgap.release(type, value);
      assert.match(
        await session.login('Alice@Example.Com', PASSWORDS[ALICE]!),
        /^235 /,
        'at the very next command',
      );
      await session.quit();
    });
  }
  await t.test('another account of the same domain goes on', async () => {
    await stopgap.block('account', ALICE);
    const bob = await stopgap.loggedIn(BOB);
    assert.match(await offer(bob, BOB), OK);
    await bob.quit();
    await stopgap.release('account', ALICE);
  });
});

test('a block applies in its own direction only', async (t) => {
  const stopgap = await Stopgap.start(t);
  const stranger = await stopgap.stranger();
  const cases: readonly (readonly [Direction, out: RegExp, into: RegExp])[] = [
    ['outbound', SOFT, OK],
    ['inbound', OK, SOFT],
    ['all', SOFT, SOFT],
  ];
  for (const [direction, out, into] of cases) {
    await t.test(direction, async () => {
      const account = await stopgap.loggedIn();
      await stopgap.block('address', ALICE, { direction });
      assert.match(await offer(account, ALICE), out);
      assert.match(await offer(stranger, ALICE, BOB), into);
      const login = await stopgap.hello();
      assert.match(await login.login(ALICE, PASSWORDS[ALICE]!), out === SOFT ? /^535 / : /^235 /);
      await Promise.all([login.quit(), account.quit()]);
      await stopgap.release('address', ALICE);
    });
  }
  await stranger.quit();
});

test('a block may refuse honestly, or defer', async (t) => {
  const stopgap = await Stopgap.start(t, { smtp: { softFail: { contact: 'help@example.com' } } });
  const HONEST = '550 5.7.1 Sending is blocked because of unusual activity; contact help@example.com';

  await t.test('honest: the login passes, RCPT gives the reason and the contact', async () => {
    const block = await stopgap.block('account', ALICE, { refusal: 'honest' });
    const session = await stopgap.loggedIn();
    assert.equal(await offer(session, ALICE), HONEST);
    const refusals = await stopgap.all<MessageRefused>('MessageRefused');
    const { stage, block: by, reply } = refusals.at(-1)!.data;
    assert.deepEqual({ stage, by, reply }, { stage: 'rcpt', by: block, reply: HONEST });
    await session.quit();
    await stopgap.release('account', ALICE);
  });

  await t.test(
    'hold: there is no queue here, so the login fails as a wrong password and RCPT temporarily',
    async () => {
      const before = await stopgap.loggedIn();
      await stopgap.block('account', ALICE, { refusal: 'hold' });
      assert.match(await offer(before, ALICE), SOFT);
      const [right, wrong] = [await stopgap.hello(), await stopgap.hello()];
      assert.equal(
        await right.login(ALICE, PASSWORDS[ALICE]!),
        await wrong.login(ALICE, 'a-wrong-pass-word'),
      );
      await Promise.all([before.quit(), right.quit(), wrong.quit()]);
      await stopgap.release('account', ALICE);
    },
  );

  await t.test('defer: the login and RCPT fail temporarily', async () => {
    const before = await stopgap.loggedIn();
    await stopgap.block('account', ALICE, { refusal: 'defer' });
    assert.match(await offer(before, ALICE), SOFT);
    const session = await stopgap.hello();
    const LATER = '454 4.7.0 Temporary authentication failure, please try again later';
    assert.equal(await session.login(ALICE, PASSWORDS[ALICE]!), LATER);
    const refusals = await stopgap.all<MessageRefused>('MessageRefused');
    assert.equal(refusals.at(-1)!.data.reply, LATER);
    await Promise.all([before.quit(), session.quit()]);
  });
});
