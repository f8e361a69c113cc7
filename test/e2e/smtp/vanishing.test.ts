import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import type { MessageAccepted } from '../../../src/sending/events.js';
import { Dialogue } from '../../support/smtp/dialogue.js';
import { eventually } from '../../support/smtp/eventually.js';
import { Gate } from '../../support/gate.js';
import { ALICE, PASSWORDS, Stopgap } from '../../support/smtp/stopgap.js';

const TO = 'one@elsewhere.test';

/** What a gauge shows. */
async function gauge(stopgap: Stopgap, name: string): Promise<number> {
  const text = await stopgap.app.metrics.registry.metrics();
  const line = text.split('\n').find((one) => one.startsWith(`${name} `));
  return Number(line?.slice(name.length + 1) ?? 0);
}

async function nobodyLeft(stopgap: Stopgap): Promise<void> {
  await eventually(
    'no session is left, and none with the upstream is in use',
    async () =>
      (await gauge(stopgap, 'stopgap_smtp_sessions{direction="outbound"}')) === 0 &&
      (await gauge(stopgap, 'stopgap_relay_sessions{state="busy"}')) === 0,
  );
}

test('a client may vanish at any moment: nothing leaks, nothing falls over', async (t) => {
  const stopgap = await Stopgap.start(t);
  const auth = `AUTH PLAIN ${Buffer.from(`\0${ALICE}\0${PASSWORDS[ALICE]!}`).toString('base64')}\r\n`;
  const mail = `${auth}MAIL FROM:<${ALICE}>\r\n`;
  const rcpt = `${mail}RCPT TO:<${TO}>\r\n`;
  const data = `${rcpt}DATA\r\n`;
  const phases: Readonly<Record<string, readonly [bytes: string, replies: number]>> = {
    'before the greeting': ['', -1],
    'after EHLO': ['', 0],
    'in the middle of a command': ['EHLO cli', 0],
    'while the password is checked': [auth, 0],
    'after the login': [auth, 1],
    'after MAIL': [mail, 2],
    'while the upstream is asked': [rcpt, 2],
    'after RCPT': [rcpt, 3],
    'after DATA': [data, 4],
    'in the body': [`${data}Subject: x\r\n\r\nhalf a li`, 4],
    'in a long body': [`${data}Subject: x\r\n\r\n${'z'.repeat(300_000)}`, 4],
    'in the dot': [`${data}Subject: x\r\n\r\nx\r\n.\r`, 4],
  };
  for (const [phase, [bytes, replies]] of Object.entries(phases)) {
    await t.test(phase, async () => {
      const session = await (replies < 0 ? Dialogue.connect(stopgap.port()) : stopgap.hello());
      session.write(bytes);
      await session.replies(Math.max(0, replies));
      session.vanish();
      await session.closed;
      await nobodyLeft(stopgap);
    });
  }
  assert.equal((await stopgap.all('MessageAccepted')).length, 0);
  assert.equal(stopgap.upstream.messages.length, 0);
  await eventually('the spool is empty', async () => {
    return (await readdir(path.join(stopgap.dir, 'data/spool')).catch(() => [])).length === 0;
  });
  assert.deepEqual(
    stopgap.logs.filter((line) => /"level":(50|60)/.test(line)),
    [],
    'no error is logged for what clients do',
  );
  assert.deepEqual(stopgap.faults, []);
});

test('after the final dot the message no longer needs its client', async (t) => {
  const stopgap = await Stopgap.start(t);
  const { upstream } = stopgap;
  const send = async (session: Dialogue): Promise<void> => {
    await session.sayAll([`MAIL FROM:<${ALICE}>`, `RCPT TO:<${TO}>`, 'DATA']);
    session.write('Subject: x\r\n\r\nx\r\n.\r\n');
  };

  await t.test('the client goes while the upstream makes up its mind', async () => {
    const answer = new Gate();
    upstream.script['.'] = (_line, peer) => {
      void answer.opened.then(() => peer.say('250 2.0.0 queued'));
      return '';
    };
    const session = await stopgap.loggedIn();
    await send(session);
    await upstream.until(() => upstream.messages.length === 1);
    session.vanish();
    await session.closed;
    answer.open();
    const event = await stopgap.event(({ type }) => type === 'MessageAccepted');
    assert.equal((event.data as MessageAccepted).recipients, 1);
    upstream.script = {};
  });

  await t.test('the client says QUIT after the dot, in the same write', async () => {
    const session = await stopgap.loggedIn();
    await session.sayAll([`MAIL FROM:<${ALICE}>`, `RCPT TO:<${TO}>`, 'DATA']);
    session.write('Subject: x\r\n\r\nx\r\n.\r\nQUIT\r\n');
    assert.match(await session.reply(), /^250 /);
    assert.match(await session.reply(), /^221 /);
    await session.closed;
    assert.equal((await stopgap.all('MessageAccepted')).length, 2);
  });

  await t.test('the client closes its side after the dot', async () => {
    const session = await stopgap.loggedIn();
    await session.sayAll([`MAIL FROM:<${ALICE}>`, `RCPT TO:<${TO}>`, 'DATA']);
    session.write('Subject: x\r\n\r\nx\r\n.\r\n');
    session.socket.end();
    await session.closed;
    await eventually('it is recorded', async () => (await stopgap.all('MessageAccepted')).length === 3);
  });
  await nobodyLeft(stopgap);
});

test('a message that the upstream may have counts, since its client went before an answer could come', async (t) => {
  const stopgap = await Stopgap.start(t);
  const { upstream } = stopgap;
  upstream.script['.'] = () => '';
  const session = await stopgap.loggedIn();
  await session.sayAll([`MAIL FROM:<${ALICE}>`, `RCPT TO:<${TO}>`, 'RCPT TO:<two@elsewhere.test>', 'DATA']);
  session.write('Subject: x\r\n\r\nx\r\n.\r\n');
  await upstream.until(() => upstream.messages.length === 1);
  session.vanish();
  await eventually(
    'it is known that the client is gone',
    async () => (await gauge(stopgap, 'stopgap_smtp_sessions{direction="outbound"}')) === 0,
  );
  upstream.messages[0]!.peer.close();
  await nobodyLeft(stopgap);
  await eventually('it counts', async () => {
    const events = await stopgap.all<MessageAccepted>('MessageAccepted');
    return events.length === 1 && events[0]!.data.recipients === 2;
  });
});

test('a message that the upstream may have does not count where its client hears that it is to try again', async (t) => {
  const stopgap = await Stopgap.start(t);
  const { upstream } = stopgap;
  upstream.script['.'] = (_line, peer) => {
    peer.close();
    return '';
  };
  const session = await stopgap.loggedIn();
  assert.match(await session.send(ALICE, [TO]), /^451 /);
  upstream.script = {};
  assert.match(await session.send(ALICE, [TO]), /^250 /);
  assert.equal((await stopgap.all('MessageAccepted')).length, 1);
  await session.quit();
});
