import assert from 'node:assert/strict';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import type { BlockImposed } from '../../../src/blocks/events.js';
import type { BounceReceived, MessageAccepted } from '../../../src/sending/events.js';
import { loggedIn, postfixAsking } from '../../support/policy/postfix-asking.js';
import { tokenOf } from '../../support/policy/token.js';
import type { FakeUpstream } from '../../support/relay/fake-upstream.js';
import { Dialogue } from '../../support/smtp/dialogue.js';
import { eventually } from '../../support/smtp/eventually.js';
import type { RealPostfix } from '../../support/smtp/real-postfix.js';
import { postfixMissing } from '../../support/smtp/real-postfix.js';
import { workDir } from '../../support/smtp/served.js';
import { ALICE, BOB, Stopgap } from '../../support/smtp/stopgap.js';
import { PROGRAM } from '../../support/program.js';

const SHOWN = 60_000;
const RULES = `version: 1
rules:
  - { id: gone, per: account, count: refusedRecipients, window: 1h, limit: 2, then: block, for: 1h }
  - { id: back, per: account, count: bounces, window: 1h, limit: 1, then: propose, for: 1h }
`;

/** What docs/run/mail-servers.md has an administrator put into main.cf and master.cf. */
async function documented(file: string): Promise<string> {
  const text = await readFile('docs/run/mail-servers.md', 'utf8');
  return new RegExp(`\`\`\`ini\\n# ${file}: what came back\\n([^\`]*)\`\`\``).exec(text)![1]!;
}

async function asDocumented(
  t: TestContext,
): Promise<{ stopgap: Stopgap; postfix: RealPostfix; outside: FakeUpstream }> {
  const settings = { policy: { listen: '127.0.0.1:0' } };
  const stopgap = await Stopgap.start(t, { settings, rules: RULES });
  const dir = await workDir(t);
  await chmod(dir, 0o755);
  const token = path.join(dir, 'token');
  await writeFile(token, `${await tokenOf(stopgap, 'bounces')}\n`, { mode: 0o644 });
  const service = (await documented('master.cf'))
    .replace('user=stopgap', 'user=nobody')
    .replace('/usr/local/bin/stopgap', `${process.execPath} ${PROGRAM}`)
    .replace('http://127.0.0.1:8025', `http://127.0.0.1:${stopgap.port('HTTP')}`)
    .replace('/etc/stopgap/bounce-token', token);
  const both = await postfixAsking(t, `inet:127.0.0.1:${stopgap.port('policy')}`, {
    script: { RCPT: (line) => (line.includes('<gone') ? '550 5.1.1 there is no such user' : undefined) },
    settings: [await documented('main.cf')],
    services: [service.trimEnd()],
  });
  return { stopgap, ...both };
}

/** A message from the null sender, as another server returns one. */
async function returned(postfix: RealPostfix, to: string, content: Buffer | string): Promise<void> {
  const session = await Dialogue.hello(postfix.ports[0]!);
  const text = content.toString('latin1');
  assert.match(await session.send('', [to], text.endsWith('\r\n') ? text : `${text}\r\n`), /^250 /);
  await session.quit();
}

const handled = (postfix: RealPostfix): number =>
  postfix.log.match(/to=<bounces@stopgap\.invalid>,.* status=sent \(delivered via stopgap-bounce/g)?.length ??
  0;
const afterAll = (postfix: RealPostfix, count: number): Promise<void> =>
  eventually(`${count} reports are delivered`, () => handled(postfix) >= count, SHOWN).catch(
    (error: Error) => {
      throw new Error(`${error.message}\n${postfix.log}`);
    },
  );

describe('a real Postfix that hands what came back to stopgap bounce', { skip: postfixMissing() }, () => {
  test('has bounces counted for the account that sent until a rule blocks it, each once, and no forged one', async (t) => {
    const { stopgap, postfix, outside } = await asDocumented(t);
    const send = async (user: string, to: string): Promise<void> => {
      const session = await loggedIn(postfix, user);
      assert.match(await session.send(user, [to]), /^250 /);
      await session.quit();
    };
    const bounces = () => stopgap.all<BounceReceived>('BounceReceived');
    await send(BOB, 'one@elsewhere.test');
    await send(ALICE, 'gone@elsewhere.test');
    await send(ALICE, 'gone@elsewhere.test');
    await afterAll(postfix, 2);
    const sends = (await stopgap.all<MessageAccepted>('MessageAccepted')).filter(
      ({ data }) => data.account === ALICE,
    );
    assert.deepEqual(
      (await bounces()).map(({ data, stream, by, correlation }) => [stream, by, correlation, data]).sort(),
      sends
        .map(({ id, stream, data: { transaction } }) => {
          const sender = { address: ALICE, account: ALICE, entitled: true };
          return [
            stream,
            'server:bounces',
            transaction,
            { ...sender, send: id, kind: 'failed', status: '5.1.1' },
          ];
        })
        .sort(),
    );
    await stopgap.event(
      ({ type, data }) => type === 'BlockProposed' && JSON.stringify(data).includes('"back"'),
    );

    // As the user got it: what Postfix has told Alice, returned again, one that names Bob in place of her, and one with another id.
    const hers = (): FakeUpstream['messages'][number] | undefined =>
      outside.messages.find(({ to }) => to.some((line) => line.includes(`<${ALICE}>`)));
    await eventually('Alice has her bounce', () => hers() !== undefined, SHOWN);
    const told = hers()!.content.toString('latin1');
    await returned(postfix, ALICE, told);
    await returned(postfix, BOB, told.replaceAll(ALICE, BOB));
    const id = /^X-Postfix-Queue-ID: (\w+)/m.exec(told)![1]!;
    const another = `${id.slice(0, -1)}${id.endsWith('0') ? '1' : '0'}`;
    await returned(postfix, ALICE, told.replaceAll(id, another));
    await returned(postfix, ALICE, 'Subject: I am away\r\n\r\nUntil Monday.\r\n');
    await afterAll(postfix, 6);
    assert.equal((await bounces()).length, 2, 'none of these counts');
    const metrics = await stopgap.app.metrics.registry.metrics();
    for (const [result, count] of Object.entries({ recorded: 2, known: 1, unproven: 2 }))
      assert.match(
        metrics,
        new RegExp(`^stopgap_policy_reports_total\\{type="returned",result="${result}"\\} ${count}$`, 'm'),
      );
    assert.equal((await stopgap.all('BlockImposed')).length, 0);

    await send(ALICE, 'gone@elsewhere.test');
    await afterAll(postfix, 7);
    const { data } = await stopgap.event(({ type }) => type === 'BlockImposed');
    const { subject, rule } = data as BlockImposed;
    assert.deepEqual([subject, rule], [{ type: 'account', value: ALICE }, 'gone']);
    await stopgap.settled();
    const thief = await loggedIn(postfix, ALICE);
    assert.match(await thief.say(`MAIL FROM:<${ALICE}>`), /^250 /);
    assert.match(await thief.say('RCPT TO:<one@elsewhere.test>'), /^451 4\.3\.2 /);
    await thief.quit();
    await send(BOB, 'two@elsewhere.test');
  });
});
