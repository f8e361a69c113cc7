import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import type { MessageAccepted } from '../../src/sending/events.js';
import { fuzz, pieces } from '../support/fuzz/cases.js';
import type { Stream, Talk } from '../support/fuzz/smtp.js';
import { stream, talk } from '../support/fuzz/smtp.js';
import { Steady } from '../support/fuzz/steady.js';
import { FakeUpstream } from '../support/relay/fake-upstream.js';
import { Dialogue } from '../support/smtp/dialogue.js';
import { eventually } from '../support/smtp/eventually.js';
import { ALICE, Stopgap } from '../support/smtp/stopgap.js';

/** What RFC 5321, 4954 and 3207 allow as an answer, by command. */
const ALLOWED: Readonly<Record<string, readonly number[]>> = {
  EHLO: [250, 501],
  HELO: [250, 501],
  MAIL: [250, 451, 452, 501, 503, 530, 550, 552, 553, 555],
  RCPT: [250, 451, 452, 501, 503, 530, 550, 552, 553, 555],
  DATA: [354, 451, 501, 503, 530, 554],
  AUTH: [235, 334, 454, 501, 503, 504, 534, 535, 538, 500],
  STARTTLS: [220, 501, 503, 500],
  RSET: [250, 501],
  NOOP: [250],
  VRFY: [252],
  HELP: [214],
  QUIT: [221],
  XCLIENT: [550],
  XFORWARD: [550],
};
/** Of anything that is said. */
const ANYWHERE = [421, 500, 502, 503];
/** The library takes what begins like a command for one, also where a login goes on: it is over then. */
const CONTINUED = [...ALLOWED['AUTH']!, 530];
const CONTENT = [250, 451, 452, 550, 552, 554];
const EVERY = new Set([...Object.values(ALLOWED), ...ANYWHERE, ...CONTENT].flat());

/** Three digits, printable text, 512 octets a line at most (RFC 5321 section 4.5.3.1.5). */
function isReply(reply: string): number {
  const lines = reply.split('\r\n');
  const code = lines[0]!.slice(0, 3);
  lines.forEach((each, index) => {
    const text = Buffer.from(each, 'latin1').toString();
    assert.match(text, /^[2-5]\d\d(?:[ -]|$)/, reply);
    assert.ok(each.startsWith(code) && (each[3] === '-') === index < lines.length - 1, reply);
    assert.ok(each.length <= 510, `a reply of ${each.length} octets`);
    assert.doesNotMatch(text, /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u, JSON.stringify(reply));
  });
  return Number(code);
}

describe('a listener under any input', () => {
  let stopgap: Stopgap;
  let inside: FakeUpstream;
  let steady: Steady;
  const closers: (() => unknown)[] = [];
  before(async () => {
    inside = await FakeUpstream.start();
    stopgap = await Stopgap.start(
      { after: (close) => void closers.push(close as () => unknown) },
      {
        smtp: {
          auth: { users: './users.yaml', attemptsPerMinute: 100_000 },
          maxRecipients: 5,
          maxMessageSize: '300kB',
          inbound: { listen: '127.0.0.1:0', domains: ['example.com'], relay: { url: inside.url() } },
        },
        rules: JSON.stringify({ version: 1, rules: [] }),
      },
    );
    for (let round = 0; round < 3; round++) await servesOthers('x'.repeat(290_000));
    steady = await Steady.from();
  });
  after(async () => {
    for (const close of closers) await close();
    await inside.stop();
  });

  /** An ordinary client, at both listeners. */
  async function servesOthers(text = 'hello'): Promise<void> {
    const [session, stranger] = await Promise.all([stopgap.loggedIn(), stopgap.stranger()]);
    const content = `Subject: hello\r\n\r\n${text}\r\n`;
    assert.match(await session.send(ALICE, ['still@elsewhere.test'], content), /^250 /);
    assert.match(await stranger.send('stranger@elsewhere.test', ['still@example.com'], content), /^250 /);
    await Promise.all([session.quit(), stranger.quit()]);
  }

  async function converse({ port: where, steps }: Talk): Promise<void> {
    const session = await Dialogue.connect(stopgap.port(where));
    let mode = 'command' as 'command' | 'login' | 'content';
    let [isLoggedIn, hasRecipient] = [false, false];
    const answer = (code: number, said: string): void => {
      const verb = /^[a-z]*/i.exec(said)![0].toUpperCase();
      const allowed = mode === 'content' ? CONTENT : mode === 'login' ? CONTINUED : (ALLOWED[verb] ?? []);
      const what = `${JSON.stringify(said.slice(0, 100))} in ${mode} was answered ${code}`;
      assert.ok(
        allowed.includes(code) || (mode !== 'content' && ANYWHERE.includes(code)) || code === 421,
        what,
      );
      if (mode === 'command' && where === 'submission' && ['MAIL', 'RCPT', 'DATA'].includes(verb))
        assert.ok(isLoggedIn || code >= 400, `${what} without a login`);
      if (mode === 'command' && verb === 'DATA') assert.ok(code !== 354 || hasRecipient, what);
      if (mode === 'content' || ['EHLO', 'HELO', 'RSET', 'MAIL'].includes(verb))
        hasRecipient &&= mode === 'command' && code >= 400;
      if (verb === 'RCPT' && code === 250 && mode === 'command') hasRecipient = true;
      if (code === 235) isLoggedIn = true;
      mode = code === 334 ? 'login' : code === 354 ? 'content' : 'command';
    };
    try {
      isReply(await session.reply());
      for (const each of steps) {
        if ('startTls' in each) {
          if (mode !== 'command') continue;
          session.write(`STARTTLS\r\n${each.startTls}`);
          const code = isReply(await session.reply());
          answer(code, 'STARTTLS');
          if (code !== 220) {
            // What was injected is a command like another.
            if (each.startTls !== '') break;
            continue;
          }
          if (each.startTls.startsWith('\x16')) break;
          await session.secured();
          [isLoggedIn, hasRecipient] = [false, false];
          continue;
        }
        if ('content' in each !== (mode === 'content')) continue;
        const text = 'content' in each ? each.content : each.say;
        session.write(Buffer.from('content' in each ? `${text}\r\n.\r\n` : `${text}\r\n`));
        answer(isReply(await session.reply()), text);
        // The end of the message may have come before: the rest was taken for commands.
        if ('content' in each && /(?:^|\r\n)\.\r\n/.test(`${text}\r\n`)) break;
      }
    } catch (error) {
      // The server may close; nothing else may go wrong.
      if (!(error instanceof Error && error.message === 'the connection is closed')) throw error;
    } finally {
      session.vanish();
    }
    await session.closed;
    assert.equal(session.unread, '');
  }

  async function pour({ port: where, text, cuts: at, early, end }: Stream): Promise<void> {
    const session = await Dialogue.connect(stopgap.port(where));
    if (!early) await session.reply();
    for (const piece of pieces(text, at)) {
      session.write(Buffer.from(piece));
      await setImmediate();
    }
    if (end === 'reset') session.socket.resetAndDestroy();
    else if (end === 'close') session.socket.end();
    else session.write('\r\n.\r\n*\r\nQUIT\r\nQUIT\r\n');
    await session.closed;
    for (;;) {
      const reply = await session.reply().catch(() => undefined);
      if (reply === undefined) break;
      const code = isReply(reply);
      assert.ok(EVERY.has(code), reply);
    }
    if (end === 'quit') assert.equal(session.unread, '');
  }

  const bySide = <Case>(all: fc.Arbitrary<Case>): fc.Arbitrary<readonly Case[]> =>
    fc.array(all, { minLength: 1, maxLength: 12 });

  fuzz(
    'in lockstep, each answer is one that the command may have, and nobody sends without a login',
    { arbitrary: bySide(talk), runs: 20 },
    async (talks) => {
      await Promise.all(talks.map(converse));
      await servesOthers();
    },
  );

  fuzz(
    'in one piece or in many, with or without an end, it is answered in replies and costs the others nothing',
    { arbitrary: bySide(stream), runs: 20 },
    async (streams) => {
      await Promise.all(streams.map(pour));
      await servesOthers();
    },
  );

  test('the upstream gets whole commands, the sender’s own address and no recipient outside of our domains', () => {
    const known = /^(?:EHLO mx\.example\.com|MAIL FROM:<[^\r\n]*|RCPT TO:<[^\r\n]*|DATA|\.|RSET|NOOP|QUIT)$/;
    for (const upstream of [stopgap.upstream, inside])
      for (const command of upstream.commands) {
        assert.match(command, known);
        assert.doesNotMatch(command, /[\p{Cc}\ufffd]/u);
      }
    for (const command of stopgap.upstream.commands.filter((each) => each.startsWith('MAIL')))
      assert.match(command, /^MAIL FROM:<(?:"?alice"?(?:\+[^@]*)?@example\.com)?>/i);
    for (const command of inside.commands.filter((each) => each.startsWith('RCPT')))
      assert.match(command, /^RCPT TO:<(?:[^%!@"\\<>\s]+@example\.com|postmaster)>/i);
  });

  test('there is an event for each message that went out, and none of another', async () => {
    const sends = await stopgap.all<MessageAccepted>('MessageAccepted');
    const handedOver = [...stopgap.upstream.messages, ...inside.messages];
    const byId = new Map(
      handedOver.map((message) => [/ id ([\w.-]+);/.exec(message.content.toString())![1], message]),
    );
    assert.equal(sends.length, handedOver.length);
    for (const { data } of sends) assert.equal(byId.get(data.transaction)?.to.length, data.recipients);
  });

  test('nothing is left of them: no session, no file, no fault, no memory', async () => {
    await eventually('every session is over', async () => {
      const text = await stopgap.app.metrics.registry.metrics();
      const open = [...text.matchAll(/^stopgap_smtp_sessions\{.*\} (\d+)$/gm)].map(([, count]) => count);
      return open.length === 2 && open.every((count) => count === '0');
    });
    assert.deepEqual(await readdir(path.join(stopgap.dir, 'data/spool')), []);
    assert.deepEqual(
      stopgap.logs.filter((each) => /"level":(?:50|60)/.test(each)),
      [],
      'nothing that a client says is a fault of ours',
    );
    assert.deepEqual(stopgap.faults, []);
    // What the test itself keeps is no growth of the server's.
    const peers = [...stopgap.upstream.peers, ...inside.peers].flatMap(({ commands, reads }) => [
      commands,
      reads,
    ]);
    for (const kept of [stopgap.logs, stopgap.upstream.messages, inside.messages, ...peers]) kept.length = 0;
    await steady.still(16 * 1024 * 1024);
  });
});
