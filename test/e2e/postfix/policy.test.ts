import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import nodemailer from 'nodemailer';
import type { MessageAccepted, MessageRefused } from '../../../src/sending/events.js';
import { FIXED_RULES } from '../../support/fixed-rules.js';
import { Asking } from '../../support/policy/asking.js';
import { loggedIn, postfixAsking } from '../../support/policy/postfix-asking.js';
import { Dialogue } from '../../support/smtp/dialogue.js';
import { eventually } from '../../support/smtp/eventually.js';
import { postfixMissing } from '../../support/smtp/real-postfix.js';
import { Served, workDir } from '../../support/smtp/served.js';
import { ALICE, BOB, PASSWORDS, Stopgap } from '../../support/smtp/stopgap.js';
import { heldBack } from '../../support/store/changed.js';

const LISTEN = { policy: { listen: '127.0.0.1:0' } };
const TEMPORARY =
  /^451 4\.3\.2 <[^>]*>: Recipient address rejected: Service temporarily unavailable, please try/;

const noSwaks =
  spawnSync('swaks', ['--version']).status === 0
    ? undefined
    : 'no swaks is installed (install it with: npm run test:install)';

const recipients = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => `r${index}@d${index % 3}.test`);

describe('a real Postfix that asks the policy service', { skip: postfixMissing() }, () => {
  test('has a flood contained, its client told to try again later, and mail flow after the release', async (t) => {
    const stopgap = await Stopgap.start(t, { settings: LISTEN });
    const { postfix, outside } = await postfixAsking(t, `inet:127.0.0.1:${stopgap.port('policy')}`);
    const thief = await loggedIn(postfix, ALICE);
    let taken = 0;
    for (let message = 0; message < 3; message++) {
      assert.match(await thief.send(ALICE, recipients(40)), /^250 /);
      taken++;
    }
    await stopgap.event(({ type }) => type === 'BlockImposed');
    await stopgap.settled();
    assert.match(await thief.say(`MAIL FROM:<${ALICE}>`), /^250 /);
    assert.match(await thief.say('RCPT TO:<one@elsewhere.test>'), TEMPORARY);
    await thief.quit();

    const user = nodemailer.createTransport({
      host: '127.0.0.1',
      port: postfix.ports[0]!,
      ignoreTLS: true,
      auth: { user: BOB, pass: PASSWORDS[BOB]! },
    });
    await user.sendMail({ from: BOB, to: 'friend@elsewhere.test', subject: 'Lunch?', text: 'At noon.' });
    taken++;
    user.close();

    await stopgap.release('account', ALICE);
    const owner = await loggedIn(postfix, ALICE);
    assert.match(await owner.send(ALICE, ['one@elsewhere.test']), /^250 /);
    taken++;
    await owner.quit();
    await postfix.idle();
    assert.equal(outside.messages.length, taken, 'what was taken went out, once');

    const sent = await stopgap.all<MessageAccepted>('MessageAccepted');
    assert.deepEqual(
      sent.map(({ data }) => [data.account, data.recipients, data.recipientDomains.length]),
      [
        [ALICE, 40, 3],
        [ALICE, 40, 3],
        [ALICE, 40, 3],
        [BOB, 1, 1],
        [ALICE, 1, 1],
      ],
    );
    for (const { data } of sent) {
      assert.ok(postfix.log.includes(`${data.transaction}: removed`), 'it is named as in the log of Postfix');
      assert.ok(data.size > 0);
    }
    const [refused] = await stopgap.all<MessageRefused>('MessageRefused');
    assert.equal(refused!.data.account, ALICE);
  });

  test('puts off a message that ends while too much of its sender is not counted, and takes it later', async (t) => {
    const { gate, through } = heldBack(t, 'send-');
    const rules = FIXED_RULES.replace('limit: 100\n', 'limit: 300\n');
    const stopgap = await Stopgap.start(t, { settings: LISTEN, rules, throughStore: through });
    const { postfix, outside } = await postfixAsking(t, `inet:127.0.0.1:${stopgap.port('policy')}`);
    const sessions = [await loggedIn(postfix, ALICE), await loggedIn(postfix, ALICE)] as const;
    const text = 'Subject: Hello\r\n\r\nHello.\r\n.';
    // Both are at their end before either has ended: no time passes between the two.
    for (const [index, session] of sessions.entries()) {
      assert.match(await session.say(`MAIL FROM:<${ALICE}>`), /^250 /);
      for (const to of recipients([180, 150][index]!))
        assert.match(await session.say(`RCPT TO:<${to}>`), /^250 /);
      assert.match(await session.say('DATA'), /^354 /);
    }
    assert.match(await sessions[0].say(text), /^250 /);
    assert.match(
      await sessions[1].say(text),
      /^451 4\.3\.2 <END-OF-MESSAGE>: End-of-data rejected: Service temporarily unavailable/,
    );
    gate.open();
    await stopgap.event(({ type }) => type === 'MessageAccepted');
    await stopgap.settled();
    assert.match(await sessions[1].say('RSET'), /^250 /);
    assert.match(await sessions[1].send(ALICE, recipients(100)), /^250 /);
    for (const session of sessions) await session.quit();
    await postfix.idle();
    assert.equal(outside.messages.flatMap(({ to }) => to).length, 280);
    const sent = await stopgap.all<MessageAccepted>('MessageAccepted');
    assert.deepEqual(
      sent.map(({ data }) => data.recipients),
      [180, 100],
    );
  });

  test('has a blocked address and a blocked domain refused in every form of which it makes them', async (t) => {
    const stopgap = await Stopgap.start(t, { settings: LISTEN });
    const { postfix, outside } = await postfixAsking(t, `inet:127.0.0.1:${stopgap.port('policy')}`, {
      settings: ['smtpd_soft_error_limit = 1000', 'smtpd_hard_error_limit = 1000'],
    });
    await stopgap.block('address', 'eve@example.com');
    await stopgap.block('domain', 'blocked.test');
    const session = await loggedIn(postfix, ALICE);
    for (const from of [
      'eve@example.com',
      'eve%example.com',
      'example.com!eve',
      '"eve"%example.com',
      '"eve%example.com"',
      'eve\\%example.com',
      '(x)eve%example.com',
      'eve+tag%example.com',
      '@mx.example.com:eve%example.com',
      '@mx.example.com:example.com!eve',
      '@mx.example.com:eve@example.com',
      '@a.test:@b.test:eve%example.com',
      '@a.test:@b.test:@c.test:eve@example.com',
      '"@a.test:eve"@example.com',
      '"@a.test:eve"%example.com',
      '"@[IPv6:::1]:eve"%example.com',
      'u@blocked.test',
      'u%blocked.test',
      'blocked.test!u',
      'a%b%blocked.test',
      'blocked.test!a%b.test',
      '@a.test:u%blocked.test',
      `"@${'a'.repeat(1100)}:u"%blocked.test`,
      `${'u'.repeat(1100)}@blocked.test`,
    ]) {
      assert.match(await session.say(`MAIL FROM:<${from}>`), /^250 /, from);
      assert.match(await session.say('RCPT TO:<one@elsewhere.test>'), TEMPORARY, from);
      assert.match(await session.say('RSET'), /^250 /);
    }
    await session.quit();
    await postfix.idle();
    assert.equal(outside.messages.length, 0);
  });

  test('refuses a sender without a domain by SMTP alone, and sends on what local programs and nobody sent', async (t) => {
    const stopgap = await Stopgap.start(t, { settings: LISTEN });
    const { postfix, outside } = await postfixAsking(t, `inet:127.0.0.1:${stopgap.port('policy')}`);
    const session = await loggedIn(postfix, ALICE);
    for (const from of ['www-data', 'eve%other.test']) {
      assert.match(await session.say(`MAIL FROM:<${from}>`), /^250 /);
      assert.match(await session.say('RCPT TO:<one@elsewhere.test>'), /^504 5\.5\.2 /, from);
      assert.match(await session.say('RSET'), /^250 /);
    }
    assert.match(await session.send('', ['one@elsewhere.test']), /^250 /);
    assert.match(await session.send(ALICE, ['one%d0.test', 'd1.test!one']), /^250 /);
    await session.quit();
    await postfix.submit('www-data', 'two@elsewhere.test');
    await postfix.speak('www-data', 'three@elsewhere.test');
    await postfix.idle();
    assert.equal(outside.messages.length, 4);
    const sent = await stopgap.all<MessageAccepted>('MessageAccepted');
    assert.deepEqual(
      sent.map(({ data }) => [data.returnPath, data.recipientDomains]),
      [
        ['', ['elsewhere.test']],
        [ALICE, ['d0.test', 'd1.test']],
      ],
    );
  });

  test('is tried with swaks, as documented', { skip: noSwaks }, async (t) => {
    const stopgap = await Stopgap.start(t, { settings: LISTEN });
    const { postfix, outside } = await postfixAsking(t, `inet:127.0.0.1:${stopgap.port('policy')}`);
    const documented = /^swaks .*$/m.exec(readFileSync('docs/run/mail-servers.md', 'utf8'))![0];
    const args = documented
      .replace(
        'mail.example.com:587 -tls',
        `127.0.0.1:${postfix.ports[0]!} --auth-password ${PASSWORDS[ALICE]!}`,
      )
      .split(' ')
      .slice(1);
    const swaks = async (): Promise<{ code: unknown; said: string }> => {
      const child = spawn('swaks', args, { stdio: ['ignore', 'pipe', 'inherit'] });
      let said = '';
      child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
      const [code] = (await once(child, 'close')) as [unknown];
      return { code, said };
    };
    const before = await swaks();
    assert.equal(before.code, 0, before.said);
    await stopgap.event(({ type }) => type === 'MessageAccepted');
    const health = await fetch(`http://127.0.0.1:${stopgap.port('HTTP')}/healthz`);
    const { rcpt, data, endOfMessage, withLogin } = (
      (await health.json()) as { policy: Record<'rcpt' | 'data' | 'endOfMessage' | 'withLogin', number> }
    ).policy;
    const doctor = `${rcpt + data + endOfMessage} requests since the start, ${endOfMessage} at END-OF-MESSAGE, ${withLogin} with a login`;
    assert.ok(readFileSync('docs/run/mail-servers.md', 'utf8').includes(`# policy: ${doctor}\n`), doctor);
    await stopgap.block('account', ALICE);
    const refused = await swaks();
    assert.equal(refused.code, 24, 'no recipient is taken');
    assert.match(refused.said, /^<\*\* 451 4\.3\.2 /m);
    await stopgap.release('account', ALICE);
    assert.equal((await swaks()).code, 0);
    await postfix.idle();
    assert.equal(outside.messages.length, 2);
  });

  test('goes on with mail while the policy service is killed, and is served again by the next one', async (t) => {
    const dir = await workDir(t);
    const start = (port: number): Promise<Served> =>
      Served.start(t, dir, { STOPGAP_POLICY_LISTEN: `127.0.0.1:${port}` });
    let served = await start(0);
    const port = Number(served.told('policy').split(':').at(-1));
    const { postfix, outside } = await postfixAsking(t, `inet:127.0.0.1:${port}`);
    const session = await loggedIn(postfix, ALICE);
    assert.match(await session.send(ALICE, ['one@elsewhere.test']), /^250 /);
    await served.kill();
    assert.match(await session.send(ALICE, ['two@elsewhere.test']), /^250 /, 'in the middle of a session');
    const other = await loggedIn(postfix, BOB);
    assert.match(await other.send(BOB, ['three@elsewhere.test']), /^250 /, 'in a new one');
    served = await start(port);
    assert.match(await session.send(ALICE, ['four@elsewhere.test']), /^250 /);
    const asked = async (): Promise<{ endOfMessage: number }> => {
      const health = await served.api('GET', '/healthz', '');
      return ((await health.json()) as { policy: { endOfMessage: number } }).policy;
    };
    assert.equal((await asked()).endOfMessage, 1, 'the old session asks the new process');
    await session.quit();
    await other.quit();
    await postfix.idle();
    assert.equal(outside.messages.length, 4);
  });

  test('goes on with mail while the policy service hangs', async (t) => {
    const dir = await workDir(t);
    const served = await Served.start(t, dir, { STOPGAP_POLICY_LISTEN: '127.0.0.1:0' });
    const port = Number(served.told('policy').split(':').at(-1));
    const { postfix, outside } = await postfixAsking(t, `inet:127.0.0.1:${port}`);
    const session = await loggedIn(postfix, ALICE);
    served.child.kill('SIGSTOP');
    assert.match(await session.send(ALICE, ['one@elsewhere.test']), /^250 /);
    served.child.kill('SIGCONT');
    await session.quit();
    await postfix.idle();
    assert.equal(outside.messages.length, 1);
  });

  test('loses and doubles no message while the policy service is killed and started under load', async (t) => {
    const dir = await workDir(t);
    const start = (port: number): Promise<Served> =>
      Served.start(t, dir, { STOPGAP_POLICY_LISTEN: `127.0.0.1:${port}`, STOPGAP_LOG_LEVEL: 'error' });
    let served = await start(0);
    const port = Number(served.told('policy').split(':').at(-1));
    const { postfix, outside } = await postfixAsking(t, `inet:127.0.0.1:${port}`);
    const messages = 300;
    const args = ['-s', '10', '-m', String(messages), '-f', ALICE, '-t', 'one@elsewhere.test'];
    const source = spawn('/usr/sbin/smtp-source', [...args, `inet:127.0.0.1:${postfix.ports[0]!}`], {
      stdio: 'ignore',
    });
    const ended = once(source, 'exit');
    for (const taken of [50, 150]) {
      await eventually(`${taken} messages have gone`, () => outside.messages.length >= taken, 60_000);
      await served.kill();
      served = await start(port);
    }
    const [code] = (await ended) as [number];
    assert.equal(code, 0, 'smtp-source was told 250 for each of them');
    await eventually('all have gone', () => outside.messages.length >= messages, 60_000);
    // On a fast machine the load may have ended before the last process was there.
    const session = await loggedIn(postfix, ALICE);
    assert.match(await session.send(ALICE, ['two@elsewhere.test']), /^250 /);
    await session.quit();
    await postfix.idle();
    assert.equal(outside.messages.length, messages + 1);
    const health = await served.api('GET', '/healthz', '');
    const { policy } = (await health.json()) as { policy: { endOfMessage: number } };
    assert.ok(policy.endOfMessage > 0, 'the last process was asked too');
  });

  test('puts the mail of a blocked account on hold where that is configured, and sends it once it is let go', async (t) => {
    const stopgap = await Stopgap.start(t, {
      settings: { policy: { listen: '127.0.0.1:0', refuse: 'hold' } },
    });
    const { postfix, outside } = await postfixAsking(t, `inet:127.0.0.1:${stopgap.port('policy')}`);
    await stopgap.block('account', ALICE);
    const session = await loggedIn(postfix, ALICE);
    assert.match(await session.send(ALICE, ['one@elsewhere.test', 'two@elsewhere.test']), /^250 /);
    await session.quit();
    assert.match(await postfix.queue(), /^[0-9A-Za-z]+! /m);
    assert.equal(outside.messages.length, 0);
    assert.equal((await stopgap.all('MessageAccepted')).length, 0);
    await postfix.releaseHeld();
    await postfix.idle();
    assert.equal(outside.messages.length, 1);
  });

  test('lets clients log in that say no EHLO name, and these have none that their account had', async (t) => {
    const stopgap = await Stopgap.start(t, { settings: LISTEN });
    const { postfix } = await postfixAsking(t, `inet:127.0.0.1:${stopgap.port('policy')}`);
    const session = await Dialogue.connect(postfix.ports[0]!);
    await session.reply();
    assert.match(await session.login(ALICE, PASSWORDS[ALICE]!), /^235 /);
    assert.match(await session.send(ALICE, ['one@elsewhere.test']), /^250 /);
    await session.quit();
    await stopgap.event(({ type }) => type === 'MessageAccepted');
    const [sent] = await stopgap.all<MessageAccepted>('MessageAccepted');
    assert.equal(sent?.data.ehlo, '.');
  });

  test('asks through a UNIX socket too, and no more once the lines are taken out', async (t) => {
    const dir = await workDir(t);
    const stopgap = await Stopgap.start(t, { settings: { policy: { listen: `unix:${dir}/policy` } } });
    // Postfix runs as a user of its own.
    chmodSync(dir, 0o755);
    const { postfix } = await postfixAsking(t, `unix:${dir}/policy`);
    const session = await loggedIn(postfix, ALICE);
    assert.match(await session.send(ALICE, ['one@elsewhere.test']), /^250 /);
    await session.quit();
    assert.equal((await stopgap.all('MessageAccepted')).length, 1);
    await stopgap.block('account', BOB);
    const filter = await loggedIn(postfix, BOB, postfix.ports[1]);
    assert.match(await filter.send(BOB, ['one@elsewhere.test']), /^250 /, 'this entry does not ask');
    await filter.quit();
    await eventually('Postfix has read its file', async () => {
      await postfix.configure('stopgap =');
      const after = await loggedIn(postfix, BOB);
      const reply = await after.send(BOB, ['one@elsewhere.test']);
      await after.quit();
      return reply.startsWith('250 ');
    });
    await postfix.idle();
    assert.equal((await stopgap.all('MessageAccepted')).length, 1);
  });

  test('is not held up by another client that floods the policy service with rubbish', async (t) => {
    const stopgap = await Stopgap.start(t, { settings: LISTEN });
    const { postfix } = await postfixAsking(t, `inet:127.0.0.1:${stopgap.port('policy')}`);
    const session = await loggedIn(postfix, ALICE);
    for (let client = 0; client < 50; client++) {
      const rubbish = await Asking.open(t, stopgap.port('policy'));
      rubbish.send('x'.repeat(50_000));
      if (client % 10 === 0) assert.match(await session.send(ALICE, ['one@elsewhere.test']), /^250 /);
    }
    await session.quit();
    await postfix.idle();
    assert.equal((await stopgap.all('MessageAccepted')).length, 5);
    assert.ok(!postfix.log.includes('warning: problem talking to server'));
  });
});
