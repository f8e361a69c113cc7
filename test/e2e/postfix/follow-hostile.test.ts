import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MessageAccepted, RecipientsRefused } from '../../../src/sending/events.js';
import { FakeUpstream } from '../../support/relay/fake-upstream.js';
import { Dialogue } from '../../support/smtp/dialogue.js';
import { eventually } from '../../support/smtp/eventually.js';
import { followedPostfix } from '../../support/smtp/followed-postfix.js';
import { postfixMissing } from '../../support/smtp/real-postfix.js';
import { ALICE, PASSWORDS, Stopgap } from '../../support/smtp/stopgap.js';

const SHOWN = 60_000;
/** All of them are taken by Postfix, and are in its log as they are. */
const ODD = [
  'a\u2028b@elsewhere.test',
  `${'a'.repeat(330)}@elsewhere.test`,
  '"x: client=y"@elsewhere.test',
  '"queued as 1234ABCD"@elsewhere.test',
];

/** Awaits the sends of a message to one recipient and of one to two. */
async function bothRecorded(stopgap: Stopgap): Promise<void> {
  const isSo = async (): Promise<boolean> => {
    const sends = await stopgap.all<MessageAccepted>('MessageAccepted');
    const recipients = sends.map(({ data }) => data.recipients);
    return recipients.sort().join() === '1,2';
  };
  await eventually('both are recorded', isSo, SHOWN);
}

describe('a thief who knows that the log of Postfix is followed', { skip: postfixMissing() }, () => {
  test('hides no message and no refused recipient by what is in a name', async (t) => {
    const stopgap = await Stopgap.start(t, { settings: { policy: { listen: '127.0.0.1:0' } } });
    const outside = await FakeUpstream.start();
    t.after(() => outside.stop());
    const { postfix, following } = await followedPostfix(t, stopgap, outside);
    const session = await Dialogue.hello(postfix.ports[0]!);
    assert.match(await session.login(ALICE, PASSWORDS[ALICE]!), /^235 /);
    for (const from of ODD) {
      assert.match(await session.say(`MAIL FROM:<${from}>`), /^250 /);
      assert.match(await session.say('RCPT TO:<nobody@example.com>'), /^550 5\.1\.1 /);
      assert.match(await session.say('RSET'), /^250 /);
      assert.match(await session.send(from, ['x@elsewhere.test']), /^250 /);
    }
    await session.quit();
    await postfix.idle();
    const sends = async (): Promise<readonly MessageAccepted[]> =>
      (await stopgap.all<MessageAccepted>('MessageAccepted')).map(({ data }) => data);
    await eventually('all sends are recorded', async () => (await sends()).length >= ODD.length, SHOWN);
    assert.deepEqual(
      (await sends()).map(({ account }) => account),
      ODD.map(() => ALICE),
    );
    await eventually(
      'all refused recipients are recorded',
      async () => (await stopgap.all<RecipientsRefused>('RecipientsRefused')).length >= ODD.length,
      SHOWN,
    );
    assert.ok(!following.stderr.includes('not understood'), following.stderr);
  });

  test('hides no message of a host without a login by the name of a recipient of the next one', async (t) => {
    const stopgap = await Stopgap.start(t, { settings: { policy: { listen: '127.0.0.1:0' } } });
    // What it does not take stays in the queue, where another message may name it.
    const outside = await FakeUpstream.start({ script: { MAIL: () => '451 4.3.0 later' } });
    t.after(() => outside.stop());
    const { postfix, following } = await followedPostfix(t, stopgap, outside);
    const session = await Dialogue.hello(postfix.ports[0]!);
    const sent = await session.send('form@example.com', ['x@elsewhere.test', 'y@elsewhere.test']);
    const id = /queued as (\w+)/.exec(sent)![1]!;
    const name = `"a>, relay=f[127.0.0.1]:10024, status=sent (250 queued as ${id})"@elsewhere.test`;
    assert.match(await session.send('form@example.com', [name]), /^250 /);
    await session.quit();
    await bothRecorded(stopgap);
    assert.ok(!following.stderr.includes('not understood'), following.stderr);
  });

  test('hides no message of a host without a login where a mailbox repeats the name of its recipient', async (t) => {
    const stopgap = await Stopgap.start(t, { settings: { policy: { listen: '127.0.0.1:0' } } });
    let name = '';
    const outside = await FakeUpstream.start({
      script: {
        MAIL: (line) => (line.includes('form@') ? '451 4.3.0 later' : undefined),
        // As Dovecot answers.
        '.': () => `250 2.0.0 <${name}> 0kWECYVJDGshPAAAg Saved`,
      },
    });
    t.after(() => outside.stop());
    const { postfix } = await followedPostfix(t, stopgap, outside);
    const session = await Dialogue.hello(postfix.ports[0]!);
    const sent = await session.send('form@example.com', ['x@elsewhere.test', 'y@elsewhere.test']);
    name = `"bob+queued as ${/queued as (\w+)/.exec(sent)![1]!}"@elsewhere.test`;
    assert.match(await session.send('other@example.com', [name]), /^250 /);
    await session.quit();
    await bothRecorded(stopgap);
  });
});
