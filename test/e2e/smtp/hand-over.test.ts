import assert from 'node:assert/strict';
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import type { MessageAccepted, MessageRefused, RecipientsRefused } from '../../../src/sending/events.js';
import type { Script } from '../../support/relay/fake-upstream.js';
import { FakeUpstream } from '../../support/relay/fake-upstream.js';
import { eventually } from '../../support/smtp/eventually.js';
import { ALICE, BOB, Stopgap } from '../../support/smtp/stopgap.js';
import { Gate } from '../../support/gate.js';

const SOFT = '451 4.3.2 Service temporarily unavailable, please try again later';
const TO = 'one@elsewhere.test';

test('a block that falls during DATA: the end of the message is refused and nothing is handed over', async (t) => {
  const stopgap = await Stopgap.start(t);
  for (const size of ['short', 'spooled'] as const) {
    await t.test(size, async () => {
      const session = await stopgap.loggedIn();
      await session.sayAll([`MAIL FROM:<${ALICE}>`, `RCPT TO:<${TO}>`]);
      assert.match(await session.say('DATA'), /^354 /);
      session.write('Subject: slow\r\n\r\nfirst part\r\n');
      if (size === 'spooled') session.write(`${'x'.repeat(78)}\r\n`.repeat(10_000));
      const block = await stopgap.block('account', ALICE);
      session.write('second part\r\n.\r\n');
      assert.equal(await session.reply(), SOFT);
      assert.ok(!stopgap.upstream.commands.includes('DATA'), 'the upstream has not seen DATA');
      const refusals = await stopgap.all<MessageRefused>('MessageRefused');
      const { stage, block: by, reply, returnPath } = refusals.at(-1)!.data;
      assert.deepEqual(
        { stage, by, reply, returnPath },
        { stage: 'data', by: block, reply: SOFT, returnPath: ALICE },
      );
      assert.equal((await stopgap.all('MessageAccepted')).length, 0);
      if (size === 'spooled') {
        assert.deepEqual(await readdir(path.join(stopgap.dir, 'data/spool')), [], 'nothing is left there');
      }
      assert.equal(await session.say('NOOP'), '250 OK', 'the session goes on');
      await session.quit();
      await stopgap.release('account', ALICE);
    });
  }
  const session = await stopgap.loggedIn();
  assert.match(await session.send(ALICE, [TO]), /^250 /);
  await session.quit();
});

test('a block that falls while the body is on its way upstream: no final dot', async (t) => {
  const upstream = await FakeUpstream.start();
  const stopgap = await Stopgap.start(t, { upstream });
  const session = await stopgap.loggedIn();
  const goAhead = new Gate();
  // The upstream takes its time with DATA: the block falls before the last look at the verdict.
  upstream.script.DATA = (_line, peer) => {
    void goAhead.opened.then(() => peer.say('354 go ahead'));
    return '';
  };
  await session.sayAll([`MAIL FROM:<${ALICE}>`, `RCPT TO:<${TO}>`, 'DATA']);
  session.write('Subject: x\r\n\r\nx\r\n.\r\n');
  await upstream.until(() => upstream.commands.includes('DATA'));
  await stopgap.block('account', ALICE);
  goAhead.open();
  assert.equal(await session.reply(), SOFT);
  assert.equal(upstream.messages.length, 0);
  const [refusal] = await stopgap.all<MessageRefused>('MessageRefused');
  assert.equal(refusal!.data.stage, 'data');
  assert.equal((await stopgap.all('MessageAccepted')).length, 0);
  await session.quit();
});

test('of messages that an account ends all at once only those are handed over that have 200 recipients together', async (t) => {
  const upstream = await FakeUpstream.start();
  const stopgap = await Stopgap.start(t, { upstream });
  const goAhead = new Gate();
  upstream.script['.'] = (_line, peer) => {
    void goAhead.opened.then(() => peer.say('250 2.0.0 taken'));
    return '';
  };
  const sessions = await Promise.all(Array.from({ length: 5 }, () => stopgap.loggedIn()));
  for (const [index, session] of sessions.entries()) {
    const recipients = Array.from({ length: 100 }, (_, to) => `RCPT TO:<to${index}-${to}@elsewhere.test>`);
    await session.sayAll([`MAIL FROM:<${ALICE}>`, ...recipients, 'DATA']);
  }
  for (const session of sessions) session.write('Subject: x\r\n\r\nx\r\n.\r\n');
  await upstream.until(() => upstream.messages.length === 2);
  upstream.script = {};
  const colleague = await stopgap.loggedIn(BOB);
  assert.match(await colleague.send(BOB, [TO]), /^250 /, 'a colleague does not wait');
  assert.equal(upstream.messages.length, 3, 'two of the account and one of its colleague');
  goAhead.open();
  const replies = await Promise.all(sessions.map((session) => session.reply()));
  assert.equal(replies.filter((reply) => reply.startsWith('250 ')).length, 2);
  assert.equal(
    replies.filter((reply) => reply === SOFT).length,
    3,
    'those that waited are refused by the block',
  );
  const refused = await stopgap.all<MessageRefused>('MessageRefused');
  assert.equal(refused.at(-1)!.data.stage, 'data');
  assert.equal(upstream.messages.length, 3);
  await Promise.all([...sessions, colleague].map((session) => session.quit()));
});

test('a message that waits for those before it is given up when its client goes', async (t) => {
  const upstream = await FakeUpstream.start();
  const stopgap = await Stopgap.start(t, { upstream });
  const goAhead = new Gate();
  upstream.script['.'] = (_line, peer) => {
    void goAhead.opened.then(() => peer.say('250 2.0.0 taken'));
    return '';
  };
  const sessions = await Promise.all(Array.from({ length: 3 }, () => stopgap.loggedIn()));
  const recipients = Array.from({ length: 100 }, (_, to) => `RCPT TO:<to${to}@elsewhere.test>`);
  for (const session of sessions) await session.sayAll([`MAIL FROM:<${ALICE}>`, ...recipients, 'DATA']);
  const [waiting, ...first] = sessions;
  for (const session of first) session.write('Subject: x\r\n\r\nx\r\n.\r\n');
  await upstream.until(() => upstream.messages.length === 2);
  const body = `Subject: x\r\n\r\n${`${'x'.repeat(78)}\r\n`.repeat(4000)}`;
  waiting!.write(`${body}.\r\n`);
  const spool = path.join(stopgap.dir, 'data/spool');
  const sizes = async (): Promise<number[]> => {
    const names = await readdir(spool).catch(() => []);
    // One may go between the two.
    const sizeOf = (name: string): Promise<number[]> =>
      stat(path.join(spool, name)).then(
        ({ size }) => [size],
        () => [],
      );
    return (await Promise.all(names.map(sizeOf))).flat();
  };
  await eventually('all of it has come', async () => (await sizes())[0] === body.length);
  waiting!.vanish();
  await eventually('nothing is left of it', async () => (await sizes()).length === 0);
  assert.equal(upstream.messages.length, 2, 'the others are still in the air');
  goAhead.open();
  await Promise.all(first.map((session) => session.reply()));
  assert.equal(upstream.messages.length, 2);
  await Promise.all(first.map((session) => session.quit()));
});

test('an LMTP upstream that goes away between its answers: each recipient counts once, when it is delivered', async (t) => {
  const upstream = await FakeUpstream.start({ lmtp: true });
  const stopgap = await Stopgap.start(t, { upstream });
  const session = await stopgap.loggedIn();
  const recipients = ['one', 'two', 'three'].map((name) => `${name}@elsewhere.test`);
  const counted = async (): Promise<number[]> =>
    (await stopgap.all<MessageAccepted>('MessageAccepted')).map(({ data }) => data.recipients);
  upstream.script = {
    '.'(rcpt, peer) {
      if (!rcpt.includes('<three@')) return undefined;
      peer.close();
      return '';
    },
  };
  assert.equal(await session.send(ALICE, recipients), SOFT);
  assert.deepEqual(await counted(), [2]);
  upstream.script = {};
  assert.match(await session.send(ALICE, recipients), /^250 /);
  assert.deepEqual(await counted(), [2, 1]);
  await session.quit();
});

test('an upstream that is down, refuses or dies half-way', async (t) => {
  const stopgap = await Stopgap.start(t);
  const { upstream } = stopgap;
  const session = await stopgap.loggedIn();
  const attempt = async (script: Script): Promise<string> => {
    await session.say('RSET');
    upstream.script = script;
    const reply = await session.send(ALICE, [TO]);
    upstream.script = {};
    return reply;
  };

  await t.test(
    'each of its refusals is a line at level debug, a temporary one and one of a message too',
    async () => {
      stopgap.logs.length = 0;
      await attempt({ RCPT: () => '451 4.3.0 Temporary lookup failure' });
      await attempt({ RCPT: () => '550 5.1.1 no such user here' });
      await attempt({ '.': () => '451 4.7.1 filter away' });
      await attempt({ '.': () => '554 5.6.0 no thanks' });
      await session.say('RSET');
      const told = stopgap.logs
        .map((line) => JSON.parse(line) as Record<string, unknown>)
        .filter(({ msg }) => String(msg).startsWith('the upstream refused'));
      for (const { level, account, returnPath, correlation } of told) {
        assert.deepEqual([level, account, returnPath], [20, ALICE, ALICE]);
        assert.match(String(correlation), /^\w+\.[\da-f]{12}$/);
      }
      assert.deepEqual(
        told.map(({ msg, code, count }) => [msg, code, count]),
        [
          ['the upstream refused recipients', 451, 1],
          ['the upstream refused recipients', 550, 1],
          ['the upstream refused a message', 451, undefined],
          ['the upstream refused a message', 554, undefined],
        ],
      );
    },
  );

  await t.test('its own refusals are passed on as they are', async () => {
    const own = '550 5.1.1 no such user here';
    assert.equal(await attempt({ RCPT: () => own }), own);
    assert.equal(await attempt({ RCPT: () => '450 4.2.1 greylisted' }), '450 4.2.1 greylisted');
    assert.equal(await attempt({ '.': () => '554 5.6.0 no thanks' }), '554 5.6.0 no thanks');
    assert.equal(await attempt({ MAIL: () => '552 5.2.2 over quota' }), '552 5.2.2 over quota');
    assert.equal((await stopgap.all('MessageAccepted')).length, 0);
  });

  await t.test('recipients that do not exist are counted, those to be tried again are not', async () => {
    await session.say('RSET');
    upstream.script = {
      RCPT: (line) =>
        /no\d/.test(line) ? '550 5.1.1 unknown' : /grey/.test(line) ? '450 4.2.0 later' : undefined,
    };
    await session.say(`MAIL FROM:<${ALICE}>`);
    for (const name of ['no1', 'grey1', 'yes', 'no2', 'grey2'])
      await session.say(`RCPT TO:<${name}@elsewhere.test>`);
    await session.say('DATA');
    assert.match(await session.say('Subject: x\r\n\r\nx\r\n.'), /^250 /);
    upstream.script = {};
    const refused = (await stopgap.all<RecipientsRefused>('RecipientsRefused')).at(-1)!;
    assert.equal(refused.data.count, 2);
    assert.equal(refused.data.code, 550);
    const accepted = (await stopgap.all<MessageAccepted>('MessageAccepted')).at(-1)!;
    assert.equal(accepted.data.recipients, 1);
    assert.equal(refused.data.transaction, accepted.data.transaction);
  });

  await t.test('refusals of the message, its sender or its client count for no recipient', async () => {
    const counted = async (): Promise<number> =>
      (await stopgap.all<RecipientsRefused>('RecipientsRefused')).reduce(
        (sum, { data }) => sum + data.count,
        0,
      );
    const sure = await counted();
    await attempt({ MAIL: () => '552 5.3.4 Message size exceeds fixed limit' });
    await attempt({ MAIL: () => '550 no' });
    await attempt({ MAIL: () => '550 5.1.1 no such sender' });
    await attempt({ RCPT: () => '554 5.7.1 <pc.test[127.0.0.1]>: Client host rejected: Access denied' });
    await attempt({
      RCPT: () => '553 5.7.1 <alice@example.com>: Sender address rejected: not owned by user',
    });
    await attempt({ RCPT: () => '550 5.1.1 no such user here' });
    // It is written after what came before it.
    assert.match(await attempt({}), /^250 /);
    assert.equal(await counted(), sure + 1);
  });

  const before = (await stopgap.all('MessageAccepted')).length;
  for (const [when, script] of [
    ['at RCPT', { RCPT: (_line, peer) => (peer.kill(), '') }],
    ['at DATA', { DATA: (_line, peer) => (peer.kill(), '') }],
    ['in the body', { body: (peer) => peer.kill() }],
    ['after the dot, before its answer', { '.': (_line, peer) => (peer.kill(), '') }],
  ] satisfies [string, Script][]) {
    await t.test(`it dies ${when}`, async () => {
      await session.say('RSET');
      const big = `Subject: x\r\n\r\n${`${'y'.repeat(78)}\r\n`.repeat(2000)}`;
      upstream.script = script;
      const reply = await session.send(ALICE, [TO], big);
      upstream.script = {};
      assert.equal(reply, SOFT);
      assert.equal((await stopgap.all('MessageAccepted')).length, before);
    });
  }

  await t.test('and goes on once it is back', async () => {
    await session.say('RSET');
    assert.match(await session.send(ALICE, [TO]), /^250 /);
    assert.equal((await stopgap.all('MessageAccepted')).length, before + 1);
  });

  await t.test('it is not there at all', async () => {
    await upstream.stop();
    await session.sayAll(['RSET', `MAIL FROM:<${ALICE}>`]);
    assert.equal(await session.say(`RCPT TO:<${TO}>`), SOFT);
  });
  await session.quit();
});
