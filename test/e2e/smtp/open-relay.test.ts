import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { FakeUpstream } from '../../support/relay/fake-upstream.js';
import { Dialogue } from '../../support/smtp/dialogue.js';
import { postfixMissing, RealPostfix } from '../../support/smtp/real-postfix.js';
import { ALICE, Stopgap } from '../../support/smtp/stopgap.js';

const VICTIM = 'victim@elsewhere.test';
/** Each means the victim, as Postfix reads it; or did at some time, or as other servers do. */
const ROUTES = [
  'victim%elsewhere.test@example.com',
  'elsewhere.test!victim@example.com',
  'example.com!elsewhere.test!victim@example.com',
  'victim%elsewhere.test%example.com@example.com',
  '"victim@elsewhere.test"@example.com',
  '"victim%elsewhere.test"@example.com',
  '@example.com:victim@elsewhere.test',
  '@example.com:victim%elsewhere.test@example.com',
];

/** The entries of master.cf that docs/run/install.md gives. */
function documentedListeners(): readonly [submission: string, arriving: string] {
  const text = readFileSync('docs/run/install.md', 'utf8');
  const entries = [...text.matchAll(/^127\.0\.0\.1:\d+ inet .*(?:\n {2}-o .*)+/gm)].map(([entry]) => entry);
  assert.equal(entries.length, 2);
  return [entries[0]!, entries[1]!];
}

const missing = postfixMissing();

test(
  'nothing that a stranger addresses leaves by a real Postfix, through any of its listeners',
  { skip: missing },
  async (t) => {
    const [outside, inside] = [await FakeUpstream.start(), await FakeUpstream.start()];
    t.after(() => Promise.all([outside.stop(), inside.stop()]));
    const postfix = await RealPostfix.start(t, {
      listeners: documentedListeners(),
      outside: outside.port,
      inside: inside.port,
    });
    const [submission, arriving] = postfix.ports as readonly [number, number];

    await t.test(
      'the listener for submissions sends such mail out: what is to be prevented is there',
      async () => {
        const direct = await Dialogue.hello(submission);
        for (const address of ROUTES.slice(0, 2))
          assert.match(await direct.send('someone@far.test', [address]), /^250 /, address);
        await direct.quit();
        await postfix.idle();
        assert.deepEqual(
          outside.messages.map(({ to }) => to.map((line) => /<([^>]*)>/.exec(line)![1])),
          [[VICTIM], [VICTIM]],
        );
      },
    );

    await t.test('the listener for mail that arrives refuses it by itself', async () => {
      const direct = await Dialogue.hello(arriving);
      for (const address of [...ROUTES, VICTIM]) {
        assert.match(await direct.send('someone@far.test', [address]), /^[45]\d\d /, address);
        await direct.say('RSET');
      }
      assert.match(await direct.send('someone@far.test', [ALICE]), /^250 /);
      await direct.quit();
      await postfix.idle();
      assert.equal(outside.messages.length, 2);
      assert.equal(inside.messages.length, 1);
    });

    for (const [what, port] of [
      ['its listener for mail that arrives', arriving],
      ['its listener for submissions', submission],
    ] as const)
      await t.test(`before ${what} Stopgap refuses it for good`, async (t) => {
        const before = inside.messages.length;
        const relay = { url: `smtp://127.0.0.1:${port}` };
        const stopgap = await Stopgap.start(t, {
          smtp: { inbound: { listen: '127.0.0.1:0', domains: ['example.com'], relay } },
        });
        const stranger = await stopgap.stranger();
        assert.match(await stranger.say('MAIL FROM:<someone@far.test>'), /^250 /);
        for (const address of ROUTES)
          assert.match(await stranger.say(`RCPT TO:<${address}>`), /^550 5\.[17]\.\d /, address);
        assert.match(await stranger.say('DATA'), /^503 /);
        await stranger.say('RSET');
        assert.match(await stranger.send('someone@far.test', [ALICE]), /^250 /, 'others get their mail');
        await stranger.quit();
        await postfix.idle();
        assert.equal(outside.messages.length, 2, 'none but those that went past Stopgap');
        assert.equal(inside.messages.length, before + 1);
      });
  },
);
