import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { CheckJson } from '../../../src/api/check.js';
import { SECOND } from '../../../src/kernel/time.js';
import { replyLine, TRY_LATER } from '../../../src/smtp/replies.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import { ManualClock } from '../../support/manual-clock.js';
import { eventually } from '../../support/smtp/eventually.js';
import { askPolicy, attemptOf, check, FOR_DOVECOT } from '../../support/policy/dovecot.js';
import { ALICE, BOB, PASSWORDS, Stopgap } from '../../support/smtp/stopgap.js';
import { changed } from '../../support/store/changed.js';

const TO = 'one@elsewhere.test';

/** What the help desk is told of a text that a client has just heard. */
async function said(stopgap: Stopgap, account: string, text: string, more = ''): Promise<CheckJson> {
  const found = await check(stopgap, `account=${account}&said=${encodeURIComponent(text)}${more}`);
  assert.doesNotMatch(found.said!.sentence, /another server|Nothing here/i, text);
  return found;
}

const causeOf = async (...args: Parameters<typeof said>): Promise<string> =>
  (await said(...args)).said!.cause;

describe('what a client has just heard is explained by who said it', () => {
  test('a mail server behind that is away, too many recipients, a size, a return path', async (t) => {
    const smtp = { maxRecipients: 2, maxMessageSize: 20_000 };
    const stopgap = await Stopgap.start(t, { ...FOR_DOVECOT, smtp });
    const session = await stopgap.loggedIn();
    const foreign = await session.say('MAIL FROM:<boss@elsewhere.test>');
    assert.match(foreign, /^553 /);
    assert.equal(await causeOf(stopgap, ALICE, foreign), 'return path');
    assert.equal(await causeOf(stopgap, ALICE, foreign, '&returnPath=boss@elsewhere.test'), 'return path');
    const large = await session.say(`MAIL FROM:<${ALICE}> SIZE=20001`);
    assert.match(large, /^552 /);
    assert.match((await said(stopgap, ALICE, large)).sentence, /smtp\.maxMessageSize/);
    await session.say(`MAIL FROM:<${ALICE}>`);
    for (const name of ['a', 'b']) assert.match(await session.say(`RCPT TO:<${name}@x.test>`), /^250 /);
    const many = await session.say('RCPT TO:<c@x.test>');
    assert.match(many, /^452 /);
    assert.match((await said(stopgap, ALICE, many)).sentence, /smtp\.maxRecipients/);
    for (const answer of ['554 5.7.1 Client host rejected: Access denied', '450 4.2.0 Greylisted']) {
      await session.say('RSET');
      stopgap.upstream.script = { RCPT: () => answer };
      const refused = await session.send(ALICE, [TO]);
      assert.equal(refused, answer);
      const behind = await said(stopgap, ALICE, refused);
      assert.equal(behind.said!.cause, 'mail server');
      assert.equal(String(behind.behind!.code), answer.slice(0, 3));
    }
    await session.say('RSET');
    stopgap.upstream.script = { MAIL: () => '552 5.3.4 Message size exceeds fixed limit' };
    assert.match(await session.send(ALICE, [TO]), /^552 5\.3\.4 /);
    assert.deepEqual((await said(stopgap, ALICE, '552 5.3.4 Message size')).behind?.count, 3);
    stopgap.upstream.script = {};
    await session.say('RSET');
    await stopgap.upstream.stop();
    const later = await session.send(ALICE, [TO]);
    assert.match(later, /^451 /);
    const away = await said(stopgap, ALICE, later);
    assert.equal(away.said!.cause, 'trouble');
    assert.match(away.sentence, /^Stopgap says 451 while the mail server behind does not answer/);
    await session.quit();
  });

  test('a mail server behind that is away, before a block that the account met only under another EHLO name', async (t) => {
    const stopgap = await Stopgap.start(t, FOR_DOVECOT);
    const block = await stopgap.block('ehlo', 'BAD-*');
    const refused = await stopgap.hello({ ehlo: 'BAD-2' });
    assert.match(await refused.login(ALICE, PASSWORDS[ALICE]!), /^535 /);
    await stopgap.settled();
    const session = await stopgap.loggedIn(ALICE, { ehlo: 'pc' });
    const guessed = (await said(stopgap, ALICE, replyLine(TRY_LATER))).said!;
    assert.match(
      guessed.sentence,
      /^"451 .*" is what block \S+ \(ehlo bad-\*\) has the client told where it comes as it did at \S+\.$/,
    );
    assert.equal(guessed.block, block);
    await stopgap.upstream.stop();
    const later = await session.send(ALICE, [TO]);
    assert.match(later, /^451 /);
    const found = (await said(stopgap, ALICE, later)).said!;
    assert.deepEqual([found.cause, found.block], ['trouble', null]);
    assert.match(
      found.sentence,
      /^Stopgap says 451 while the mail server behind .* is what block .* where it comes as it did /,
    );
    assert.ok(found.sentence.includes(block), found.sentence);
    await Promise.all([refused.quit(), session.quit()]);
  });

  test('a mail server behind that mail has reached again is not said to be away, though no probe was since', async (t) => {
    const clock = new ManualClock(Date.now());
    const stopgap = await Stopgap.start(t, { ...FOR_DOVECOT, clock });
    const session = await stopgap.loggedIn();
    const { port } = stopgap.upstream;
    await stopgap.upstream.stop();
    clock.advance(30 * SECOND);
    const isSaidToBeAway = async (): Promise<boolean> =>
      (await check(stopgap, `account=${ALICE}`)).sentence.includes('does not answer now');
    await eventually('the probe has failed', isSaidToBeAway);
    await stopgap.upstream.listen(port);
    await eventually('mail goes on', async () => (await session.send(ALICE, [TO])).startsWith('250 '));
    assert.equal(await isSaidToBeAway(), false);
    await session.quit();
  });

  test('a store that takes no events', async (t) => {
    let isAway = false;
    const stopgap = await Stopgap.start(t, {
      ...FOR_DOVECOT,
      throughStore: (store) =>
        changed(store, {
          append: async (...args) => {
            if (isAway) throw new StoreUnavailable('the disk is full');
            return store.append(...args);
          },
        }),
    });
    const session = await stopgap.loggedIn();
    isAway = true;
    const later = await session.send(ALICE, [TO]);
    isAway = false;
    assert.match(later, /^451 /);
    const found = await said(stopgap, ALICE, later);
    assert.deepEqual([found.said!.cause, found.said!.block], ['trouble', null]);
    assert.match(found.sentence, /^Stopgap says 451 while the store takes no events: it put somebody off/);
    await session.quit();
  });

  test('a back end of logins that is away', async (t) => {
    const auth = { backend: 'http', http: 'http://127.0.0.1:1/login' };
    const stopgap = await Stopgap.start(t, { ...FOR_DOVECOT, smtp: { auth } });
    const session = await stopgap.hello();
    const later = await session.login(ALICE, PASSWORDS[ALICE]!);
    assert.match(later, /^454 /);
    const found = await said(stopgap, ALICE, later);
    assert.equal(found.said!.cause, 'trouble');
    assert.match(found.sentence, /^Stopgap says 454 while the back end of logins \(smtp\.auth\.backend\)/);
    await session.quit();
  });

  test('a blocked network at Dovecot, and not the old password of a program that reads mail', async (t) => {
    const stopgap = await Stopgap.start(t, FOR_DOVECOT);
    const remote = '198.51.100.77';
    const text = '535 5.7.8 Error: authentication failed';
    const network = await stopgap.block('ip', '198.51.100.0/24');
    const report = async (protocol: string): Promise<unknown> =>
      askPolicy(stopgap, 'report', attemptOf({ protocol, remote: '203.0.113.5', success: false }));
    await askPolicy(stopgap, 'allow', attemptOf({ remote }));
    await stopgap.settled();
    await report('imap');
    const asked = await check(stopgap, `account=${ALICE}&said=${encodeURIComponent(text)}`);
    assert.equal(asked.said!.cause, 'none');
    assert.match(asked.said!.sentence, /give the IP address that it came from\.$/);
    assert.equal(asked.failedLogins, null);
    await report('smtp');
    // Which of the two it was cannot be told: the block has a right password fail too.
    const found = (await said(stopgap, ALICE, '535', `&ip=${remote}`)).said!;
    assert.deepEqual([found.cause, found.block], ['block', network]);
    assert.match(found.sentence, / (?:is what|because of) block .*\. Its password was wrong, or /);
    const wrong = (await said(stopgap, ALICE, '535')).said!;
    assert.equal(wrong.cause, 'password');
    assert.match(wrong.sentence, /give the IP address that it came from\.$/);
  });

  test('a blocked network at Dovecot, and not the own block that was released before', async (t) => {
    const stopgap = await Stopgap.start(t, FOR_DOVECOT);
    const remote = '198.18.80.9';
    const text = '535 5.7.8 Error: authentication failed: (reason unavailable)';
    const fails = async (login: string): Promise<void> => {
      const { text: answer } = await askPolicy(stopgap, 'allow', attemptOf({ login, remote }));
      assert.equal(answer, '{"status":-1}');
      await stopgap.settled();
    };
    await askPolicy(stopgap, 'report', attemptOf({ login: BOB, success: true }));
    for (const account of [ALICE, BOB]) {
      await stopgap.block('account', account);
      await fails(account);
      await stopgap.release('account', account);
    }
    const network = await stopgap.block('ip', '198.18.80.0/24');
    for (const account of [ALICE, BOB]) await fails(account);
    // One of them has logged in before, and is named in the record. The address of the other's own refusal is known.
    for (const [account, more] of [
      [BOB, ''],
      [ALICE, ''],
      [ALICE, `&ip=${remote}`],
      ['carol@example.com', `&ip=${remote}`],
    ] as const) {
      const found = await said(stopgap, account, text, more);
      assert.deepEqual([found.said!.block, found.refused], [network, true], `${account} ${more}`);
    }
  });
});
