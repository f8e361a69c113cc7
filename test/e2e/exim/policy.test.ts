import assert from 'node:assert/strict';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import type { BounceReceived, MessageAccepted, MessageRefused } from '../../../src/sending/events.js';
import { tokenOf } from '../../support/policy/token.js';
import { FakeUpstream } from '../../support/relay/fake-upstream.js';
import { Dialogue } from '../../support/smtp/dialogue.js';
import type { EximOptions } from '../../support/smtp/real-exim.js';
import { eximMissing, RealExim } from '../../support/smtp/real-exim.js';
import { eventually } from '../../support/smtp/eventually.js';
import { Served, workDir } from '../../support/smtp/served.js';
import { ALICE, BOB, PASSWORDS, Stopgap } from '../../support/smtp/stopgap.js';
import { PROGRAM } from '../../support/program.js';

const LISTEN = { policy: { listen: '127.0.0.1:0' } };
const TEMPORARY = /^451 4\.3\.2 Service temporarily unavailable, please try again later$/;

/** What docs/run/mail-servers.md has an administrator put into Exim's configuration. */
function recipe(): Pick<EximOptions, 'main' | 'acl'> & {
  readonly router: string;
  readonly transport: string;
} {
  const text = readFileSync('docs/run/mail-servers.md', 'utf8');
  const blocks = [...text.matchAll(/```exim\n# ([^\n]*)\n([^`]*)```/g)];
  assert.deepEqual(
    blocks.map(([, where]) => where),
    [
      'before "begin acl"',
      'after "begin acl"',
      'the first lines of acl_check_rcpt',
      'the first lines of acl_check_data',
      'before "begin acl", for local mail',
      'after "begin acl", for local mail',
      'before all lines of acl_check_rcpt, for local mail',
      'the first router',
      'a transport',
    ],
  );
  const [main, acl, rcpt, data, localMain, localAcl, localRcpt, router, transport] = blocks.map(
    ([, , lines]) => lines!,
  );
  return {
    main: `${main}${localMain}`,
    router: router!,
    transport: transport!,
    acl: `${acl}${localAcl}
acl_check_rcpt:
${localRcpt}${rcpt}
  accept hosts = :
  accept authenticated = *
  deny message = 550 relaying denied

acl_check_data:
${data}
  accept
`,
  };
}

/** An Exim that asks there, with users who log in. */
async function eximAsking(
  t: TestContext,
  where: string,
  sections: Partial<Pick<EximOptions, 'routers' | 'transports' | 'passwords'>> = {},
): Promise<{ exim: RealExim; outside: FakeUpstream }> {
  const outside = await FakeUpstream.start();
  t.after(() => outside.stop());
  const { main, acl } = recipe();
  assert.ok(main.includes('STOPGAP = inet:127.0.0.1:10040'));
  const exim = await RealExim.start(t, {
    outside: outside.port,
    passwords: PASSWORDS,
    acl,
    ...sections,
    main: main.replace('inet:127.0.0.1:10040', where),
  });
  return { exim, outside };
}

async function loggedIn(exim: RealExim, user: string, ehlo?: string): Promise<Dialogue> {
  const session = await Dialogue.hello(exim.port, ehlo === undefined ? {} : { ehlo });
  assert.match(await session.login(user, PASSWORDS[user]!), /^235 /);
  return session;
}

const ZOE = 'zoë@example.com';

const recipients = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => `r${index}@d${index % 3}.test`);

describe('a real Exim that asks the policy service', { skip: eximMissing() }, () => {
  test('names a login that is not in ASCII as its block does', async (t) => {
    const stopgap = await Stopgap.start(t, { settings: LISTEN });
    const passwords = { [ZOE]: 'secret' };
    const { exim } = await eximAsking(t, `inet:127.0.0.1:${stopgap.port('policy')}`, { passwords });
    const session = await Dialogue.hello(exim.port);
    assert.match(await session.login(ZOE, 'secret'), /^235 /);
    assert.match(await session.send('zoe@example.com', ['friend@elsewhere.test']), /^250 /);
    const [sent] = await stopgap.all<MessageAccepted>('MessageAccepted');
    assert.equal(sent?.data.account, ZOE);
    await stopgap.block('account', ZOE);
    assert.match(await session.send('zoe@example.com', ['friend@elsewhere.test']), TEMPORARY);
    await session.quit();
  });

  test('has a flood contained, its client told to try again later, and mail flow after the release', async (t) => {
    const stopgap = await Stopgap.start(t, { settings: LISTEN });
    const { exim, outside } = await eximAsking(t, `inet:127.0.0.1:${stopgap.port('policy')}`);
    const thief = await loggedIn(exim, ALICE);
    for (let message = 0; message < 3; message++)
      assert.match(await thief.send(ALICE, recipients(40)), /^250 /);
    await stopgap.event(({ type }) => type === 'BlockImposed');
    await stopgap.settled();
    assert.match(await thief.send(ALICE, ['one@elsewhere.test']), TEMPORARY);
    await thief.quit();

    const other = await loggedIn(exim, BOB);
    assert.match(await other.send(BOB, ['friend@elsewhere.test']), /^250 /);
    await other.quit();

    await stopgap.release('account', ALICE);
    const owner = await loggedIn(exim, ALICE);
    assert.match(await owner.send(ALICE, ['one@elsewhere.test']), /^250 /);
    await owner.quit();
    await exim.idle();
    assert.equal(outside.messages.length, 5, 'what was taken went out, once');

    const sent = await stopgap.all<MessageAccepted>('MessageAccepted');
    assert.deepEqual(
      sent.map(({ data }) => [data.account, data.recipients, data.recipientDomains.length, data.ip]),
      [
        [ALICE, 40, 3, '127.0.0.1'],
        [ALICE, 40, 3, '127.0.0.1'],
        [ALICE, 40, 3, '127.0.0.1'],
        [BOB, 1, 1, '127.0.0.1'],
        [ALICE, 1, 1, '127.0.0.1'],
      ],
    );
    for (const { data } of sent) {
      assert.ok(exim.log.includes(`${data.transaction} Completed`), 'it is named as in the log of Exim');
      assert.ok(data.size > 0);
    }
    const [refused] = await stopgap.all<MessageRefused>('MessageRefused');
    assert.equal(refused!.data.account, ALICE);
  });

  test('asks about a client with the longest EHLO name that Exim takes', async (t) => {
    const stopgap = await Stopgap.start(t, { settings: LISTEN });
    const { exim } = await eximAsking(t, `inet:127.0.0.1:${stopgap.port('policy')}`);
    await stopgap.block('account', ALICE);
    for (const length of [8_190, 12_000, 16_000]) {
      const thief = await loggedIn(exim, ALICE, 'h'.repeat(length));
      assert.match(await thief.send(ALICE, ['one@elsewhere.test']), TEMPORARY, `${length}`);
      await thief.quit();
    }
    const other = await loggedIn(exim, BOB, 'h'.repeat(16_000));
    assert.match(await other.send(BOB, ['friend@elsewhere.test']), /^250 /);
    await other.quit();
    assert.equal((await stopgap.all('MessageAccepted')).length, 1);
  });

  test('tells its client what an honest block has it told', async (t) => {
    const stopgap = await Stopgap.start(t, { settings: LISTEN });
    const { exim } = await eximAsking(t, `inet:127.0.0.1:${stopgap.port('policy')}`);
    await stopgap.block('account', ALICE, { refusal: 'honest' });
    const session = await loggedIn(exim, ALICE);
    assert.match(await session.send(ALICE, ['one@elsewhere.test']), /^550[ -]5\.7\.1 Sending is blocked/);
    await session.quit();
  });

  test('freezes the mail of a blocked account where that is configured, and sends it once it is let go', async (t) => {
    const stopgap = await Stopgap.start(t, {
      settings: { policy: { listen: '127.0.0.1:0', refuse: 'hold' } },
    });
    const { exim, outside } = await eximAsking(t, `inet:127.0.0.1:${stopgap.port('policy')}`);
    await stopgap.block('account', ALICE);
    const session = await loggedIn(exim, ALICE);
    assert.match(await session.send(ALICE, ['one@elsewhere.test', 'two@elsewhere.test']), /^250 /);
    await session.quit();
    await exim.runQueue();
    assert.match(await exim.queue(), /\*\*\* frozen \*\*\*/);
    assert.equal(await exim.option('timeout_frozen_after'), 'timeout_frozen_after = 0s', 'whatever its age');
    assert.equal(outside.messages.length, 0);
    assert.equal((await stopgap.all('MessageAccepted')).length, 0);
    assert.equal((await stopgap.all('MessageRefused')).length, 1);
    await exim.thaw();
    await exim.idle();
    assert.equal(outside.messages.length, 1);
  });

  test('puts off mail of the null sender that is to be held, since Exim lets go what it has frozen of that', async (t) => {
    const stopgap = await Stopgap.start(t, { settings: LISTEN });
    const { exim, outside } = await eximAsking(t, `inet:127.0.0.1:${stopgap.port('policy')}`);
    const user = `uid-${process.getuid!()}@mx.example.com`;
    for (const account of [ALICE, user]) await stopgap.block('account', account, { refusal: 'hold' });
    const session = await loggedIn(exim, ALICE);
    assert.match(await session.send('', ['one@elsewhere.test']), TEMPORARY);
    await session.quit();
    await assert.rejects(exim.submit('<>', ['two@elsewhere.test']), /Service temporarily unavailable/);
    await exim.runQueue();
    assert.equal((await exim.queue()).trim(), '');
    assert.equal(outside.messages.length, 0);
    assert.deepEqual(await stopgap.all('MessageHeld'), []);
  });

  test('is told to come again where it ends after its block: what was to be frozen is not taken', async (t) => {
    const stopgap = await Stopgap.start(t, { settings: LISTEN });
    const { exim, outside } = await eximAsking(t, `inet:127.0.0.1:${stopgap.port('policy')}`);
    await stopgap.block('account', ALICE, { refusal: 'hold' });
    const session = await loggedIn(exim, ALICE);
    for (const line of [`MAIL FROM:<${ALICE}>`, 'RCPT TO:<one@elsewhere.test>'])
      assert.match(await session.say(line), /^250 /);
    assert.match(await session.say('DATA'), /^354 /);
    await stopgap.release('account', ALICE);
    assert.match(await session.say('Subject: a letter\r\n\r\nhello\r\n.'), TEMPORARY);
    assert.equal((await exim.queue()).trim(), '');
    assert.match(await session.send(ALICE, ['one@elsewhere.test']), /^250 /);
    await session.quit();
    await exim.idle();
    assert.equal(outside.messages.length, 1);
    assert.deepEqual(await stopgap.all('MessageHeld'), []);
    assert.equal((await stopgap.all('MessageAccepted')).length, 1);
  });

  test('names the queue id of mail of the null sender too, by which the hook finds what waits of it', async (t) => {
    const stopgap = await Stopgap.start(t, { settings: LISTEN });
    const { exim, outside } = await eximAsking(t, `inet:127.0.0.1:${stopgap.port('policy')}`);
    outside.script = { RCPT: () => '451 4.3.0 Not now' };
    const session = await loggedIn(exim, ALICE);
    assert.match(await session.send('', ['one@elsewhere.test']), /^250 /);
    await session.quit();
    const [sent] = await stopgap.all<MessageAccepted>('MessageAccepted');
    const { transaction } = sent!.data;
    assert.ok((await exim.queue()).includes(transaction));
  });

  test('lets nobody name another login by a line end in a return path', async (t) => {
    const stopgap = await Stopgap.start(t, { settings: LISTEN });
    const { exim } = await eximAsking(t, `inet:127.0.0.1:${stopgap.port('policy')}`);
    const forged = (end: string): string => `"a${end}sasl_username=victim@example.com${end}x=b"@x.example`;
    const ends = ['\n', '\r'];
    for (const end of ends) await exim.submit(forged(end), ['one@elsewhere.test']);
    const sent = await stopgap.all<MessageAccepted>('MessageAccepted');
    assert.deepEqual(
      sent.map(({ data: { account, returnPath } }) => [account, returnPath]),
      ends.map(() => [`uid-${process.getuid!()}@mx.example.com`, forged('?')]),
    );
  });

  test('counts mail that is handed in locally for the user who did, and refuses or freezes it once that user is blocked', async (t) => {
    const stopgap = await Stopgap.start(t, { settings: LISTEN });
    const { exim, outside } = await eximAsking(t, `inet:127.0.0.1:${stopgap.port('policy')}`);
    const user = `uid-${process.getuid!()}@mx.example.com`;
    await exim.submit('forged@elsewhere.test', recipients(40));
    const { data } = (await stopgap.all<MessageAccepted>('MessageAccepted'))[0]!;
    assert.deepEqual([data.account, data.returnPath, data.recipients], [user, 'forged@elsewhere.test', 40]);
    await stopgap.block('account', user);
    await assert.rejects(exim.submit('', ['one@elsewhere.test']), /Service temporarily unavailable/);
    await stopgap.release('account', user);
    await stopgap.block('account', user, { refusal: 'hold' });
    await exim.submit('', ['two@elsewhere.test']);
    assert.match(await exim.queue(), /\*\*\* frozen \*\*\*/);
    await stopgap.release('account', user);
    await exim.thaw();
    await exim.idle();
    assert.equal(outside.messages.length, 2);
  });

  test('does so where the user speaks SMTP with sendmail, and leaves a login to whom it belongs', async (t) => {
    const stopgap = await Stopgap.start(t, { settings: LISTEN });
    const { exim, outside } = await eximAsking(t, `inet:127.0.0.1:${stopgap.port('policy')}`);
    const user = `uid-${process.getuid!()}@mx.example.com`;
    const letter = (to: string): string[] => [
      'MAIL FROM:<forged@elsewhere.test>',
      `RCPT TO:<${to}>`,
      'DATA',
      'From: program@example.com',
      '',
      'hello',
      '.',
    ];
    const login = `AUTH PLAIN ${Buffer.from(`\0${ALICE}\0${PASSWORDS[ALICE]!}`).toString('base64')}`;
    await exim.speak('-bs', [
      'EHLO local.test',
      ...letter('one@elsewhere.test'),
      ...letter('two@elsewhere.test'),
    ]);
    await exim.speak('-bs', ['EHLO local.test', login, ...letter('three@elsewhere.test')]);
    await exim.speak('-bS', letter('four@elsewhere.test'));
    await exim.idle();
    const accounts = (await stopgap.all<MessageAccepted>('MessageAccepted')).map(({ data }) => data.account);
    assert.deepEqual(accounts, [user, user, ALICE, user]);

    await stopgap.block('account', user);
    const said = await exim.speak('-bs', ['EHLO local.test', ...letter('five@elsewhere.test').slice(0, 2)]);
    assert.match(said.at(-2)!, TEMPORARY, 'at RCPT');
    await exim.speak('-bS', letter('six@elsewhere.test'));
    const other = await exim.speak('-bs', ['EHLO local.test', login, ...letter('seven@elsewhere.test')]);
    assert.match(other.at(-2)!, /^250 OK id=/);
    await exim.idle();
    assert.equal(outside.messages.length, 5);
    const refused = await stopgap.all<MessageRefused>('MessageRefused');
    assert.deepEqual(
      refused.map(({ data }) => data.account),
      [user, user],
    );
  });

  test('goes on with mail while the policy service is killed, and while it hangs', async (t) => {
    const dir = await workDir(t);
    const start = (port: number): Promise<Served> =>
      Served.start(t, dir, { STOPGAP_POLICY_LISTEN: `127.0.0.1:${port}` });
    let served = await start(0);
    const port = Number(served.told('policy').split(':').at(-1));
    const { exim, outside } = await eximAsking(t, `inet:127.0.0.1:${port}`);
    const session = await loggedIn(exim, ALICE);
    assert.match(await session.send(ALICE, ['one@elsewhere.test']), /^250 /);
    await served.kill();
    assert.match(await session.send(ALICE, ['two@elsewhere.test']), /^250 /, 'in the middle of a session');
    served = await start(port);
    assert.match(await session.send(ALICE, ['three@elsewhere.test']), /^250 /);
    const asked = async (): Promise<{ readonly endOfMessage: number }> => {
      const health = await served.api('GET', '/healthz', '');
      return ((await health.json()) as { policy: { endOfMessage: number } }).policy;
    };
    assert.equal((await asked()).endOfMessage, 1, 'the next process is asked');
    served.child.kill('SIGSTOP');
    assert.match(await session.send(ALICE, ['four@elsewhere.test']), /^250 /, 'six seconds later');
    served.child.kill('SIGCONT');
    await session.quit();
    await exim.idle();
    assert.equal(outside.messages.length, 4);
  });

  test('asks through a UNIX socket too', async (t) => {
    const dir = await workDir(t);
    const stopgap = await Stopgap.start(t, { settings: { policy: { listen: `unix:${dir}/policy` } } });
    // Exim runs as a user of its own.
    chmodSync(dir, 0o755);
    const { exim } = await eximAsking(t, `${dir}/policy`);
    const session = await loggedIn(exim, ALICE);
    assert.match(await session.send(ALICE, ['one@elsewhere.test']), /^250 /);
    await session.quit();
    assert.equal((await stopgap.all('MessageAccepted')).length, 1);
  });

  test('hands what came back to stopgap bounce, which counts for the account that sent', async (t) => {
    const stopgap = await Stopgap.start(t, { settings: LISTEN });
    const dir = await workDir(t);
    chmodSync(dir, 0o755);
    const token = path.join(dir, 'token');
    writeFileSync(token, `${await tokenOf(stopgap, 'bounces')}\n`);
    const { router, transport } = recipe();
    const { exim, outside } = await eximAsking(t, `inet:127.0.0.1:${stopgap.port('policy')}`, {
      routers: router.replace('+local_domains', 'example.com'),
      transports: transport
        .replace('user = stopgap', 'user = Debian-exim')
        .replace('/usr/local/bin/stopgap', `${process.execPath} ${PROGRAM}`)
        .replace('http://127.0.0.1:8025', `http://127.0.0.1:${stopgap.port('HTTP')}`)
        .replace('/etc/stopgap/bounce-token', token),
    });
    outside.script = {
      RCPT: (line) => (line.includes('<gone') ? '550 5.1.1 there is no such user' : undefined),
    };
    const session = await loggedIn(exim, ALICE);
    assert.match(await session.send(ALICE, ['gone@elsewhere.test']), /^250 /);
    await session.quit();
    const bounces = () => stopgap.all<BounceReceived>('BounceReceived');
    await eventually('the bounce counts', async () => (await bounces()).length > 0, 60_000).catch(
      (error: Error) => {
        throw new Error(`${error.message}\n${exim.log}`);
      },
    );
    const [send] = await stopgap.all<MessageAccepted>('MessageAccepted');
    const [{ data, stream }, ...more] = (await bounces()) as [Awaited<ReturnType<typeof bounces>>[number]];
    assert.deepEqual(
      [data.account, data.send, data.kind, stream, more],
      [ALICE, send!.id, 'failed', send!.stream, []],
    );
    await exim.idle();
    const toAlice = outside.messages.filter(({ to }) => to.some((line) => line.includes(`<${ALICE}>`)));
    assert.equal(toAlice.length, 1, 'she is told as before');
  });
});
