import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import type { MessageAccepted } from '../../../src/sending/events.js';
import { tokenOf } from '../../support/policy/token.js';
import { RealRspamd, rspamdMissing } from '../../support/smtp/real-rspamd.js';
import { ALICE, BOB, Stopgap } from '../../support/smtp/stopgap.js';

/** What docs/run/mail-servers.md has an administrator put into a file of `local.d`. */
function documented(module: string): string {
  const text = readFileSync('docs/run/mail-servers.md', 'utf8');
  const block = new RegExp(`\`\`\`ucl\\n# local\\.d/${module}\\.conf\\n([^\`]*)\`\`\``).exec(text)?.[1];
  assert.ok(block !== undefined, module);
  return block;
}

async function started(
  t: TestContext,
  modules: readonly string[],
): Promise<{ stopgap: Stopgap; rspamd: RealRspamd }> {
  const stopgap = await Stopgap.start(t, { settings: { policy: { listen: '127.0.0.1:0' } } });
  const token = await tokenOf(stopgap, 'rspamd');
  const texts = modules.map((module) => [
    module,
    documented(module)
      .replace('127.0.0.1:8025', `127.0.0.1:${stopgap.port('HTTP')}`)
      .replace('TOKEN', token),
  ]);
  const rspamd = await RealRspamd.start(t, Object.fromEntries(texts) as Record<string, string>);
  return { stopgap, rspamd };
}

const recipients = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => `r${index}@d${index % 3}.test`);

describe('a real rspamd that tells Stopgap of messages', { skip: rspamdMissing([3, 0]) }, () => {
  test('has each message that goes on counted for its account, and a flood contained', async (t) => {
    const { stopgap, rspamd } = await started(t, ['metadata_exporter']);
    for (const queueId of ['4AAA', '4AAB', '4AAC'])
      assert.equal(await rspamd.check(ALICE, recipients(40), queueId), 'no action');
    assert.equal(await rspamd.check(BOB, recipients(1), '4AAD'), 'no action');
    await stopgap.event(({ type }) => type === 'BlockImposed');
    await stopgap.event(({ correlation }) => correlation === '4AAD');
    const sent = await stopgap.all<MessageAccepted>('MessageAccepted');
    assert.deepEqual(
      sent.map(({ by, data }) => [
        by,
        data.account,
        data.recipients,
        data.recipientDomains,
        data.ip,
        data.ehlo,
      ]),
      [
        ...new Array<unknown>(3).fill([
          'server:rspamd',
          ALICE,
          40,
          ['d0.test', 'd1.test', 'd2.test'],
          '192.0.2.7',
          'pc.test',
        ]),
        ['server:rspamd', BOB, 1, ['d0.test'], '192.0.2.7', 'pc.test'],
      ],
    );
  });

  test('has a message counted whatever its header and its return path have in them', async (t) => {
    const { stopgap, rspamd } = await started(t, ['metadata_exporter']);
    const to = recipients(60);
    const sent = [
      { lines: 'Subject: \xff\xfe\r\nMessage-Id: <\xff@x.test>\r\n' },
      { lines: `To: ${'x'.repeat(90_000)}@one.test\r\n`.repeat(14) },
      { lines: `Subject: ${'\x01'.repeat(90_000)}\r\n`.repeat(3) },
      { returnPath: 'a\xff@example.com' },
      { returnPath: '"a\\"b"@example.com' },
      { returnPath: '' },
      { ip: '' },
    ];
    for (const [index, message] of sent.entries())
      assert.equal(await rspamd.check(ALICE, to, `4AA${index}`, message), 'no action', String(index));
    await rspamd.check(BOB, to, '4AAX');
    await stopgap.event(({ correlation }) => correlation === '4AAX');
    const counted = await stopgap.all<MessageAccepted>('MessageAccepted');
    assert.deepEqual(
      counted.map(({ correlation, data }) => [correlation, data.account, data.recipients]).sort(),
      [...sent.map((_, index) => [`4AA${index}`, ALICE, 60]), ['4AAX', BOB, 60]],
    );
  });

  test('goes on with mail while Stopgap is away', async (t) => {
    const { stopgap, rspamd } = await started(t, ['metadata_exporter']);
    await stopgap.stop();
    assert.equal(await rspamd.check(ALICE, recipients(1), '4AAA'), 'no action');
  });
});

describe('a real rspamd that asks Stopgap about accounts', { skip: rspamdMissing([3, 5]) }, () => {
  test('puts off the mail of a blocked account, does not count it, and lets it go on after the release', async (t) => {
    const { stopgap, rspamd } = await started(t, ['multimap', 'metadata_exporter']);
    assert.equal(await rspamd.check(ALICE, recipients(1), '4AAA'), 'no action');
    await stopgap.block('account', ALICE);
    assert.equal(await rspamd.check(ALICE, recipients(1), '4AAB'), 'soft reject');
    assert.equal(await rspamd.check(BOB, recipients(1), '4AAC'), 'no action');
    await stopgap.release('account', ALICE);
    assert.equal(await rspamd.check(ALICE, recipients(1), '4AAD'), 'no action');
    await stopgap.event(({ correlation }) => correlation === '4AAD');
    assert.equal((await stopgap.all('MessageAccepted')).length, 3);
    assert.equal((await stopgap.all('MessageRefused')).length, 1);
  });

  test('goes on with mail while Stopgap is away', async (t) => {
    const { stopgap, rspamd } = await started(t, ['multimap', 'metadata_exporter']);
    await stopgap.block('account', ALICE);
    await stopgap.stop();
    assert.equal(await rspamd.check(ALICE, recipients(1), '4AAA'), 'no action');
  });
});
