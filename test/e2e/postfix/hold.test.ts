import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import type { HookRan } from '../../../src/blocks/events.js';
import { HOUR } from '../../../src/kernel/time.js';
import { newId } from '../../../src/runtime/ids.js';
import type { MessageHeld, MessageRefused } from '../../../src/sending/events.js';
import { heldStream } from '../../../src/sending/events.js';
import { parseSubject } from '../../../src/sending/subjects.js';
import { freePorts } from '../../support/ports.js';
import { loggedIn, postfixAsking } from '../../support/policy/postfix-asking.js';
import type { FakeUpstream, Peer } from '../../support/relay/fake-upstream.js';
import { Dialogue } from '../../support/smtp/dialogue.js';
import { eventually } from '../../support/smtp/eventually.js';
import type { RealPostfix } from '../../support/smtp/real-postfix.js';
import { postfixMissing } from '../../support/smtp/real-postfix.js';
import { workDir } from '../../support/smtp/served.js';
import { ALICE, BOB, Stopgap } from '../../support/smtp/stopgap.js';

const HOOK = path.resolve('deploy/hooks/postfix.mjs');
const HOLDING = `version: 1
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 3, then: block, for: 1h, refuse: hold }
`;

/** The leaner way of docs/run/mail-servers.md. */
const ASKS_AT_DATA = [
  'smtpd_recipient_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination',
  'smtpd_data_restrictions = $stopgap',
];

interface Scene {
  readonly stopgap: Stopgap;
  readonly postfix: RealPostfix;
  readonly outside: FakeUpstream;
}

/** A Stopgap whose hook is the recipe, beside the Postfix that asks it. */
async function scene(
  t: TestContext,
  rules?: string,
  more?: Parameters<typeof postfixAsking>[2],
): Promise<Scene> {
  const dir = await workDir(t);
  // Postfix runs as a user of its own.
  chmodSync(dir, 0o755);
  const { postfix, outside } = await postfixAsking(t, `unix:${dir}/policy`, more);
  const settings = { policy: { listen: `unix:${dir}/policy` }, hooks: { run: `${HOOK} ${postfix.dir}` } };
  const stopgap = await Stopgap.start(t, { settings, ...(rules === undefined ? {} : { rules }) });
  return { stopgap, postfix, outside };
}

async function send(postfix: RealPostfix, user: string, ...to: readonly string[]): Promise<void> {
  const session = await loggedIn(postfix, user);
  for (const each of to) assert.match(await session.send(user, [each]), /^250 /);
  await session.quit();
}

/** A person lets go of the block, or says what becomes of the held mail. */
async function decide(
  { app }: Stopgap,
  command: Parameters<Stopgap['app']['blockCommands']['execute']>[1],
): Promise<void> {
  const { position } = await app.blockCommands.execute(parseSubject('account', ALICE), command, {
    by: 'admin:test',
  });
  await app.models.reached(position);
}

/** What the hook did, once so much is recorded. */
async function runs(stopgap: Stopgap, count: number): Promise<readonly HookRan[]> {
  const ran = async (): Promise<readonly HookRan[]> =>
    (await stopgap.all<HookRan>('HookRan')).map(({ data }) => data);
  await eventually('the hook has run', async () => (await ran()).length >= count, 30_000);
  return ran();
}

const idsIn = async (postfix: RealPostfix, queue: string): Promise<readonly string[]> =>
  [...(await postfix.queued())].filter(([, name]) => name === queue).map(([id]) => id);

const receivers = ({ messages }: FakeUpstream): readonly string[] =>
  messages.flatMap(({ to }) => to.map((line) => /<([^>]*)>/.exec(line)![1]!)).sort();

const ONE_AT_A_TIME = ['smtp_destination_concurrency_limit = 1'];

/**
 * Has the receiver not greet until it is told to.
 *
 * @param first sends what is being delivered from then on
 */
async function slow(outside: FakeUpstream, first: () => Promise<void>): Promise<() => void> {
  const waiting: Peer[] = [];
  outside.script = {
    connect: (_, peer) => {
      waiting.push(peer);
      return '';
    },
  };
  await first();
  await eventually('it is being delivered', () => waiting.length === 1);
  return () => {
    outside.script = {};
    for (const peer of waiting) peer.say('220 fake.test ESMTP');
  };
}

describe('mail that a real Postfix holds', { skip: postfixMissing() }, () => {
  test('by a rule that holds is taken and listed, and sent on once after a false positive', async (t) => {
    const { stopgap, postfix, outside } = await scene(t, HOLDING);
    await send(postfix, ALICE, ...[1, 2, 3, 4].map((each) => `n${each}@elsewhere.test`));
    const { data } = await stopgap.event(({ type }) => type === 'BlockImposed');
    const { block } = data as { readonly block: string };
    await stopgap.settled();
    await send(postfix, ALICE, 'held1@elsewhere.test', 'held2@elsewhere.test');
    const held = await stopgap.all<MessageHeld>('MessageHeld');
    assert.deepEqual(
      held.map((event) => event.data.transaction).sort(),
      [...(await idsIn(postfix, 'hold'))].sort(),
    );
    assert.ok(held.every((event) => event.data.block === block && event.data.account === ALICE));
    await decide(stopgap, { kind: 'release', block, falsePositive: true });
    const [first, run] = await runs(stopgap, 2);
    assert.deepEqual([first!.action, run!.action], ['hold-queue', 'release']);
    assert.deepEqual([run!.outcome, run!.acted], ['done', 2]);
    await postfix.idle();
    assert.deepEqual(
      receivers(outside),
      ['held1', 'held2', 'n1', 'n2', 'n3', 'n4'].map((each) => `${each}@elsewhere.test`),
    );
  });

  for (const [where, settings] of [
    ['RCPT', []],
    ['DATA', ASKS_AT_DATA],
  ] as const)
    test(`is refused behind a filter before the queue, where Postfix cannot hold it, asked at ${where} and the end`, async (t) => {
      const dir = await workDir(t);
      chmodSync(dir, 0o755);
      const stopgap = await Stopgap.start(t, { settings: { policy: { listen: `unix:${dir}/policy` } } });
      const [filter] = await freePorts(1);
      const { postfix, outside } = await postfixAsking(t, `unix:${dir}/policy`, {
        settings: [`smtpd_proxy_filter = 127.0.0.1:${filter}`, ...settings],
        // The filter changes nothing: it is the entry that takes mail back.
        services: [`127.0.0.1:${filter} inet n - n - - smtpd -o stopgap= -o smtpd_proxy_filter=`],
      });
      await stopgap.block('account', ALICE, { refusal: 'hold' });
      const thief = await loggedIn(postfix, ALICE);
      for (const to of ['one@elsewhere.test', 'two@elsewhere.test']) {
        assert.match(await thief.send(ALICE, [to]), /^451 4\.3\.2 /);
        assert.match(await thief.say('RSET'), /^250 /);
      }
      await thief.quit();
      await send(postfix, BOB, 'friend@elsewhere.test');
      await stopgap.release('account', ALICE);
      await send(postfix, ALICE, 'three@elsewhere.test');
      await postfix.idle();
      assert.deepEqual(receivers(outside), ['friend@elsewhere.test', 'three@elsewhere.test']);
      assert.deepEqual(await stopgap.all('MessageHeld'), []);
      const refused = await stopgap.all<MessageRefused>('MessageRefused');
      assert.ok(refused.some(({ data }) => data.stage === 'data' && data.reply.startsWith('451 ')));
      assert.equal((await stopgap.all('MessageAccepted')).length, 2);
    });

  test('is held where it asks at DATA in place of RCPT', async (t) => {
    const dir = await workDir(t);
    chmodSync(dir, 0o755);
    const stopgap = await Stopgap.start(t, { settings: { policy: { listen: `unix:${dir}/policy` } } });
    const { postfix } = await postfixAsking(t, `unix:${dir}/policy`, { settings: ASKS_AT_DATA });
    await stopgap.block('account', ALICE, { refusal: 'hold' });
    await send(postfix, ALICE, 'one@elsewhere.test');
    const held = await stopgap.all<MessageHeld>('MessageHeld');
    assert.deepEqual(
      held.map(({ data }) => data.transaction),
      await idsIn(postfix, 'hold'),
    );
    assert.equal(held.length, 1);
  });

  test('is deleted where a person says so, and only that', async (t) => {
    const { stopgap, postfix, outside } = await scene(t);
    const block = await stopgap.block('account', ALICE, { refusal: 'hold' });
    await send(postfix, ALICE, 'held1@elsewhere.test', 'held2@elsewhere.test');
    await send(postfix, BOB, 'kept@elsewhere.test');
    await stopgap.settled();
    await decide(stopgap, { kind: 'release', block, falsePositive: false });
    assert.equal((await idsIn(postfix, 'hold')).length, 2, 'a release deletes and sends nothing by itself');
    await decide(stopgap, { kind: 'held', block, action: 'delete' });
    const [run] = await runs(stopgap, 1);
    assert.deepEqual([run!.action, run!.outcome, run!.acted], ['delete', 'done', 2]);
    await postfix.idle();
    assert.deepEqual(receivers(outside), ['kept@elsewhere.test']);
  });

  test('is told to come again where it ends after its block, so that no deletion is about it', async (t) => {
    const { stopgap, postfix, outside } = await scene(t);
    const block = await stopgap.block('account', ALICE, { refusal: 'hold' });
    await send(postfix, ALICE, 'spam@elsewhere.test');
    const customer = await loggedIn(postfix, ALICE);
    for (const line of [`MAIL FROM:<${ALICE}>`, 'RCPT TO:<friend@elsewhere.test>'])
      assert.match(await customer.say(line), /^250 /);
    assert.match(await customer.say('DATA'), /^354 /);
    await stopgap.settled();
    await decide(stopgap, { kind: 'release', block, falsePositive: false, held: 'delete' });
    assert.match(await customer.say('Subject: a letter\r\n\r\nhello\r\n.'), /^451 4\.3\.2 /);
    const [run] = await runs(stopgap, 1);
    assert.deepEqual([run!.action, run!.asked, run!.acted], ['delete', 1, 1]);
    assert.equal((await postfix.queued()).size, 0);
    await customer.quit();
    await send(postfix, ALICE, 'friend@elsewhere.test');
    await postfix.idle();
    assert.deepEqual(receivers(outside), ['friend@elsewhere.test']);
    assert.equal((await stopgap.all('MessageAccepted')).length, 1);
    assert.equal((await stopgap.all('MessageHeld')).length, 1);
  });

  test('stays on hold where another block refuses its sender still, and goes out with the last of them', async (t) => {
    const { stopgap, postfix, outside } = await scene(t);
    const domain = await stopgap.block('domain', 'example.com', { refusal: 'hold' });
    await send(postfix, ALICE, 'one@elsewhere.test');
    await stopgap.settled();
    const own = await stopgap.block('account', ALICE);
    const release = { kind: 'release', block: domain, falsePositive: true } as const;
    await stopgap.app.blockCommands.execute(parseSubject('domain', 'example.com'), release, {
      by: 'admin:test',
    });
    assert.equal((await runs(stopgap, 1))[0]!.moved, 1);
    assert.equal((await idsIn(postfix, 'hold')).length, 1);
    await decide(stopgap, { ...release, block: own });
    await runs(stopgap, 2);
    await postfix.idle();
    assert.deepEqual(receivers(outside), ['one@elsewhere.test']);
  });

  test('since it waited in the queue when the block came is let go too, none lost and none doubled', async (t) => {
    const { stopgap, postfix, outside } = await scene(t);
    outside.script = { RCPT: () => '451 4.3.0 Not now' };
    await send(postfix, ALICE, ...[1, 2, 3].map((each) => `n${each}@elsewhere.test`));
    await send(postfix, BOB, 'other@elsewhere.test');
    await eventually('all is deferred', async () => (await idsIn(postfix, 'deferred')).length === 4, 30_000);
    await stopgap.settled();
    const block = await stopgap.block('account', ALICE);
    const [run] = await runs(stopgap, 1);
    assert.deepEqual([run!.action, run!.outcome, run!.asked, run!.acted], ['hold-queue', 'done', 3, 3]);
    assert.equal((await idsIn(postfix, 'hold')).length, 3);
    outside.script = {};
    await postfix.flush();
    await eventually('the others go on', () => outside.messages.length === 1, 30_000);
    assert.deepEqual(receivers(outside), ['other@elsewhere.test']);
    await decide(stopgap, { kind: 'release', block, falsePositive: true });
    const [, second] = await runs(stopgap, 2);
    assert.deepEqual([second!.action, second!.outcome, second!.acted], ['release', 'done', 3]);
    await postfix.idle();
    assert.deepEqual(
      receivers(outside),
      ['n1', 'n2', 'n3', 'other'].map((each) => `${each}@elsewhere.test`),
    );
  });

  test('since it waited its turn when the block came is let go at once, none lost and none doubled', async (t) => {
    const { stopgap, postfix, outside } = await scene(t, undefined, { settings: ONE_AT_A_TIME });
    const greet = await slow(outside, () => send(postfix, BOB, 'other@elsewhere.test'));
    await send(postfix, ALICE, 'n1@elsewhere.test', 'n2@elsewhere.test');
    await eventually('all are active', async () => (await idsIn(postfix, 'active')).length === 3);
    await stopgap.settled();
    const block = await stopgap.block('account', ALICE);
    const [run] = await runs(stopgap, 1);
    assert.deepEqual([run!.action, run!.outcome, run!.asked, run!.acted], ['hold-queue', 'done', 2, 2]);
    assert.equal((await idsIn(postfix, 'hold')).length, 2);
    await decide(stopgap, { kind: 'release', block, falsePositive: true });
    const [, second] = await runs(stopgap, 2);
    assert.deepEqual([second!.action, second!.outcome, second!.acted], ['release', 'done', 2]);
    greet();
    await eventually('all goes on', () => outside.messages.length === 3, 30_000);
    // What was being delivered to another server waits a minute for its end to be seen.
    await eventually('no more waits', async () => (await postfix.queued()).size <= 1);
    assert.deepEqual(
      receivers(outside),
      ['n1', 'n2', 'other'].map((each) => `${each}@elsewhere.test`),
    );
  });

  test('while it is being delivered arrives, and is not sent again when it is let go', async (t) => {
    const { stopgap, postfix, outside } = await scene(t, undefined, { settings: ONE_AT_A_TIME });
    const greet = await slow(outside, () => send(postfix, ALICE, 'n1@elsewhere.test'));
    await stopgap.settled();
    const block = await stopgap.block('account', ALICE);
    const [run] = await runs(stopgap, 1);
    assert.deepEqual([run!.action, run!.asked, run!.acted], ['hold-queue', 1, 1]);
    greet();
    await eventually('it arrives', () => postfix.log.includes('status=sent'), 30_000);
    await decide(stopgap, { kind: 'release', block, falsePositive: true });
    await runs(stopgap, 2);
    await postfix.idle();
    assert.deepEqual(receivers(outside), ['n1@elsewhere.test']);
  });

  for (const [how, trusted, ...settings] of [
    ['XFORWARD', '127.0.0.1', 'header_checks = regexp:{ { /^Received:/ IGNORE } }'],
    ['its Received lines', ''],
  ] as const)
    test(`since it waited in the queue when the block came is found by ${how} behind a content filter`, async (t) => {
      const [filter] = await freePorts(1);
      // The filter changes nothing: it is the entry that takes mail back.
      const back = `127.0.0.1:${filter} inet n - n - - smtpd -o stopgap= -o content_filter= -o myhostname=filter.example.com -o smtpd_sasl_auth_enable=no -o smtpd_authorized_xforward_hosts=${trusted}`;
      const { stopgap, postfix, outside } = await scene(t, undefined, {
        settings: [
          `content_filter = smtp:[127.0.0.1]:${filter}`,
          'smtp_send_xforward_command = yes',
          ...settings,
        ],
        services: [back],
      });
      outside.script = { RCPT: () => '451 4.3.0 Not now' };
      await send(postfix, ALICE, 'n1@elsewhere.test', 'n2@elsewhere.test');
      await send(postfix, BOB, 'other@elsewhere.test');
      await eventually(
        'all is deferred',
        async () => (await idsIn(postfix, 'deferred')).length === 3,
        30_000,
      );
      await stopgap.settled();
      const block = await stopgap.block('account', ALICE);
      const [run] = await runs(stopgap, 1);
      assert.deepEqual([run!.action, run!.outcome, run!.asked, run!.acted], ['hold-queue', 'done', 2, 2]);
      assert.equal((await idsIn(postfix, 'hold')).length, 2);
      outside.script = {};
      await postfix.flush();
      await eventually('the others go on', () => outside.messages.length === 1, 30_000);
      assert.deepEqual(receivers(outside), ['other@elsewhere.test']);
      await decide(stopgap, { kind: 'release', block, falsePositive: true });
      const [, second] = await runs(stopgap, 2);
      assert.deepEqual([second!.action, second!.acted], ['release', 2]);
      await postfix.idle();
      assert.deepEqual(
        receivers(outside),
        ['n1', 'n2', 'other'].map((each) => `${each}@elsewhere.test`),
      );
    });

  test("of a stranger stays on hold behind a content filter, whatever it says of the id of a blocked account's message", async (t) => {
    const [filter] = await freePorts(1);
    const { stopgap, postfix, outside } = await scene(t, undefined, {
      settings: [
        `content_filter = smtp:[127.0.0.1]:${filter}`,
        'header_checks = regexp:{ { /^X-Virus/ HOLD quarantined } }',
      ],
      services: [`127.0.0.1:${filter} inet n - n - - smtpd -o stopgap= -o content_filter=`],
    });
    outside.script = { RCPT: () => '451 4.3.0 Not now' };
    const customer = await loggedIn(postfix, ALICE);
    const id = /queued as (\w+)/.exec(await customer.send(ALICE, ['friend@elsewhere.test']))![1]!;
    await customer.quit();
    const stranger = await Dialogue.hello(postfix.ports[0]!);
    const forged = `Received: from pc by mx.example.com (Postfix) with ESMTPA id ${id}`;
    const record = `x+0Anamed_attribute:+20log_ident=${id}`;
    for (const mark of ['X-Virus', 'X-Other']) {
      const envelope = ['MAIL FROM:<x@evil.test>', `RCPT TO:<v@elsewhere.test> ORCPT=rfc822;${record}`];
      for (const line of envelope) assert.match(await stranger.say(line), /^250 /);
      assert.match(await stranger.say('DATA'), /^354 /);
      assert.match(await stranger.say(`${mark}: yes\r\n${forged}\r\n\r\nhello\r\n.`), /^250 /);
    }
    await stranger.quit();
    await eventually('two wait', async () => (await idsIn(postfix, 'deferred')).length === 2, 30_000);
    const { stdout } = spawnSync('postqueue', ['-c', postfix.dir, '-p'], { encoding: 'utf8' });
    const [, back] = /^(\w+) .* x@evil\.test\n/m.exec(stdout)!;
    // What a quarantine behind the filter does.
    await postfix.hold(back!);
    const strangers = await idsIn(postfix, 'hold');
    assert.equal(strangers.length, 2);
    await stopgap.settled();
    const block = await stopgap.block('account', ALICE);
    const [run] = await runs(stopgap, 1);
    assert.deepEqual([run!.action, run!.asked, run!.acted], ['hold-queue', 1, 1]);
    assert.equal((await idsIn(postfix, 'hold')).length, 3);
    outside.script = {};
    await decide(stopgap, { kind: 'release', block, falsePositive: true });
    await runs(stopgap, 2);
    await eventually('it is sent on', () => outside.messages.length > 0, 30_000);
    assert.deepEqual(receivers(outside), ['friend@elsewhere.test']);
    assert.deepEqual([...(await idsIn(postfix, 'hold'))].sort(), [...strangers].sort());
  });

  test('as somebody else has put it there stays on hold, and is not listed, whatever becomes of a block', async (t) => {
    const quarantine = 'header_checks = regexp:{ { /^X-Virus/ HOLD quarantined } }';
    const { stopgap, postfix, outside } = await scene(t, undefined, { settings: [quarantine] });
    outside.script = { RCPT: () => '451 4.3.0 Not now' };
    const session = await loggedIn(postfix, ALICE);
    for (const line of [`MAIL FROM:<${ALICE}>`, 'RCPT TO:<victim@elsewhere.test>'])
      assert.match(await session.say(line), /^250 /);
    assert.match(await session.say('DATA'), /^354 /);
    assert.match(await session.say('X-Virus: yes\r\n\r\nhello\r\n.'), /^250 /);
    await session.quit();
    const quarantined = await idsIn(postfix, 'hold');
    assert.equal(quarantined.length, 1);
    await send(postfix, ALICE, 'friend@elsewhere.test');
    await eventually('it is deferred', async () => (await idsIn(postfix, 'deferred')).length === 1, 30_000);
    const friendly = await idsIn(postfix, 'deferred');
    await stopgap.settled();
    const block = await stopgap.block('account', ALICE);
    const [run] = await runs(stopgap, 1);
    assert.deepEqual([run!.action, run!.asked, run!.acted], ['hold-queue', 2, 1]);
    assert.deepEqual(
      (await stopgap.all<MessageHeld>('MessageHeld')).map(({ data }) => data.transaction),
      friendly,
    );
    outside.script = {};
    await decide(stopgap, { kind: 'release', block, falsePositive: true });
    await runs(stopgap, 2);
    await eventually('it is sent on', () => outside.messages.length > 0, 30_000);
    assert.deepEqual(receivers(outside), ['friend@elsewhere.test']);
    assert.deepEqual(await idsIn(postfix, 'hold'), quarantined);
    const input = JSON.stringify({
      action: 'hold-queue',
      account: ALICE,
      queueIds: quarantined,
      again: true,
    });
    const { stdout } = spawnSync(HOOK, [postfix.dir], { input, encoding: 'utf8' });
    assert.equal(stdout, `held ${quarantined[0]}\nend\n`, 'an earlier call may have held it');
  });

  test('for an earlier block stays on hold when a later one is released as a false positive', async (t) => {
    const { stopgap, postfix, outside } = await scene(t);
    outside.script = { RCPT: () => '451 4.3.0 Not now' };
    await send(postfix, ALICE, 'spam@elsewhere.test');
    await eventually('it is deferred', async () => (await idsIn(postfix, 'deferred')).length === 1, 30_000);
    await stopgap.settled();
    const thief = await stopgap.block('account', ALICE);
    await runs(stopgap, 1);
    const spam = await idsIn(postfix, 'hold');
    assert.equal(spam.length, 1);
    await decide(stopgap, { kind: 'release', block: thief, falsePositive: false });
    await send(postfix, ALICE, 'newsletter@elsewhere.test');
    await eventually('it is deferred', async () => (await idsIn(postfix, 'deferred')).length === 1, 30_000);
    await stopgap.settled();
    const wrong = await stopgap.block('account', ALICE);
    const [, held] = await runs(stopgap, 2);
    assert.deepEqual([held!.action, held!.asked, held!.acted], ['hold-queue', 1, 1]);
    outside.script = {};
    await decide(stopgap, { kind: 'release', block: wrong, falsePositive: true });
    await runs(stopgap, 3);
    await eventually('it is sent on', () => outside.messages.length > 0, 30_000);
    await postfix.flush();
    await eventually('no more waits', async () => (await postfix.queued()).size === 1, 30_000);
    assert.deepEqual(receivers(outside), ['newsletter@elsewhere.test']);
    assert.deepEqual(await idsIn(postfix, 'hold'), spam);
    await decide(stopgap, { kind: 'held', block: thief, action: 'delete' });
    await runs(stopgap, 4);
    assert.equal((await postfix.queued()).size, 0);
  });

  test('is found whatever its return path has in it', async (t) => {
    const { postfix, outside } = await scene(t);
    outside.script = { RCPT: () => '451 4.3.0 Not now' };
    const session = await Dialogue.hello(postfix.ports[0]!);
    // Regular expressions take these for ends of lines.
    for (const end of ['\r', '\u2028', '\u2029']) {
      const from = `"x${end}named_attribute: sasl_username=bob"@example.com`;
      assert.match(await session.send(from, ['one@elsewhere.test']), /^250 /);
    }
    await session.quit();
    await eventually('all is deferred', async () => (await idsIn(postfix, 'deferred')).length === 3, 30_000);
    const queueIds = await idsIn(postfix, 'deferred');
    const input = JSON.stringify({ action: 'hold-queue', account: null, queueIds });
    const { stdout } = spawnSync(HOOK, [postfix.dir], { input, encoding: 'utf8' });
    assert.equal(stdout, [...queueIds.map((id) => `held ${id}`), 'end', ''].join('\n'));
  });

  test('that a program has handed in with `sendmail` is held and let go for its user alone', async (t) => {
    const { postfix, outside } = await postfixAsking(t, 'inet:127.0.0.1:9');
    outside.script = { RCPT: () => '451 4.3.0 Not now' };
    await postfix.submit('web@example.com', 'one@elsewhere.test');
    const remote = await Dialogue.hello(postfix.ports[0]!);
    assert.match(await remote.send('web@example.com', ['two@elsewhere.test']), /^250 /);
    const ids = async (): Promise<readonly string[]> => idsIn(postfix, 'deferred');
    await eventually('they wait', async () => (await ids()).length === 2);
    const hook = (action: string, account: string | null, queueIds: readonly string[]): readonly string[] => {
      const input = JSON.stringify({ action, block: 'b1', account, queueIds });
      return spawnSync(HOOK, [postfix.dir], { input, encoding: 'utf8' }).stdout.trimEnd().split('\n');
    };
    const both = await ids();
    assert.deepEqual(hook('hold-queue', 'uid-99999@mx', both), ['end']);
    const web = `uid-${process.getuid!()}@mx`;
    const [held, ...rest] = hook('hold-queue', web, both);
    assert.deepEqual(rest, ['end'], 'what a client has sent is not of that user');
    const local = held!.replace('held ', '');
    assert.deepEqual(await idsIn(postfix, 'hold'), [local]);
    assert.deepEqual(hook('delete', null, both), ['end'], 'it was sent by somebody');
    assert.deepEqual(hook('release', web, both), [`released ${local}`, 'end']);
    await remote.quit();
  });

  test('of another login is left alone: its id has been used again', async (t) => {
    const { stopgap, postfix, outside } = await scene(t);
    outside.script = { RCPT: () => '451 4.3.0 Not now' };
    await send(postfix, BOB, 'other@elsewhere.test');
    await eventually('it is deferred', async () => (await idsIn(postfix, 'deferred')).length === 1, 30_000);
    const [id] = await idsIn(postfix, 'deferred');
    await postfix.hold(id!);
    const block = await stopgap.block('account', ALICE, { refusal: 'hold' });
    for (const account of [ALICE, undefined]) {
      const data = {
        block,
        ...(account && { account }),
        direction: 'outbound',
        transaction: id,
        recipients: 1,
        size: 1,
      };
      const event = {
        id: newId(),
        type: 'MessageHeld',
        data,
        at: stopgap.clock.now() - HOUR,
        by: 'policy:test',
      };
      await stopgap.app.store.append(heldStream(block), [event], 'any');
    }
    for (const action of ['delete', 'release'] as const) {
      await decide(stopgap, { kind: 'held', block, action });
      const run = (await runs(stopgap, 1)).find((one) => one.action === action);
      if (run !== undefined) assert.deepEqual([run.outcome, run.acted], ['done', 0]);
      assert.deepEqual(await idsIn(postfix, 'hold'), [id]);
    }
  });
});
