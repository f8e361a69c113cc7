import assert from 'node:assert/strict';
import { appendFile, chmod, copyFile, readFile, rename, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import { existsSync } from 'node:fs';
import type { MessageAccepted, RecipientsRefused } from '../../../src/sending/events.js';
import { Following } from '../../support/follow.js';
import { tokenOf } from '../../support/policy/token.js';
import { eventually } from '../../support/smtp/eventually.js';
import { workDir } from '../../support/smtp/served.js';
import { ALICE, Stopgap } from '../../support/smtp/stopgap.js';

const SETTINGS = { policy: { listen: '127.0.0.1:0' } };

/** All that Postfix says of one message. */
function message(id: string, account = ALICE, at = new Date()): string {
  const say = (text: string): string => `${at.toISOString()} mx postfix/${text}\n`;
  return [
    say(`smtpd[1]: ${id}: client=pc[192.0.2.7], sasl_method=PLAIN, sasl_username=${account}`),
    say(`cleanup[2]: ${id}: message-id=<${id}@pc>`),
    say(`qmgr[3]: ${id}: from=<${account}>, size=100, nrcpt=1 (queue active)`),
    say(
      `smtp[4]: ${id}: to=<x@one.test>, relay=mx[198.51.100.1]:25, delay=1, dsn=2.0.0, status=sent (250 OK)`,
    ),
    say(`qmgr[3]: ${id}: removed`),
  ].join('');
}

async function sent(stopgap: Stopgap, count: number): Promise<readonly string[]> {
  let found: readonly string[] = [];
  await eventually(
    `${count} sends are recorded`,
    async () => {
      const events = await stopgap.all<MessageAccepted>('MessageAccepted');
      found = events.map(({ data }) => data.transaction);
      return found.length >= count;
    },
    30_000,
  );
  return found;
}

describe('stopgap follow postfix-log', () => {
  async function scene(t: TestContext) {
    const stopgap = await Stopgap.start(t, { settings: SETTINGS });
    const dir = await workDir(t);
    const log = path.join(dir, 'mail.log');
    const state = path.join(dir, 'state.json');
    const follow = async (...args: string[]): Promise<Following> => {
      const following = await Following.start(t, stopgap, { args: ['postfix-log', log, ...args], state });
      await eventually('its place is written down', () => existsSync(state), 30_000);
      return following;
    };
    return { stopgap, log, state, follow };
  }

  test('records each send once through rotation, cutting, a kill and a restart of both sides', async (t) => {
    const { stopgap, log, follow } = await scene(t);
    await writeFile(log, message('OLD'));
    let following = await follow();
    await appendFile(log, message('A1'));
    await sent(stopgap, 1);
    await rename(log, `${log}.1`);
    await appendFile(`${log}.1`, message('A2'));
    await appendFile(log, message('A3'));
    await sent(stopgap, 3);
    await following.kill();
    await appendFile(log, message('A4'));
    await rename(`${log}.1`, `${log}.2`);
    await rename(log, `${log}.1`);
    await writeFile(log, message('A5'));
    following = await follow();
    await sent(stopgap, 5);
    await appendFile(log, message('A6'));
    await copyFile(log, `${log}.1`);
    await truncate(log);
    await appendFile(log, message('A7'));
    await sent(stopgap, 7);
    await stopgap.app.stop();
    await appendFile(log, message('A8'));
    await eventually(
      'it has found that nobody answers',
      () => /nothing is lost: no answer/.test(following.stderr),
      30_000,
    );
    assert.equal(await following.stop(), 0);
    await stopgap.open();
    following = await follow();
    assert.deepEqual(await sent(stopgap, 8), ['A1', 'A2', 'A3', 'A4', 'A5', 'A6', 'A7', 'A8']);
    assert.equal(await following.stop(), 0);
  });

  test('trips a rule by what it reports, run as docs/run/mail-servers.md has it', async (t) => {
    const { stopgap, log, state } = await scene(t);
    await writeFile(log, '');
    const text = await readFile('docs/run/mail-servers.md', 'utf8');
    const [, command] = /^ExecStart=\S+ \S+main\.js follow (.*)$/m.exec(text)!;
    const token = `${state}.token`;
    await writeFile(token, `${await tokenOf(stopgap, 'documented')}\n`);
    const there: Readonly<Record<string, string>> = {
      '/var/log/mail.log': log,
      '${STATE_DIRECTORY}/postfix-log.json': state,
      'http://127.0.0.1:8025': `http://127.0.0.1:${stopgap.port('HTTP')}`,
      '${CREDENTIALS_DIRECTORY}/token': token,
    };
    const args = command!.split(' ').map((word) => there[word] ?? word);
    assert.deepEqual(
      args.filter((word) => Object.values(there).includes(word)),
      Object.values(there),
    );
    await Following.start(t, stopgap, { args, state, env: { STOPGAP_TOKEN: '', STOPGAP_URL: '' } });
    await eventually('its place is written down', () => existsSync(state), 30_000);
    await appendFile(log, [1, 2, 3].map((id) => message(`B${id}`).replace('nrcpt=1 ', 'nrcpt=40 ')).join(''));
    await stopgap.event(({ type }) => type === 'BlockImposed');
  });

  test('refuses a folder, in which it would wait for ever', async (t) => {
    const { stopgap, log, state } = await scene(t);
    const other = await Following.start(t, stopgap, { args: ['postfix-log', path.dirname(log)], state });
    await eventually('it has ended', () => /: is a folder; name the log in it\n/.test(other.stderr));
  });

  test('refuses the state of another log', async (t) => {
    const { stopgap, log, state, follow } = await scene(t);
    await writeFile(log, '');
    await (await follow()).stop();
    const args = ['postfix-log', `${log}.other`];
    const other = await Following.start(t, stopgap, { args, state });
    await eventually('it has ended', () =>
      /belongs to the follower of \S+mail\.log: name another/.test(other.stderr),
    );
    assert.match(await readFile(state, 'utf8'), /^\{"version":1,"log":"[^"]+mail\.log","place":\{/);
  });
});

/*
 * No journal can be written to here: a stand-in answers as journalctl does, from a file of its entries.
 */
const STAND_IN = `#!${process.execPath}
const fs = require('node:fs');
const args = process.argv.slice(2);
fs.appendFileSync(process.env.JOURNAL + '.calls', args.join(' ') + '\\n');
const value = (name) => args.find((arg) => arg.startsWith(name + '='))?.slice(name.length + 1);
const entries = () => fs.readFileSync(process.env.JOURNAL, 'utf8').split('\\n').filter((line) => line !== '');
const cursorOf = (line) => JSON.parse(line).__CURSOR;
let given = 0;
const after = value('--after-cursor');
const upTo = value('--cursor');
const say = (lines) => lines.forEach((line) => process.stdout.write(line + '\\n'));
if (args.includes('-f')) {
  if (after !== undefined) given = entries().findIndex((line) => cursorOf(line) === after) + 1;
  const look = () => { const all = entries(); say(all.slice(given)); given = all.length; };
  look();
  setInterval(look, 50);
} else if (args.includes('-r')) {
  const all = entries();
  say(all.slice(0, all.findIndex((line) => cursorOf(line) === upTo) + 1).reverse());
} else say(entries().slice(-1));
`;

test('stopgap follow journal reads entries from its cursor on, also those that are not UTF-8', async (t) => {
  const stopgap = await Stopgap.start(t, { settings: SETTINGS });
  const dir = await workDir(t);
  const [journal, state] = [path.join(dir, 'journal'), path.join(dir, 'state.json')];
  await writeFile(path.join(dir, 'journalctl'), STAND_IN);
  await chmod(path.join(dir, 'journalctl'), 0o755);
  await writeFile(journal, '');
  let cursor = 0;
  const log = async (text: string, asBytes = false): Promise<void> => {
    for (const line of text.trimEnd().split('\n')) {
      const [, at, program, pid, said] = /^(\S+) mx (\S+)\[(\d+)\]: (.*)$/.exec(line)!;
      const entry = {
        __CURSOR: `s=1;i=${++cursor}`,
        __REALTIME_TIMESTAMP: String(Date.parse(at!) * 1000),
        _HOSTNAME: 'mx',
        SYSLOG_IDENTIFIER: program,
        _PID: pid,
        MESSAGE: asBytes ? [...Buffer.from(said!, 'latin1')] : said,
      };
      await appendFile(journal, `${JSON.stringify(entry)}\n`);
    }
  };
  const follow = async (): Promise<Following> => {
    const env = { PATH: `${dir}:${process.env['PATH']!}`, JOURNAL: journal };
    const following = await Following.start(t, stopgap, { args: ['journal'], state, env });
    await eventually('its place is written down', () => existsSync(state), 30_000);
    return following;
  };
  await log(message('OLD'));
  let following = await follow();
  await log(message('A1'));
  await log(message('A2', 'm\u00fcller@example.com'), true);
  assert.deepEqual(await sent(stopgap, 2), ['A1', 'A2']);
  await following.kill();
  const [first, ...others] = message('A3').trimEnd().split('\n');
  await log(first!);
  following = await follow();
  await eventually(
    'it has read the first line',
    async () => (await readFile(state, 'utf8')).includes(`i=${cursor}"`),
    30_000,
  );
  assert.equal(await following.stop(), 0);
  await log(others.join('\n'));
  following = await follow();
  assert.deepEqual(await sent(stopgap, 3), ['A1', 'A2', 'A3']);
  const [last] = (await stopgap.all<MessageAccepted>('MessageAccepted')).slice(-1);
  assert.equal(last!.data.account, ALICE, 'what was said before the restart is known after it');
  // Spaces of three bytes each fill the line, so that Postfix cuts it where the client likes.
  const from = `"${'\u3000'.repeat(500)}> to=<c> proto=ESMTP helo=<h> sasl_username=<${ALICE}>`;
  await log(
    `${new Date().toISOString()} mx postfix/smtpd[1]: NOQUEUE: reject: RCPT from pc[127.0.0.1]: 550 5.1.1 <x@example.com>: Recipient address rejected: User unknown; from=<${from}`,
  );
  const refused = async (): Promise<readonly RecipientsRefused[]> =>
    (await stopgap.all<RecipientsRefused>('RecipientsRefused')).map(({ data }) => data);
  await eventually('the refused recipient is recorded', async () => (await refused()).length > 0, 30_000);
  assert.equal((await refused())[0]!.account, undefined, 'nothing is believed of how such a line ends');
  assert.match(
    await readFile(`${journal}.calls`, 'utf8'),
    /-q -o json .* -f --no-tail --after-cursor=s=1;i=\d+ SYSLOG_FACILITY=2\n/,
  );
  await following.stop();
});
