import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import type { Refusal } from '../../../src/blocks/events.js';
import { formatInstant, MINUTE } from '../../../src/kernel/time.js';
import { newId } from '../../../src/runtime/ids.js';
import { heldStream, sendStream } from '../../../src/sending/events.js';
import { parseSubject } from '../../../src/sending/subjects.js';
import type { EventStore } from '../../../src/store/port.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import { Asking } from '../../support/policy/asking.js';
import {
  askPolicy,
  attemptOf,
  check,
  FOR_DOVECOT,
  SERVER_TOKEN,
  VIEWER_TOKEN,
} from '../../support/policy/dovecot.js';
import { eventually } from '../../support/smtp/eventually.js';
import { ALICE, BOB, Stopgap } from '../../support/smtp/stopgap.js';
import { changed } from '../../support/store/changed.js';

const END = { protocol_state: 'END-OF-MESSAGE', recipient: '', size: '1000', recipient_count: '1' };

/** As docs/run/mail-servers.md sets it up: a mail server asks, and no mail comes here. */
async function asked(
  t: TestContext,
  policy: Readonly<Record<string, unknown>> = {},
  throughStore?: (store: EventStore) => EventStore,
): Promise<Stopgap> {
  const settings = {
    ...FOR_DOVECOT.settings,
    roles: ['policy', 'detector', 'api', 'worker'],
    smtp: { hostname: 'mx.example.com' },
    policy: { listen: '127.0.0.1:0', ...policy },
  };
  const through = throughStore === undefined ? {} : { throughStore };
  return Stopgap.start(t, { files: FOR_DOVECOT.files!, settings, ...through });
}

/** As a mail server that speaks HTTP. @returns what it is answered */
async function tell(
  stopgap: Stopgap,
  what: string,
  body: unknown,
): Promise<Readonly<Record<string, unknown>>> {
  const response = await fetch(`http://127.0.0.1:${stopgap.port('HTTP')}/api/v1/${what}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${SERVER_TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  assert.equal(response.status, 200);
  return (await response.json()) as Readonly<Record<string, unknown>>;
}

/** What a customer is told of a block. */
async function letterOf(stopgap: Stopgap, block: string): Promise<string> {
  const report = `http://127.0.0.1:${stopgap.port('HTTP')}/api/v1/blocks/${block}/report?format=text`;
  const letter = await fetch(report, { headers: { authorization: `Bearer ${VIEWER_TOKEN}` } });
  return letter.text();
}

describe('a check where Stopgap takes mail, and a mail server asks too', () => {
  test('does not call an account refused that the mail server alone knows', async (t) => {
    const settings = { ...FOR_DOVECOT.settings, policy: { listen: '127.0.0.1:0' } };
    const stopgap = await Stopgap.start(t, { files: FOR_DOVECOT.files!, settings });
    const theirs = 'only-there@example.com';
    const asking = await Asking.open(t, stopgap.port('policy'));
    assert.match(await asking.ask({ sasl_username: theirs }), /^DUNNO/);
    const free = await check(stopgap, `account=${theirs}`);
    assert.deepEqual(
      [free.refused, free.accountState, free.auth.outcome, free.rcpt.outcome],
      [false, 'unknown', 'not asked', 'passes'],
    );
    assert.match(
      free.sentence,
      /^This sender is not refused: .* It is not in the users file: at a listener of Stopgap its logins fail/,
    );
    await stopgap.block('account', theirs);
    const refused = await check(stopgap, `account=${theirs}`);
    assert.deepEqual([refused.refused, refused.rcpt.outcome], [true, 'refused']);
    assert.match(refused.sentence, /^This sender is refused: account only-there@example\.com is blocked/);
  });
});

describe('a check where a mail server asks and no mail is taken', () => {
  for (const [refuse, refusal, told, auth] of [
    ['451', 'soft', '451', 'refused'],
    ['450', 'soft', '450', 'refused'],
    ['hold', 'soft', 'HOLD', 'passes'],
    ['451', 'defer', '451', 'passes'],
    ['hold', 'defer', 'HOLD', 'passes'],
    ['451', 'hold', 'HOLD', 'passes'],
    ['451', 'honest', '550', 'passes'],
    ['hold', 'honest', '550', 'passes'],
  ] satisfies [string, Refusal, string, string][])
    test(`says what the client of a ${refusal} block hears under policy.refuse: ${refuse}`, async (t) => {
      const stopgap = await asked(t, { refuse });
      await stopgap.block('account', ALICE, { refusal });
      const answer = await (await Asking.open(t, stopgap.port('policy'))).ask();
      assert.equal(answer.slice(0, told.length), told);
      const login = await askPolicy(stopgap, 'allow', attemptOf());
      const verdict = await check(stopgap, `account=${ALICE}`);
      assert.deepEqual([verdict.refused, verdict.auth.outcome], [true, auth]);
      assert.equal(login.text, auth === 'refused' ? '{"status":-1}' : '{"status":0}');
      // A mail server that checks passwords without asking lets the login pass.
      if (auth === 'refused') {
        assert.match(
          verdict.auth.reply!,
          /^as a wrong password, where Dovecot.* or a mail server .*; elsewhere/,
        );
        const decided = await tell(stopgap, 'decide', { stage: 'auth', account: ALICE, ip: '192.0.2.9' });
        assert.equal(decided['code'], 535);
      }
      if (answer === 'HOLD') {
        assert.deepEqual([verdict.rcpt.outcome, verdict.rcpt.reply], ['held', null]);
        assert.match(
          verdict.sentence,
          /The mail server takes its mail and holds it, or refuses what it cannot hold\.$/,
        );
      } else assert.deepEqual([verdict.rcpt.outcome, verdict.rcpt.reply], ['refused', answer]);
      const past = formatInstant(stopgap.clock.now() - 1);
      const then = await check(stopgap, `account=${ALICE}&at=${past}`);
      assert.deepEqual([then.auth, then.rcpt], [verdict.auth, verdict.rcpt]);
    });

  test('says that a block refuses no mail as long as no mail server asks, and reports are no question', async (t) => {
    const stopgap = await asked(t);
    await stopgap.block('account', ALICE);
    await askPolicy(stopgap, 'report', attemptOf({ success: false }));
    const failed = { type: 'login-failed', id: '1', ip: '192.0.2.7', account: ALICE };
    await tell(stopgap, 'sends', [failed]);
    const tells =
      /But no mail server has asked Stopgap about mail since this start, .*: see stopgap doctor\./;
    assert.match((await check(stopgap, `account=${ALICE}`)).sentence, tells);
    assert.doesNotMatch((await check(stopgap, `account=${BOB}`)).sentence, /has asked/);
    await (await Asking.open(t, stopgap.port('policy'))).ask();
    assert.doesNotMatch((await check(stopgap, `account=${ALICE}`)).sentence, /has asked/);
  });

  test('takes a question over HTTP for one', async (t) => {
    const stopgap = await asked(t);
    await stopgap.block('account', ALICE);
    await tell(stopgap, 'decide', { account: ALICE });
    assert.doesNotMatch((await check(stopgap, `account=${ALICE}`)).sentence, /has asked/);
  });

  for (const [by, policy, refusal] of [
    ['a block by hand', {}, 'hold'],
    ['policy.refuse', { refuse: 'hold' }, 'soft'],
  ] satisfies [string, object, Refusal][])
    test(`says that mail which ${by} would hold is refused where a mail server asks over HTTP and cannot hold`, async (t) => {
      const stopgap = await asked(t, policy);
      const block = await stopgap.block('account', ALICE, { refusal });
      const isHeld = async (): Promise<boolean> =>
        (await check(stopgap, `account=${ALICE}`)).rcpt.outcome === 'held';
      await tell(stopgap, 'decide', { account: BOB, returnPath: BOB });
      assert.ok(!(await isHeld()), 'nobody who has asked can hold');
      const decided = await tell(stopgap, 'decide', { account: ALICE, returnPath: ALICE });
      assert.equal(decided['action'], 'refuse');
      const told = `${decided['code'] as number} ${decided['text'] as string}`;
      await stopgap.settled();
      const verdict = await check(stopgap, `account=${ALICE}&said=${encodeURIComponent(told)}`);
      assert.deepEqual([verdict.rcpt.outcome, verdict.rcpt.reply], ['refused', told]);
      assert.equal(verdict.said?.cause, 'block');
      const letter = await letterOf(stopgap, block);
      assert.doesNotMatch(letter, /had taken the message/);
      assert.ok(letter.includes(`"${told}": once, `), letter);
      // Another mail server asks about somebody else: that says nothing of this account.
      await (await Asking.open(t, stopgap.port('policy'))).ask({ sasl_username: BOB, sender: BOB });
      assert.ok(!(await isHeld()), 'its last mail was refused');
      const holding = { account: ALICE, returnPath: ALICE, holds: true };
      assert.equal((await tell(stopgap, 'decide', holding))['action'], 'hold');
      await stopgap.settled();
      assert.ok(await isHeld());
    });

  test('names no SMTP nodes, which there are not, and no mail server behind', async (t) => {
    const stopgap = await asked(t);
    const { sentence } = await check(stopgap, `account=${ALICE}`);
    assert.match(sentence, /whether its password is right, is not known here: the mail server knows\./);
    assert.doesNotMatch(sentence, /SMTP nodes|mail server behind/);
    assert.doesNotMatch((await check(stopgap, 'ip=192.0.2.1')).sentence, /SMTP nodes|mail server behind/);
  });

  test('tells of the wrong passwords that Dovecot has reported, also of names that may be no account', async (t) => {
    const stopgap = await asked(t);
    await askPolicy(stopgap, 'report', attemptOf({ success: true, protocol: 'imap' }));
    for (const login of ['Alice@example.com', BOB])
      await askPolicy(stopgap, 'report', attemptOf({ success: false, login }));
    const verdict = await check(stopgap, `account=${ALICE}`);
    assert.match(verdict.sentence, / 1 login of it failed with a wrong password, at .* from 192\.0\.2\.7\.$/);
    assert.equal(verdict.failedLogins?.failed, 1);
    const unseen = await check(stopgap, `account=${BOB}`);
    assert.equal(unseen.failedLogins?.failed, 1);
    assert.match(unseen.sentence, / failed with a wrong password, or since there is no such account, at /);
    await askPolicy(stopgap, 'report', attemptOf({ success: false, policy_reject: true }));
    assert.equal((await check(stopgap, `account=${ALICE}`)).failedLogins?.failed, 1, 'our own refusal');
  });

  test('tells of the wrong passwords that a mail server or a follower has reported, each once', async (t) => {
    const stopgap = await asked(t);
    const now = stopgap.clock.now();
    const item = (id: string, more: object) => ({ type: 'login-failed', id, ip: '192.0.2.7', ...more });
    await tell(stopgap, 'sends', [{ type: 'accepted', id: 's', account: ALICE, recipients: 1 }]);
    const failures = [
      item('1', { account: 'Alice@example.com', count: 3 }),
      item('2', { account: ALICE, ip: '192.0.2.9', at: formatInstant(now - 30 * MINUTE) }),
      item('3', { account: BOB }),
      item('4', {}),
    ];
    for (const _ of [1, 2]) await tell(stopgap, 'sends', failures);
    const { failedLogins, sentence } = await check(stopgap, `account=${ALICE}`);
    assert.deepEqual([failedLogins?.failed, failedLogins?.network], [4, '192.0.2.7']);
    assert.equal(failedLogins?.since, formatInstant(now - 30 * MINUTE));
    assert.match(sentence, / 4 logins of it failed with a wrong password, the last at .* from 192\.0\.2\.7/);
    const said = await check(stopgap, `account=${BOB}&said=535`);
    assert.equal(said.said?.cause, 'password');
    assert.match(said.sentence, /^Its password was wrong, or there is no such account: its login failed/);
  });

  test('counts no login as a wrong password that a block had fail, where a mail server reports it', async (t) => {
    const stopgap = await asked(t);
    await stopgap.block('account', ALICE);
    await tell(stopgap, 'sends', [{ type: 'login-failed', id: '1', ip: '192.0.2.7', account: ALICE }]);
    assert.equal((await check(stopgap, `account=${ALICE}`)).failedLogins, null);
  });

  test('tells of mail that is held for the account, also when its block has ended', async (t) => {
    const stopgap = await asked(t);
    const block = await stopgap.block('account', ALICE, { refusal: 'hold' });
    const asking = await Asking.open(t, stopgap.port('policy'));
    assert.equal((await check(stopgap, `account=${ALICE}`)).held?.length, 0);
    for (const queue_id of ['4AAAA', '4BBBB'])
      assert.equal(await asking.ask({ ...END, queue_id, instance: queue_id }), 'HOLD');
    await stopgap.settled();
    await stopgap.release('account', ALICE);
    const verdict = await check(stopgap, `account=${ALICE}`);
    assert.equal(verdict.refused, false);
    assert.deepEqual(verdict.held, [{ block, count: 2 }]);
    const tells = `2 messages are still held for the block ${block}: stopgap block held ${block}`;
    assert.ok(verdict.sentence.includes(tells), verdict.sentence);
    assert.deepEqual((await check(stopgap, `account=${BOB}`)).held, []);
    const command = { kind: 'held', block, action: 'release' } as const;
    await stopgap.app.blockCommands.execute(parseSubject('account', ALICE), command, { by: 'admin:test' });
    await stopgap.settled();
    const decided = await check(stopgap, `account=${ALICE}`);
    const isToBe = `2 messages are to be released that were held for the block ${block}: stopgap block show ${block} tells what came of it.`;
    assert.ok(decided.sentence.includes(isToBe), decided.sentence);
    assert.doesNotMatch(decided.sentence, /still held/);
  });

  test('says of mail that a mail server cannot hold that it is refused, until some is held', async (t) => {
    const stopgap = await asked(t);
    const block = await stopgap.block('account', ALICE, { refusal: 'hold' });
    const asking = await Asking.open(t, stopgap.port('policy'));
    const message = { instance: '1.2.3.0', queue_id: '' };
    assert.equal(await asking.ask(message), 'HOLD');
    const told = await asking.ask({ ...message, protocol_state: 'DATA' });
    assert.match(told, /^451 /);
    await stopgap.settled();
    const refused = await check(stopgap, `account=${ALICE}`);
    assert.deepEqual([refused.rcpt.outcome, refused.rcpt.reply], ['refused', told]);
    assert.ok(
      refused.sentence.includes(`the mail server could not hold its mail, and refused it with "${told}"`),
    );
    assert.equal(refused.refusals![0]!.unheld, true);
    const words = await letterOf(stopgap, block);
    assert.doesNotMatch(words, /had taken the message/);
    assert.ok(words.includes(`"${told}": once, `), words);
    assert.match(words, /refused \(once\): it is not with us, and has to be sent again/);
    const said = await check(stopgap, `account=${ALICE}&said=${encodeURIComponent(told)}`);
    assert.equal(said.said?.cause, 'block');
    const since = stopgap.clock.now();
    const sender = { account: ALICE, direction: 'outbound' };
    const data = { ...sender, stage: 'rcpt', block, reply: 'HOLD', count: 1, since };
    const event = { id: newId(), type: 'MessageRefused', data, at: since, by: 'policy:test' };
    await stopgap.app.store.append(sendStream(ALICE), [event], 'any');
    const held = await check(stopgap, `account=${ALICE}`);
    assert.deepEqual([held.rcpt.outcome, held.rcpt.reply], ['held', null]);
    assert.doesNotMatch(held.sentence, /could not hold its mail/);
  });

  test('says of mail of a block that holds as much as one may that it is refused, and why', async (t) => {
    const stopgap = await asked(t);
    await stopgap.block('account', ALICE, { refusal: 'hold' });
    const asking = await Asking.open(t, stopgap.port('policy'));
    const large = { ...END, queue_id: '4AAAA', instance: '1.2.3.0', size: String(2 ** 30) };
    assert.equal(await asking.ask(large), 'HOLD');
    const told = await asking.ask();
    assert.match(told, /^451 /);
    await stopgap.settled();
    const { rcpt, sentence } = await check(stopgap, `account=${ALICE}`);
    assert.deepEqual([rcpt.outcome, rcpt.reply], ['refused', told]);
    assert.match(sentence, /the block held as much as one may \(1,000 messages or 1 GiB\), and its mail was/);
  });

  test('says of mail that can be held that it is, though a bounce could not be', async (t) => {
    const stopgap = await asked(t);
    await stopgap.block('account', ALICE, { refusal: 'hold' });
    const asking = await Asking.open(t, stopgap.port('policy'));
    const bounce = { instance: '1.2.3.0', sender: '', stopgap_hold: 'no' };
    const told = await asking.ask(bounce);
    assert.match(told, /^451 /);
    await stopgap.settled();
    assert.equal((await check(stopgap, `account=${ALICE}`)).rcpt.outcome, 'held');
    const { rcpt } = await check(stopgap, `account=${ALICE}&returnPath=`);
    assert.deepEqual([rcpt.outcome, rcpt.reply], ['refused', told]);
    assert.equal(await asking.ask({ ...END, instance: '1.2.3.1', queue_id: '4AAAA' }), 'HOLD');
    await stopgap.settled();
    const later = await check(stopgap, `account=${ALICE}&returnPath=`);
    assert.deepEqual([later.rcpt.outcome, later.rcpt.reply], ['refused', told], 'newer mail was no bounce');
    assert.equal((await check(stopgap, `account=${ALICE}&returnPath=${ALICE}`)).rcpt.outcome, 'held');
  });

  test('says of mail with another return path that it can be held since some was', async (t) => {
    const stopgap = await asked(t);
    await stopgap.block('account', ALICE, { refusal: 'hold' });
    const asking = await Asking.open(t, stopgap.port('policy'));
    const unheld = { instance: '1.2.3.0', queue_id: '', sender: BOB };
    assert.equal(await asking.ask(unheld), 'HOLD');
    const told = await asking.ask({ ...unheld, protocol_state: 'DATA' });
    assert.match(told, /^451 /);
    await stopgap.settled();
    const outcomeOf = async (returnPath: string): Promise<string> =>
      (await check(stopgap, `account=${ALICE}&returnPath=${returnPath}`)).rcpt.outcome;
    assert.deepEqual([await outcomeOf(BOB), await outcomeOf(ALICE)], ['refused', 'refused']);
    assert.equal(await asking.ask({ ...END, instance: '1.2.3.1', queue_id: '4AAAA' }), 'HOLD');
    await stopgap.settled();
    assert.deepEqual(
      [await outcomeOf(BOB), await outcomeOf(ALICE), await outcomeOf('')],
      ['refused', 'held', 'held'],
    );
  });

  test('tells of mail that stayed on hold for a block that the account has not met', async (t) => {
    const stopgap = await asked(t);
    const network = await stopgap.block('ip', '192.0.2.0/24');
    const block = await stopgap.block('account', ALICE, { refusal: 'hold' });
    const sender = { account: ALICE, ip: '192.0.2.7', direction: 'outbound' };
    for (const holder of [block, network]) {
      const data = { block: holder, ...sender, transaction: '4AAAA', recipients: 1, size: 1 };
      const event = { id: newId(), type: 'MessageHeld', data, at: stopgap.clock.now(), by: 'policy:test' };
      await stopgap.app.store.append(heldStream(holder), [event], 'any');
    }
    const ran = { kind: 'hook', block, action: 'release', cause: 1, outcome: 'done', output: '' } as const;
    await stopgap.app.blockCommands.execute(
      parseSubject('account', ALICE),
      { ...ran, asked: 0, acted: 0, moved: 1, through: 0 },
      { by: 'system:hook' },
    );
    await stopgap.settled();
    assert.deepEqual((await check(stopgap, `account=${ALICE}`)).held, [{ block: network, count: 1 }]);
  });

  test('says that mail goes on while the store is away, but what a block would hold', async (t) => {
    let isAway = false;
    const stopgap = await asked(t, {}, (store) =>
      changed(store, {
        append: async (...args) => {
          if (isAway) throw new StoreUnavailable('the disk is full');
          return store.append(...args);
        },
        get healthy() {
          return !isAway && store.healthy;
        },
      }),
    );
    await stopgap.block('account', BOB, { refusal: 'hold' });
    const held = async (): Promise<string> => (await check(stopgap, `account=${BOB}`)).rcpt.outcome;
    assert.equal(await held(), 'held');
    isAway = true;
    assert.equal(await held(), 'refused', 'it would be listed nowhere');
    await eventually('the check tells of it', async () => {
      const { sentence } = await check(stopgap, `account=${ALICE}`);
      assert.doesNotMatch(sentence, /451/);
      return sentence.endsWith(
        'The store takes no events now: mail goes on, and what is sent is not counted.',
      );
    });
  });
});
