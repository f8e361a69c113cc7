import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
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

/** Bytes after which Postfix cuts what it says. */
const MOST_SAID = 2000;

/** A return path that fills a line of which so much comes before it; where the line is cut, it ends with this. */
function filling(before: number, end: string): string {
  return `"${'b'.repeat(MOST_SAID - before - '"'.length - end.length)}${end}zzz"@evil.example`;
}

type Script = NonNullable<NonNullable<Parameters<typeof FakeUpstream.start>[0]>['script']>;

/** A session with a Postfix whose log is followed. @param script what the server behind it answers */
async function scene(t: TestContext, script: Script = {}) {
  const stopgap = await Stopgap.start(t, { settings: { policy: { listen: '127.0.0.1:0' } } });
  const outside = await FakeUpstream.start({ script });
  t.after(() => outside.stop());
  const { postfix, following } = await followedPostfix(t, stopgap, outside);
  const session = await Dialogue.hello(postfix.ports[0]!);
  return { stopgap, postfix, following, session };
}

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
    const { stopgap, postfix, following, session } = await scene(t);
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
    // What is not taken stays in the queue, where another message may name it.
    const { stopgap, following, session } = await scene(t, { MAIL: () => '451 4.3.0 later' });
    const sent = await session.send('form@example.com', ['x@elsewhere.test', 'y@elsewhere.test']);
    const id = /queued as (\w+)/.exec(sent)![1]!;
    const name = `"a>, relay=f[127.0.0.1]:10024, status=sent (250 queued as ${id})"@elsewhere.test`;
    assert.match(await session.send('form@example.com', [name]), /^250 /);
    await session.quit();
    await bothRecorded(stopgap);
    assert.ok(!following.stderr.includes('not understood'), following.stderr);
  });

  test('hides no message of a host without a login where a mailbox repeats the name of its recipient', async (t) => {
    let name = '';
    const { stopgap, session } = await scene(t, {
      MAIL: (line) => (line.includes('form@') ? '451 4.3.0 later' : undefined),
      // As Dovecot answers.
      '.': () => `250 2.0.0 <${name}> 0kWECYVJDGshPAAAg Saved`,
    });
    const sent = await session.send('form@example.com', ['x@elsewhere.test', 'y@elsewhere.test']);
    name = `"bob+queued as ${/queued as (\w+)/.exec(sent)![1]!}"@elsewhere.test`;
    assert.match(await session.send('other@example.com', [name]), /^250 /);
    await session.quit();
    await bothRecorded(stopgap);
  });

  test('has nobody else blamed by how a line ends that Postfix cuts', async (t) => {
    const { stopgap, postfix, following, session } = await scene(t);
    const to = 'nobody@example.com';
    const before = `NOQUEUE: reject: RCPT from localhost[127.0.0.1]: 550 5.1.1 <${to}>: Recipient address rejected: User unknown in local recipient table; from=<`;
    const ends = [`sasl_username=<${ALICE}`, `sasl_username=<${ALICE}>`, `sasl_username=${ALICE}`];
    for (const end of ends) {
      const from = filling(before.length, `> to=<c> proto=ESMTP helo=<h> sasl_method=PLAIN ${end}`);
      assert.match(await session.say(`MAIL FROM:<${from}>`), /^250 /);
      assert.match(await session.say(`RCPT TO:<${to}>`), /^550 5\.1\.1 /);
      assert.match(await session.say('RSET'), /^250 /);
    }
    await session.quit();
    const refused = async (): Promise<readonly RecipientsRefused[]> =>
      (await stopgap.all<RecipientsRefused>('RecipientsRefused')).map(({ data }) => data);
    await eventually('all are recorded', async () => (await refused()).length >= ends.length, SHOWN);
    // What is recorded was in the log before: a line may come after its answer.
    const said = postfix.log.split('\n').filter((line) => line.includes('reject: RCPT'));
    assert.deepEqual(
      said.map((line, index) => line.endsWith(ends[index]!)),
      ends.map(() => true),
      said.join('\n'),
    );
    assert.deepEqual(
      (await refused()).map(({ account, ip }) => [account, ip]),
      ends.map(() => [undefined, '127.0.0.1']),
    );
    assert.ok(!following.stderr.includes('not understood'), following.stderr);
  });

  test('has nobody else blamed by a name at EHLO that looks like a login', async (t) => {
    const { stopgap, session } = await scene(t);
    assert.match(await session.say(`EHLO h> sasl_method=PLAIN sasl_username=<${ALICE}`), /^250-/);
    assert.match(await session.say('MAIL FROM:<eve@evil.example>'), /^250 /);
    assert.match(await session.say('RCPT TO:<nobody@example.com>'), /^550 5\.1\.1 /);
    await session.quit();
    const refused = async (): Promise<readonly RecipientsRefused[]> =>
      (await stopgap.all<RecipientsRefused>('RecipientsRefused')).map(({ data }) => data);
    await eventually('it is recorded', async () => (await refused()).length > 0, SHOWN);
    const [{ account, ehlo }] = (await refused()) as [RecipientsRefused];
    assert.deepEqual([account, ehlo], [undefined, `h??sasl_method=PLAIN?sasl_username=?alice?example.com`]);
  });

  test('hides neither a message nor its recipients by a return path that fills the line', async (t) => {
    const { stopgap, postfix, following, session } = await scene(t);
    assert.match(await session.login(ALICE, PASSWORDS[ALICE]!), /^235 /);
    const tos = ['one', 'two', 'three', 'four', 'five'].map((name) => `${name}@elsewhere.test`);
    const sent = await session.send(ALICE, tos);
    const { length } = /queued as (\w+)/.exec(sent)![1]!;
    const feigned = '>, size=1, nrcpt=1 (queue active)';
    const paths = [
      filling(0, ''),
      // An id has a digit more or fewer, as inodes have it.
      ...[length - 1, length, length + 1].map((digits) => filling(digits + ': from=<'.length, feigned)),
    ];
    for (const path of paths) assert.match(await session.send(path, tos), /^250 /);
    await session.quit();
    const requeued = filling(length + ': uid=0 from=<'.length, `> orig_id=${'A'.repeat(length)}`);
    await postfix.submit(requeued, 'one@elsewhere.test');
    await postfix.idle();
    assert.ok(
      postfix.log.split('\n').some((line) => line.includes('from=<"b') && line.endsWith(feigned)),
      postfix.log,
    );
    const sends = async (): Promise<readonly MessageAccepted[]> =>
      (await stopgap.all<MessageAccepted>('MessageAccepted')).map(({ data }) => data);
    await eventually('all are recorded', async () => (await sends()).length >= paths.length + 2, SHOWN);
    // A busy machine may have the last one in before the others.
    assert.deepEqual((await sends()).map(({ account, recipients }) => `${account} ${recipients}`).sort(), [
      ...[ALICE, ...paths].map(() => `${ALICE} ${tos.length}`),
      'uid-0@mx 1',
    ]);
    assert.ok(!following.stderr.includes('not understood'), following.stderr);
  });
});
