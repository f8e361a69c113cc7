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
});
