import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Said } from '../../../src/import/postfix-log/message.js';
import { LONGEST_WHOLE, readMessage } from '../../../src/import/postfix-log/message.js';
import type { MessageAccepted } from '../../../src/sending/events.js';
import { eventsOf, logFile } from '../../support/logs.js';

const ALICE = 'alice@example.com';

/** What a name may hold that looks like the rest of a line, in any order. */
const feigned = fc
  .array(
    fc.constantFrom(
      '>',
      '; from=<',
      ' to=<c>',
      ' proto=ESMTP',
      ' helo=<h>',
      ' sasl_method=PLAIN',
      ' sasl_username=<dave@example.com',
      ' sasl_username=dave@example.com',
      ' orig_id=9F00',
      ': Recipient address rejected: ',
      '>, size=1, nrcpt=1 (queue active)',
      '>, status=expired',
      '>, relay=f[127.0.0.1]:10024',
      ', status=sent (250 queued as 9F00)',
      '>, orig_to=<y@a.test',
      '> to=<c> proto=ESMTP helo=<h> sasl_method=PLAIN sasl_username=<dave@example.com>',
      '\u2028',
      'ß',
    ),
    { maxLength: 6 },
  )
  .map((parts) => parts.join(''));

/** A name that fills a line, with something feigned in it. */
const name = fc
  .tuple(feigned, fc.integer({ min: 700, max: 1100 }), feigned, fc.boolean())
  .map(([one, pad, other, wide]) => {
    const filling = wide ? '漢'.repeat(pad / 3) : 'a'.repeat(pad);
    return `"${filling}${one}${other}zz"@evil.example`;
  });

/** As a reader of lines gives it on. */
function read(daemon: string, text: string): ReturnType<typeof readMessage> {
  return readMessage(daemon, text.replaceAll('\u2028', '\ufffd'));
}

/** Asks for each text that is left where a long line is cut, and for the whole. */
function eachCut(daemon: string, text: string, check: (said: Said | undefined) => void): void {
  const bytes = Buffer.from(text);
  for (let length = LONGEST_WHOLE; length <= bytes.length; length++) {
    const said = read(daemon, bytes.toString('utf8', 0, length));
    assert.notEqual(said?.kind, 'garbled');
    check(said as Said | undefined);
  }
}

const refused = (from: string, to: string, login = ''): string =>
  `NOQUEUE: reject: RCPT from pc[192.0.2.7]: 550 5.1.1 <${to.replaceAll('"', '')}>: Recipient address rejected: User unknown in local recipient table; from=<${from}> to=<${to}> proto=ESMTP helo=<pc>${login}`;
const names = fc.oneof(
  fc.tuple(name, fc.constant('x@a.test')),
  fc.tuple(fc.constant('x@a.test'), name),
  fc.tuple(name, name),
);

describe('a line that is cut, wherever that is', () => {
  test('names no login that the whole line does not, and nothing else that comes after a name', () => {
    const login = fc.constantFrom(
      '',
      ` sasl_username=<${ALICE}>`,
      ` sasl_method=PLAIN sasl_username=<${ALICE}>`,
    );
    fc.assert(
      fc.property(names, login, ([from, to], end) => {
        const text = refused(from, to, end);
        eachCut('smtpd', text, (said) => {
          // Without its reason it is not known to be one.
          if (said === undefined) return;
          assert.deepEqual(said, {
            kind: 'refused',
            queueId: undefined,
            ip: '192.0.2.7',
            code: 550,
            from: '',
            account: undefined,
            ehlo: undefined,
          });
        });
        const answer = `proxy-accept: END-OF-MESSAGE: 250 2.0.0 Ok: queued as 2B; from=<${from}> to=<${to}> proto=ESMTP helo=<pc>${end}`;
        eachCut('smtpd', answer, (said) =>
          assert.deepEqual(said, { kind: 'proxied', queueId: '2B', account: undefined, ehlo: undefined }),
        );
      }),
      { numRuns: 12 },
    );
  });

  test('tells of a message in the queue and of its deliveries, but no certain number, no next server and no other message', () => {
    fc.assert(
      fc.property(name, (from) => {
        eachCut('qmgr', `1A: from=<${from}>, size=4000, nrcpt=50 (queue active)`, (said) => {
          assert.ok(said?.kind === 'queued' && said.queueId === '1A');
          assert.deepEqual([said.size, said.recipients], [undefined, undefined]);
          assert.ok(from.startsWith(said.from.slice(0, 250)));
        });
        eachCut('pickup', `1A: uid=33 from=<${from}>`, (said) =>
          assert.deepEqual(said, { kind: 'picked', queueId: '1A', uid: '33', requeuedFrom: undefined }),
        );
        const rest = 'relay=127.0.0.1[127.0.0.1]:10024, delay=1, dsn=2.0.0, status=sent (250 queued as 2B)';
        eachCut('smtp', `1A: to=<${from}>, ${rest}`, (said) => {
          assert.ok(said?.kind === 'tried' && said.queueId === '1A');
          assert.deepEqual([said.toFilter, said.relay, said.handedTo], [false, undefined, undefined]);
        });
      }),
      { numRuns: 30 },
    );
  });

  test('is believed where it is short enough to be whole, whatever is in a name', () => {
    const short = feigned
      .map((text) => `"${text.replaceAll('\u2028', '?')}z"@evil.example`)
      .filter((each) => each.length < 200);
    fc.assert(
      fc.property(short, fc.constantFrom('', ` sasl_username=<${ALICE}>`), (from, end) => {
        const said = read('smtpd', refused(from, 'x@a.test', end));
        assert.ok(said?.kind === 'refused');
        assert.deepEqual([said.account, said.ehlo], [end === '' ? undefined : ALICE, 'pc']);
        const queued = readMessage('qmgr', `1A: from=<${from}>, size=4000, nrcpt=50 (queue active)`);
        assert.deepEqual(queued, { kind: 'queued', queueId: '1A', from, size: 4000, recipients: 50 });
      }),
    );
  });

  test('names no login that is opened and not closed', () => {
    const of = (end: string): unknown => readMessage('smtpd', refused('b@a.test', 'x@a.test', end));
    assert.equal(of(' sasl_username=<dave@example.com'), undefined);
    for (const end of [' sasl_username=<dave@example.com>', ' sasl_username=dave@example.com'])
      assert.equal((of(end) as { account?: unknown }).account, 'dave@example.com');
  });
});

describe('a message of a login whose lines are cut', () => {
  const say = (text: string, most = Infinity): string => {
    const [head, said] = text.split(': ', 1).concat(text.slice(text.indexOf(': ') + 2)) as [string, string];
    return `Nov 24 03:04:05 mx postfix/${head}: ${Buffer.from(said).toString('utf8', 0, most)}`;
  };
  const begin = (id: string): string =>
    `smtpd[1]: ${id}: client=pc[192.0.2.7], sasl_method=PLAIN, sasl_username=${ALICE}`;
  const from = (path: string, recipients: number): string =>
    `qmgr[2]: A1: from=<${path}>, size=4000, nrcpt=${recipients} (queue active)`;
  const to = (recipient: string, status = 'sent (250 OK)'): string =>
    `smtp[3]: A1: to=<${recipient}>, relay=mx[198.51.100.1]:25, delay=1, dsn=2.0.0, status=${status}`;
  const sends = async (lines: readonly string[]): Promise<readonly (readonly unknown[])[]> => {
    const { events } = await eventsOf([logFile('mail.log', lines)]);
    return events
      .map(({ event }) => event.data as MessageAccepted)
      .map(({ account, recipients }) => [account, recipients]);
  };

  test('counts once and with each of its recipients, whatever its return path and recipients are', async () => {
    await fc.assert(
      fc.asyncProperty(
        name,
        fc.oneof(name, fc.constant('x@a.test')),
        fc.integer({ min: LONGEST_WHOLE, max: 2000 }),
        fc.integer({ min: 1, max: 50 }),
        fc.boolean(),
        async (path, recipient, most, recipients, isOver) => {
          const lines = [begin('A1'), from(path, recipients)];
          for (let each = 0; each < recipients; each++) lines.push(to(`${each}${recipient}`));
          if (isOver) lines.push('qmgr[2]: A1: removed');
          assert.deepEqual(await sends(lines.map((line) => say(line, most))), [[ALICE, recipients]]);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('counts at each place where the line of its return path may be cut, once it has left the queue', async () => {
    const text = from('b@a.test', 2);
    const rest = [to('x@a.test'), to('y@a.test'), 'qmgr[2]: A1: removed'].map((line) => say(line));
    for (let length = 0; length <= text.length; length++) {
      const cut = say(text, length);
      assert.deepEqual(await sends([say(begin('A1')), cut, ...rest]), [[ALICE, 2]], cut);
    }
  });

  test('has as many recipients as the line of its return path seems to say, where deliveries tell of fewer, and no more than Postfix takes', async () => {
    for (const [claimed, counted] of [
      [1, 2],
      [20, 20],
      [999_999_999, 1000],
    ] as const) {
      const lines = [begin('A1'), from('b'.repeat(910), claimed), to('x@a.test'), to('y@a.test')];
      assert.deepEqual(await sends(lines.map((line) => say(line))), [[ALICE, counted]]);
    }
  });

  test('hides no mail that follows, whatever number it feigns, as what a filter hands back', async () => {
    const path = `${'b'.repeat(910)}@a.test`;
    const again = (id: string): readonly string[] => [
      `smtpd[1]: ${id}: client=localhost[127.0.0.1]`,
      `cleanup[4]: ${id}: message-id=<same@form>`,
      from(path, 900).replace('A1', id),
      to('x@a.test').replace('A1', id),
      `qmgr[2]: ${id}: removed`,
    ];
    const given = to('x@a.test').replace('mx[198.51.100.1]:25', 'local');
    const lines = [begin('A1'), 'cleanup[4]: A1: message-id=<same@form>', from(path, 900), given];
    const counted = await sends([...lines, 'qmgr[2]: A1: removed', ...again('B1')].map((line) => say(line)));
    assert.deepEqual(counted, [
      [ALICE, 900],
      [undefined, 900],
    ]);
  });

  test('counts the recipients that deliveries name long after, as further ones of that message, and those who are tried again once', async () => {
    const late = (minute: number, text: string): string => say(text).replace('03:04:05', `03:${minute}:05`);
    const path = 'b'.repeat(1000);
    const lines = [
      ...[begin('A1'), from(path, 9), to('x@a.test', 'deferred (later)')].map((line) => say(line)),
      late(20, from(path, 9)),
      late(20, to('x@a.test', 'deferred (later)')),
      late(20, to('y@a.test')),
      late(50, from(path, 9)),
      late(50, to('x@a.test')),
      late(50, to('z@a.test')),
      late(50, 'qmgr[2]: A1: removed'),
    ].map((line) => line.replace(', nrcpt=9 (queue active)', ''));
    const { events, summary } = await eventsOf([logFile('mail.log', lines)]);
    const data = events.map(({ event }) => event.data as MessageAccepted);
    assert.deepEqual(
      data.map(({ account, recipients, further }) => [account, recipients, further]),
      [
        [ALICE, 1, undefined],
        [ALICE, 1, true],
        [ALICE, 1, true],
      ],
    );
    assert.equal(new Set(events.map(({ id }) => id)).size, 3);
    assert.deepEqual([summary.messages, summary.recipients], [1, 3]);
  });

  test('counts a recipient once that waits for a time, and one at least', async () => {
    const path = 'b'.repeat(2000);
    const waits = to('x@a.test', 'deferred (later)');
    const lines = (...rest: readonly string[]): readonly string[] =>
      [begin('A1'), from(path, 2), ...rest].map((line) => say(line, 2000));
    assert.deepEqual(await sends(lines()), [[ALICE, 1]]);
    assert.deepEqual(await sends(lines(waits, to('y@a.test'))), [[ALICE, 2]]);
    const over = [waits, to('y@a.test'), waits, to('x@a.test'), 'qmgr[2]: A1: removed'];
    assert.deepEqual(await sends(lines(...over)), [[ALICE, 2]]);
    // What syslog makes of lines that are the same.
    const merged = say(to('c'.repeat(2000)), 2000).replace(/: (A1.*)$/, ': message repeated 7 times: [ $1]');
    assert.deepEqual(await sends([...lines(), merged]), [[ALICE, 7]]);
  });

  test('does not count if it was deleted on hold, nor as one of a login if it came without', async () => {
    assert.deepEqual(await sends([begin('A1'), 'postsuper[4]: A1: removed'].map((line) => say(line))), []);
    const outside = 'smtpd[1]: A1: client=pc[192.0.2.7]';
    assert.deepEqual(await sends([outside, 'qmgr[2]: A1: removed'].map((line) => say(line))), []);
  });

  test('is that of the login whose session a filter before the queue has it from', async () => {
    const client =
      'smtpd[1]: NOQUEUE: client=pc[192.0.2.7], sasl_method=PLAIN, sasl_username=alice@example.com';
    const path = `"${'b'.repeat(1500)}> to=<c> proto=ESMTP helo=<h> sasl_username=<dave@example.com>"@a.test`;
    const lines = [
      client,
      'smtpd[5]: A1: client=localhost[127.0.0.1]',
      from(path, 1),
      `smtpd[1]: proxy-accept: END-OF-MESSAGE: 250 2.0.0 Ok: queued as A1; from=<${path}> to=<x@a.test> proto=ESMTP helo=<pc> sasl_username=<${ALICE}>`,
      to('x@a.test'),
      'qmgr[2]: A1: removed',
    ];
    for (let most = 900; most <= 1750; most += 7)
      assert.deepEqual(await sends(lines.map((line) => say(line, most))), [[ALICE, 1]], `${most}`);
  });
});
