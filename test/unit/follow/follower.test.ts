import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { FollowerOptions, Item, LiveLog, Outcome, Piece } from '../../../src/follow/follower.js';
import { Follower } from '../../../src/follow/follower.js';
import { Zone } from '../../../src/import/postfix-log/index.js';
import { StopgapError } from '../../../src/kernel/errors.js';
import { DAY, MINUTE, SECOND } from '../../../src/kernel/time.js';
import { ManualClock, NOON } from '../../support/manual-clock.js';
import { doings, logOf } from '../../support/postfix.js';

/** A log of which as many lines are there as a test wants; a place is how many of them were read. */
class ScriptedLog implements LiveLog<{ readonly lines: number }> {
  readonly lines: string[] = [];
  there = 0;
  /** Lines of one piece. */
  atOnce = 10;
  given = 0;

  async *before({ lines }: { readonly lines: number }): AsyncGenerator<Buffer> {
    if (lines > 0) yield this.#bytes(0, lines);
  }

  async *follow(
    from: { readonly lines: number } | undefined,
  ): AsyncGenerator<Piece<{ readonly lines: number }> | undefined> {
    let { lines } = from ?? { lines: this.there };
    if (from === undefined) yield { bytes: Buffer.alloc(0), end: { lines } };
    for (;;) {
      const end = Math.min(this.there, lines + this.atOnce);
      if (end === lines) yield undefined;
      else {
        const bytes = this.#bytes(lines, end);
        lines = end;
        this.given = Math.max(this.given, end);
        yield { bytes, end: { lines } };
      }
    }
  }

  #bytes(from: number, to: number): Buffer {
    return Buffer.from(
      this.lines
        .slice(from, to)
        .map((line) => `${line}\n`)
        .join(''),
    );
  }
}

class Scene {
  readonly clock = new ManualClock();
  readonly log = new ScriptedLog();
  readonly told: string[] = [];
  /** What the server acknowledged, in order. */
  readonly reported: Readonly<Record<string, unknown>>[] = [];
  place: { readonly lines: number } | undefined = { lines: 0 };
  isAway = false;
  calls = 0;
  answer: (items: readonly Item[]) => Outcome = (items) => ({
    results: items.map(() => ({ result: 'recorded' })),
  });
  #follower: Follower<{ readonly lines: number }> | undefined;
  #running: Promise<void> | undefined;

  constructor(readonly options: Partial<FollowerOptions<{ readonly lines: number }>> = {}) {}

  start(): void {
    this.#follower = new Follower({
      log: this.log,
      name: 'mail.log',
      clock: this.clock,
      zone: new Zone('UTC'),
      inbound: true,
      logins: true,
      isOurs: (ip) => ip.startsWith('127.'),
      load: () => Promise.resolve(this.place),
      save: (place) => Promise.resolve(void (this.place = place)),
      report: (items) => {
        this.calls++;
        if (this.isAway) return Promise.reject(new StopgapError('unavailable', 'no answer'));
        this.reported.push(...items);
        return Promise.resolve(this.answer(items));
      },
      tell: (text) => this.told.push(text),
      ...this.options,
    });
    this.#running = this.#follower.run();
  }

  async stop(): Promise<void> {
    this.#follower!.stop();
    await this.#running;
  }

  /** Lets time pass, and the follower work. */
  async pass(span: number): Promise<void> {
    for (let left = span; left > 0; left -= 250) {
      this.clock.advance(250);
      await this.work();
    }
  }

  async work(): Promise<void> {
    for (let left = 12; left > 0; left--) await turn();
  }

  get ids(): readonly unknown[] {
    return [...new Set(this.reported.map(({ id }) => id))];
  }
}

const stamp = (seconds: number): string => new Date(NOON + seconds * SECOND).toISOString();
/** A message from a login, complete but for its last line. */
const message = (id: string, seconds: number, account = 'alice@example.com'): string[] => [
  `${stamp(seconds)} mx postfix/smtpd[1]: ${id}: client=pc[192.0.2.7], sasl_method=PLAIN, sasl_username=${account}`,
  `${stamp(seconds)} mx postfix/qmgr[2]: ${id}: from=<${account}>, size=100, nrcpt=1 (queue active)`,
];

describe('a follower of a log', () => {
  test('reports what one reading of the log finds, though it is stopped and the server away at any time', async () => {
    const events = fc.array(
      fc.record({
        step: fc.constantFrom('lines', 'lines', 'lines', 'restart', 'away', 'pass'),
        count: fc.integer({ min: 1, max: 12 }),
      }),
      { maxLength: 14 },
    );
    await fc.assert(
      fc.asyncProperty(doings, events, async (all, steps) => {
        const lines = logOf(all, NOON, 'iso');
        const whole = new Scene();
        const scene = new Scene();
        const rest = lines.at(-1)!.at - NOON + MINUTE;
        for (const { log } of [whole, scene]) log.lines.push(...lines.map(({ text }) => text));
        whole.clock.skip(rest);
        whole.log.there = lines.length;
        whole.start();
        await whole.pass(SECOND);
        await whole.stop();
        scene.start();
        for (const { step, count } of steps) {
          if (step === 'lines') {
            scene.log.there = Math.min(lines.length, scene.log.there + count);
            await scene.work();
          } else if (step === 'restart') {
            // It writes nothing down when it stops: as if it were killed.
            await scene.stop();
            scene.start();
          } else if (step === 'away') {
            scene.isAway = true;
            await scene.pass(500);
            scene.isAway = false;
            // In all of this less time passes than a message is waited for.
          } else await scene.pass(250);
        }
        scene.log.there = lines.length;
        await scene.pass(5 * SECOND);
        scene.clock.skip(rest);
        await scene.pass(5 * SECOND);
        await scene.stop();
        assert.deepEqual([...scene.ids].sort(), [...whole.ids].sort());
        assert.equal(scene.place?.lines, lines.length, 'nothing is left to be read');
      }),
      { numRuns: 25 },
    );
  });

  test('reads on no more while the server is away, and loses nothing', async () => {
    const scene = new Scene();
    for (let id = 0; id < 3000; id++)
      scene.log.lines.push(
        ...message(`A${id}`, id / 100),
        `${stamp(id / 100)} mx postfix/qmgr[2]: A${id}: removed`,
      );
    scene.log.there = scene.log.lines.length;
    scene.clock.skip(MINUTE);
    scene.isAway = true;
    scene.start();
    await scene.pass(20 * SECOND);
    const { given } = scene.log;
    assert.ok(given < 3000, `${given} lines were read`);
    await scene.pass(20 * SECOND);
    assert.equal(scene.log.given, given);
    assert.deepEqual(scene.place, { lines: 0 });
    assert.ok(scene.calls < 15, 'it does not try all the time');
    assert.deepEqual(scene.told, ['mail.log: nothing is reported for now, and nothing is lost: no answer']);
    scene.isAway = false;
    await scene.pass(MINUTE);
    for (let left = 200; left > 0 && scene.ids.length < 3000; left--) await scene.work();
    // A busy machine has it all reported only now, and the trouble is over some time after that.
    await scene.pass(MINUTE);
    await scene.stop();
    assert.equal(scene.ids.length, 3000);
    assert.equal(scene.told.at(-1), 'mail.log: reported again');
  });

  test('goes on with other events while the server cannot look up the rest of a message, and repeats only that', async () => {
    // Given a message that is given up, of which a delivery tells of more recipients later
    const [begin, queued] = message('A1', 0);
    const cut = queued!.replace('alice@', `${'x'.repeat(1990)}@`).slice(0, 2000);
    const to = (seconds: number, index: number): string =>
      `${stamp(seconds)} mx postfix/smtp[3]: A1: to=<x${index}@a.test>, relay=mx[198.51.100.1]:25, delay=150, dsn=2.0.0, status=sent (250 OK)`;
    const scene = new Scene({ inbound: false });
    scene.log.lines.push(begin!, cut, to(150, 1), to(150, 2), ...message('B1', 160, 'bob@example.com'));
    scene.log.there = 2;
    scene.start();
    await scene.pass(2 * SECOND);
    scene.clock.skip(140 * SECOND);
    await scene.pass(4 * SECOND);
    assert.deepEqual(
      scene.reported.map(({ queueId }) => queueId),
      ['A1'],
    );
    // When the server's store is away, and the server has an outbox
    let isAway = true;
    scene.answer = (items) => {
      const isRest = (item: Item): boolean => isAway && 'further' in item && item.further === true;
      const results = items.map((item) => ({ result: isRest(item) ? 'unavailable' : 'recorded' }) as const);
      if (items.some(isRest)) throw new StopgapError('unavailable', 'send it again', { results });
      return { results };
    };
    scene.log.there = scene.log.lines.length;
    scene.clock.skip(10 * SECOND);
    await scene.pass(20 * SECOND);
    // Then it reports what comes later, keeps the place of what waits, and does not ask all the time
    const counted = (): readonly unknown[] =>
      scene.reported.map(({ queueId, further }) => [queueId, further]);
    assert.deepEqual(counted().slice(1).toSorted(), [
      ['A1', true],
      ['B1', undefined],
    ]);
    assert.deepEqual(scene.place, { lines: 2 });
    const { calls } = scene;
    await scene.pass(50 * SECOND);
    assert.ok(scene.calls <= calls + 2, `${scene.calls - calls} calls`);
    assert.match(
      scene.told[0]!,
      /^mail\.log: recipients are reported later, and nothing is lost: send it again$/,
    );
    // And when the store is back it reports that alone
    const before = scene.reported.length;
    isAway = false;
    await scene.pass(2 * MINUTE);
    await scene.stop();
    assert.deepEqual(counted().slice(before), [['A1', true]]);
    assert.deepEqual(scene.place, { lines: scene.log.lines.length });
  });

  test('repeats only what the server has not taken', async () => {
    const scene = new Scene();
    scene.log.lines.push(...message('A1', 0), ...message('B1', 0, 'bob@example.com'));
    scene.log.there = scene.log.lines.length;
    const asked: unknown[] = [];
    scene.answer = (items) => {
      if (items.length > 0) asked.push(items.map((item) => 'queueId' in item && item.queueId));
      const results = items.map(
        (_, index) => ({ result: index === 0 ? 'recorded' : 'unavailable' }) as const,
      );
      if (items.length > 1) throw new StopgapError('unavailable', 'send the others again', { results });
      return { results };
    };
    scene.start();
    await scene.pass(30 * SECOND);
    await scene.stop();
    assert.deepEqual(asked, [['A1', 'B1'], ['B1']]);
  });

  test('keeps the place of a message that waits for its end, and reports it within seconds', async () => {
    const scene = new Scene();
    scene.log.lines.push(...message('A1', 0));
    scene.log.there = 1;
    scene.start();
    await scene.pass(2 * SECOND);
    assert.deepEqual(scene.place, { lines: 1 });
    scene.log.there = 2;
    await scene.pass(2 * SECOND);
    assert.deepEqual([scene.place, scene.reported], [{ lines: 1 }, []]);
    await scene.pass(10 * SECOND);
    assert.deepEqual(scene.place, { lines: 2 });
    await scene.stop();
    scene.start();
    await scene.pass(20 * SECOND);
    await scene.stop();
    assert.equal(scene.reported.length, 1, 'what was acknowledged is not reported again');
    const [item] = scene.reported;
    assert.deepEqual(
      { ...item, id: '' },
      {
        type: 'accepted',
        id: '',
        at: stamp(0),
        queueId: 'A1',
        account: 'alice@example.com',
        returnPath: 'alice@example.com',
        ehlo: undefined,
        ip: '192.0.2.7',
        direction: 'outbound',
        recipients: 1,
        size: 100,
        recipientDomains: [],
      },
    );
  });

  test('names the login of a failed one, so that the server knows those that it has feigned, and the user of local mail', async () => {
    const scene = new Scene({ inbound: false });
    scene.log.lines.push(
      `${stamp(0)} mx postfix/smtpd[1]: warning: pc[2001:db8::7]: SASL PLAIN authentication failed: (reason unavailable), sasl_username=alice@example.com`,
      `${stamp(0)} mx postfix/pickup[3]: B1: uid=33 from=<anybody@example.com>`,
      `${stamp(0)} mx postfix/qmgr[2]: B1: from=<anybody@example.com>, size=100, nrcpt=1 (queue active)`,
      `${stamp(0)} mx postfix/smtpd[1]: C1: client=mx[198.51.100.1]`,
      `${stamp(0)} mx postfix/qmgr[2]: C1: from=<stranger@elsewhere.test>, size=100, nrcpt=1 (queue active)`,
    );
    scene.log.there = 5;
    scene.start();
    await scene.pass(15 * SECOND);
    await scene.stop();
    assert.deepEqual(
      scene.reported.map(({ type, account, ip }) => [type, account, ip]),
      [
        ['login-failed', 'alice@example.com', '2001:db8::'],
        ['accepted', 'uid-33@mx', undefined],
      ],
    );
  });

  test('reports no more of what rsyslog has merged than the server takes for one event', async () => {
    const scene = new Scene();
    const merged = (times: number, text: string): number =>
      scene.log.lines.push(`${stamp(0)} mx postfix/smtpd[1]: message repeated ${times} times: [ ${text}]`);
    const failed = 'SASL PLAIN authentication failed: (reason unavailable), sasl_username=alice';
    const refused =
      '550 5.1.1 <x@a.test>: Recipient address rejected: User unknown; from=<form@a.test> to=<x@a.test> proto=ESMTP helo=<pc>';
    merged(10_001, `warning: pc[192.0.2.7]: ${failed}`);
    merged(9_999, `warning: pc[192.0.2.8]: ${failed}`);
    merged(1_000_001, `NOQUEUE: reject: RCPT from pc[127.0.0.1]: ${refused}`);
    scene.log.there = scene.log.lines.length;
    scene.start();
    await scene.pass(15 * SECOND);
    await scene.stop();
    assert.deepEqual(
      scene.reported.map(({ type, count }) => [type, count]),
      [
        ['login-failed', 10_000],
        ['login-failed', 9_999],
        ['recipients-refused', 1_000_000],
      ],
    );
  });

  test('counts each message of a program that gives all of them one Message-ID, and once each that a filter hands back', async () => {
    const scene = new Scene({ inbound: false });
    const say = (text: string): number => scene.log.lines.push(`${stamp(0)} mx postfix/${text}`);
    const sends = (id: string, begin: string, relay: string, recipients = 1): void => {
      say(begin);
      say(`cleanup[4]: ${id}: message-id=<same@form>`);
      say(`qmgr[2]: ${id}: from=<form@example.com>, size=100, nrcpt=${recipients} (queue active)`);
      say(
        `${relay === 'filter' ? 'pipe' : 'smtp'}[5]: ${id}: to=<x@a.test>, relay=${relay}, delay=1, dsn=2.0.0, status=sent (250 queued as B1)`,
      );
      say(`qmgr[2]: ${id}: removed`);
    };
    const away = 'mx.a.test[198.51.100.1]:25';
    for (const id of ['A1', 'A2', 'A3']) sends(id, `pickup[3]: ${id}: uid=33 from=<form>`, away);
    for (const id of ['B1', 'B2', 'B3']) sends(id, `smtpd[1]: ${id}: client=localhost[127.0.0.1]`, away);
    for (const id of ['C1', 'C2']) sends(id, `pickup[3]: ${id}: uid=34 from=<form>`, 'local');
    scene.log.there = scene.log.lines.length;
    scene.start();
    await scene.pass(15 * SECOND);
    await scene.stop();
    assert.deepEqual(
      scene.reported.map(({ queueId }) => queueId),
      ['A1', 'A2', 'A3', 'B1', 'B2', 'B3', 'C1', 'C2'],
    );
    const mailbox = new Scene({ inbound: false });
    scene.log.lines.length = 0;
    // Delivered to a mailbox here, it may have been to a filter: that is believed so often as filters could be the reason.
    for (let sent = 0; sent < 20; sent++)
      sends(`E${sent}`, `smtpd[1]: E${sent}: client=localhost[127.0.0.1]`, sent === 0 ? 'local' : away);
    mailbox.log.lines.push(...scene.log.lines);
    mailbox.log.there = mailbox.log.lines.length;
    mailbox.start();
    await mailbox.pass(15 * SECOND);
    await mailbox.stop();
    assert.equal(mailbox.reported.length, 17);
    const expanded = new Scene({ inbound: false });
    scene.log.lines.length = 0;
    // Filters in a row hand back so many recipients, in one message or in several: not a thousand for the one that they were given.
    for (const [id, recipients] of [
      ['F1', 2],
      ['F2', 2],
      ['F3', 1],
      ['F4', 1000],
      ['F5', 3],
      ['F6', 1],
    ] as const)
      // prettier-ignore
      sends(id, `smtpd[1]: ${id}: client=localhost[127.0.0.1]`, id === 'F1' ? 'local' : away, recipients);
    expanded.log.lines.push(...scene.log.lines);
    expanded.log.there = expanded.log.lines.length;
    expanded.start();
    await expanded.pass(15 * SECOND);
    await expanded.stop();
    assert.deepEqual(
      expanded.reported.map(({ queueId, recipients }) => [queueId, recipients]),
      [
        ['F1', 2],
        ['F4', 1000],
        ['F6', 1],
      ],
    );
    const filtered = new Scene({ inbound: false });
    scene.log.lines.length = 0;
    sends('D1', 'smtpd[1]: D1: client=pc[192.0.2.7], sasl_method=PLAIN, sasl_username=alice', 'filter');
    sends('D2', 'pickup[3]: D2: uid=99 from=<filter>', away);
    filtered.log.lines.push(...scene.log.lines);
    filtered.log.there = filtered.log.lines.length;
    filtered.start();
    await filtered.pass(15 * SECOND);
    await filtered.stop();
    assert.deepEqual(
      filtered.reported.map(({ queueId, account }) => [queueId, account]),
      [['D1', 'alice']],
    );
  });

  test('counts what the sendmail command hands in with the Message-ID of mail that a filter got by SMTP, and once what a program hands back', async () => {
    const scene = new Scene({ inbound: false });
    const say = (text: string): number => scene.log.lines.push(`${stamp(0)} mx postfix/${text}`);
    const begins = (id: string, begin: string, name: string): void => {
      say(begin);
      say(`cleanup[4]: ${id}: message-id=<${name}>`);
      say(`qmgr[2]: ${id}: from=<t@evil.test>, size=100, nrcpt=50 (queue active)`);
    };
    const handsOn = (id: string, delivery: string): void => {
      for (let to = 0; to < 50; to++)
        say(`${delivery.replace('ID', id).replace(' relay', ` to=<u${to}@a.test>, relay`)}`);
      say(`qmgr[2]: ${id}: removed`);
    };
    const sent = 'delay=1, dsn=2.0.0, status=sent';
    const servers = ['127.0.0.1[127.0.0.1]:10024', 'mx[/run/amavis.sock]'];
    for (const [index, server] of servers.entries()) {
      // A stranger's message goes through the filter, which is a server, and so does what a web page then sends under its name.
      const throughServer = (id: string, begin: string): void => {
        begins(id, begin, `server-${index}`);
        begins(`${id}F`, `smtpd[8]: ${id}F: client=localhost[127.0.0.1]`, `server-${index}`);
        handsOn(id, `smtp[5]: ID: relay=${server}, ${sent} (250 OK: queued as ${id}F)`);
        handsOn(`${id}F`, `smtp[6]: ID: relay=mx.a.test[198.51.100.1]:25, ${sent} (250 OK)`);
      };
      throughServer(`A${index}`, `smtpd[1]: A${index}: client=out[203.0.113.9]`);
      for (const id of [`B${index}`, `C${index}`, `D${index}`])
        throughServer(id, `pickup[3]: ${id}: uid=33 from=<t@evil.test>`);
    }
    // Two filters in a row: a server that answers with no id, then a program.
    begins('E1', 'smtpd[1]: E1: client=pc[192.0.2.7], sasl_method=PLAIN, sasl_username=alice', 'program');
    handsOn('E1', `smtp[5]: ID: relay=127.0.0.1[127.0.0.1]:10024, ${sent} (250 OK)`);
    begins('E2', 'smtpd[8]: E2: client=localhost[127.0.0.1]', 'program');
    handsOn('E2', `pipe[7]: ID: relay=filter, ${sent} (delivered via filter service)`);
    begins('E3', 'pickup[3]: E3: uid=99 from=<t@evil.test>', 'program');
    handsOn('E3', `smtp[6]: ID: relay=mx.a.test[198.51.100.1]:25, ${sent} (250 OK)`);
    scene.log.there = scene.log.lines.length;
    scene.start();
    await scene.pass(MINUTE);
    await scene.stop();
    assert.deepEqual(
      scene.reported.map(({ queueId, account, recipients }) => [queueId, account, recipients]),
      [...['B0', 'C0', 'D0', 'B1', 'C1', 'D1'].map((id) => [id, 'uid-33@mx', 50]), ['E1', 'alice', 50]],
    );
  });

  test('takes no message for one that a filter hands back after one to a mailbox, nor of another machine, whatever that answers', async () => {
    const isOurs = (ip: string): boolean => /^(?:127|10)\./.test(ip);
    const scene = new Scene({ inbound: false, isOurs });
    const say = (text: string): number => scene.log.lines.push(`${stamp(0)} mx postfix/${text}`);
    const sends = (id: string, name: string, client: string, relay: string, answer = 'OK'): void => {
      say(`smtpd[1]: ${id}: client=${client}`);
      say(`cleanup[4]: ${id}: message-id=<${name}>`);
      say(`qmgr[2]: ${id}: from=<form@example.com>, size=100, nrcpt=100 (queue active)`);
      say(
        `${relay === 'filter' ? 'pipe' : 'lmtp'}[5]: ${id}: to=<x@a.test>, relay=${relay}, delay=1, dsn=2.0.0, status=sent (250 ${answer})`,
      );
      say(`qmgr[2]: ${id}: removed`);
    };
    const away = 'mx.a.test[198.51.100.1]:25';
    const alice = 'pc[192.0.2.7], sasl_method=PLAIN, sasl_username=alice';
    // A stranger's message to mailboxes here costs nobody anything.
    sends('A1', 'mailbox', 'pc[198.51.100.9]', 'local');
    sends('A2', 'mailbox', 'web[10.0.0.7]', away);
    say('pickup[3]: A3: uid=33 from=<form>');
    say('cleanup[4]: A3: message-id=<mailbox>');
    say('qmgr[2]: A3: from=<form@example.com>, size=100, nrcpt=100 (queue active)');
    sends('B1', 'program', alice, 'filter');
    sends('B2', 'program', 'localhost[127.0.0.1]', away);
    // It gets mail from here, and answers with the id of what it sends meanwhile.
    say('smtpd[1]: C2: client=web[10.0.0.7]');
    say('qmgr[2]: C2: from=<form@example.com>, size=100, nrcpt=1000 (queue active)');
    sends('C1', 'answered', 'pc[198.51.100.9]', 'web[10.0.0.7]:25', 'queued as C2');
    // A mailbox repeats the name of its recipient, which the sender chose.
    say('smtpd[1]: D2: client=web[10.0.0.7]');
    say('qmgr[2]: D2: from=<form@example.com>, size=100, nrcpt=1000 (queue active)');
    const named = 'to=<"bob+queued as D2"@example.com>';
    say('smtpd[1]: D1: client=web[10.0.0.7]');
    say('qmgr[2]: D1: from=<form@example.com>, size=100, nrcpt=1 (queue active)');
    say(
      `lmtp[5]: D1: ${named}, relay=mx[private/dovecot-lmtp], delay=1, dsn=2.0.0, status=sent (250 2.0.0 ${named.slice(3)} fW4q Saved)`,
    );
    scene.log.there = scene.log.lines.length;
    scene.start();
    await scene.pass(15 * SECOND);
    await scene.stop();
    assert.deepEqual(
      scene.reported.map(({ queueId }) => queueId),
      ['A2', 'A3', 'B1', 'C2', 'D2', 'D1'],
    );
  });

  test('counts a message that is still under way when more are begun than it can remember, with its recipients once they are told, and none that was broken off', async () => {
    const scene = new Scene({ inbound: false });
    scene.log.atOnce = 10_000;
    const say = (seconds: number, text: string): number =>
      scene.log.lines.push(`${stamp(seconds)} mx postfix/${text}`);
    const alice = 'pc[192.0.2.7], sasl_method=PLAIN, sasl_username=alice@example.com';
    say(-25 * 3600, `smtpd[1]: A1: client=${alice}`);
    // The same smtpd begins another: that one has ended.
    for (const queueId of ['A3', 'A4']) say(-7200, `smtpd[1]: ${queueId}: client=${alice}`);
    say(-3600, `smtpd[1]: A2: client=${alice}`);
    say(-3600, `smtpd[5]: A5: client=${alice}`);
    for (let begun = 0; begun < 100_000; begun++) say(0, `smtpd[2]: B${begun}: client=pc[198.51.100.9]`);
    say(0, 'cleanup[3]: A2: message-id=<a@pc>');
    say(0, 'qmgr[4]: A2: from=<alice@example.com>, size=100, nrcpt=1000 (queue active)');
    scene.log.there = scene.log.lines.length;
    scene.start();
    await scene.pass(15 * SECOND);
    const to = 'to=<x@a.test>, relay=mx[198.51.100.1]:25, delay=1, dsn=2.0.0, status=sent (250 OK)';
    const queued = 'from=<alice@example.com>, size=100, nrcpt=500 (queue active)';
    say(15, `qmgr[4]: A5: ${queued}`);
    say(15, `smtp[6]: A5: ${to}`);
    say(15, `qmgr[4]: A5: ${queued.replace('500', '499')}`);
    scene.log.there = scene.log.lines.length;
    await scene.pass(5 * SECOND);
    await scene.stop();
    assert.deepEqual(
      scene.reported.map(({ queueId, account, recipients, further }) => [
        queueId,
        account,
        recipients,
        further,
      ]),
      [
        ['A2', 'alice@example.com', 1000, undefined],
        ['A5', 'alice@example.com', 1, undefined],
        ['A5', 'alice@example.com', 500, true],
      ],
    );
  });

  test('counts a message whose lines are cut once, with its recipients, though it is stopped at any line', async () => {
    const [begin] = message('A1', 0);
    const pad = 'x'.repeat(1900);
    const lines = [
      begin!,
      `${stamp(0)} mx postfix/qmgr[2]: A1: from=<${pad}`,
      ...['1', '2', '3'].map(() => `${stamp(0)} mx postfix/smtp[3]: A1: to=<${pad}`),
      `${stamp(1)} mx postfix/qmgr[2]: A1: removed`,
      // The line of its return path is lost.
      message('A2', 2)[0]!,
      `${stamp(3)} mx postfix/qmgr[2]: A2: removed`,
    ];
    for (let place = 0; place <= lines.length; place++) {
      const scene = new Scene({ inbound: false });
      scene.log.atOnce = 1;
      scene.log.lines.push(...lines);
      scene.log.there = place;
      scene.start();
      await scene.pass(3 * SECOND);
      await scene.stop();
      scene.start();
      scene.log.there = lines.length;
      await scene.pass(15 * SECOND);
      await scene.stop();
      assert.equal(scene.ids.length, 2, `stopped after ${place} lines`);
      for (const { queueId, account, recipients } of scene.reported)
        assert.deepEqual([account, recipients], ['alice@example.com', queueId === 'A1' ? 3 : 1], `${place}`);
      assert.equal(scene.place?.lines, lines.length);
      assert.deepEqual(scene.told, []);
    }
  });

  test('counts each recipient of a message whose long return path hides how many there are, and no other waits for it', async () => {
    const [begin, queued] = message('A1', 0);
    const to = (seconds: number, index: number, status = 'sent (250 OK)'): string =>
      `${stamp(seconds)} mx postfix/smtp[3]: A1: to=<x${index}@a.test>, relay=mx[198.51.100.1]:25, delay=25, dsn=2.0.0, status=${status}`;
    const twenty = Array.from({ length: 20 }, (_, index) => to(25, index));
    const of = (length: number): string =>
      queued!.replace('alice@', `${'x'.repeat(length)}@`).replace('nrcpt=1', 'nrcpt=20');
    const whole = of(910);
    const cut = of(1990).slice(0, 2000);
    const removed = `${stamp(25)} mx postfix/qmgr[2]: A1: removed`;
    const told = async (lines: readonly string[], later: readonly string[], restarts = false) => {
      const scene = new Scene({ inbound: false });
      scene.log.lines.push(...lines, ...message('B1', 1, 'bob@example.com'), ...later);
      scene.log.there = lines.length + 2;
      scene.start();
      await scene.pass(12 * SECOND);
      const soon = scene.reported.map(({ queueId, recipients }) => [queueId, recipients]);
      if (restarts) {
        await scene.stop();
        scene.start();
      }
      await scene.pass(14 * SECOND);
      scene.log.there = scene.log.lines.length;
      await scene.pass(10 * SECOND);
      const then = scene.reported.filter(({ queueId }) => queueId === 'A1');
      scene.clock.skip(2 * MINUTE);
      await scene.pass(2 * SECOND);
      await scene.stop();
      assert.equal(scene.place?.lines, scene.log.lines.length, 'nothing is left to be read');
      assert.equal(scene.ids.length, 2, 'each counts once');
      const all = scene.reported.filter(({ queueId }) => queueId === 'A1');
      return { soon, then: then.length, all: [...new Set(all.map(({ recipients }) => recipients))] };
    };
    const B1 = ['B1', 1];
    const feigned = `${cut.slice(0, 1967)}>, size=1, nrcpt=1 (queue active)`;
    for (const line of [whole, cut, feigned])
      for (const restarts of [false, true])
        assert.deepEqual(await told([begin!, line], [...twenty, removed], restarts), {
          soon: [B1],
          then: 1,
          all: [20],
        });
    // No delivery is over by then.
    assert.deepEqual(await told([begin!, whole], []), { soon: [B1], then: 0, all: [20] });
    // One of them waits for longer than the message does.
    const waits = [...twenty.slice(1), to(25, 0, 'deferred (later)')];
    assert.deepEqual(await told([begin!, cut], waits), { soon: [B1], then: 0, all: [20] });
  });

  test('counts the recipients that are told of after a message was given up, though it is stopped in between, and none twice', async () => {
    const [begin, queued] = message('A1', 0);
    const cut = queued!.replace('alice@', `${'x'.repeat(1990)}@`).slice(0, 2000);
    const to = (seconds: number, index: number, status = 'sent (250 OK)'): string =>
      `${stamp(seconds)} mx postfix/smtp[3]: A1: to=<x${index}@a.test>, relay=mx[198.51.100.1]:25, delay=150, dsn=2.0.0, status=${status}`;
    const waits = (seconds: number): string => to(seconds, 200, 'deferred (later)');
    const again = (seconds: number): string => cut.replace(stamp(0), stamp(seconds));
    const most = Array.from({ length: 200 }, (_, index) => to(150, index));
    for (const restarts of [false, true]) {
      const scene = new Scene({ inbound: false });
      const pass = async (span: number): Promise<void> => {
        scene.clock.skip(span - 2 * SECOND);
        await scene.pass(2 * SECOND);
        if (!restarts) return;
        await scene.stop();
        scene.start();
      };
      const write = (...lines: readonly string[]): void => {
        scene.log.lines.push(...lines);
        scene.log.there = scene.log.lines.length;
      };
      write(begin!, cut);
      scene.start();
      await scene.pass(2 * SECOND);
      await pass(140 * SECOND);
      await scene.pass(2 * SECOND);
      await pass(6 * SECOND);
      write(...most, waits(150));
      await scene.pass(2 * SECOND);
      await pass(8 * SECOND);
      // It comes late, soon after those by its own time.
      write(to(151, 201));
      await scene.pass(4 * SECOND);
      // A further attempt tells of nobody else, and the end of it neither.
      write(
        again(460),
        waits(460),
        again(900),
        to(900, 200),
        `${stamp(900)} mx postfix/qmgr[2]: A1: removed`,
      );
      await pass(750 * SECOND);
      await scene.pass(10 * SECOND);
      await scene.stop();
      assert.equal(scene.place?.lines, scene.log.lines.length, 'nothing is left to be read');
      assert.deepEqual(
        scene.reported.map(({ type, at, queueId, account, recipients, size, further }) => [
          type,
          at,
          queueId,
          account,
          recipients,
          size,
          further,
        ]),
        [
          ['accepted', stamp(0), 'A1', 'alice@example.com', 1, 0, undefined],
          ['accepted', stamp(150), 'A1', 'alice@example.com', 201, 0, true],
          ['accepted', stamp(151), 'A1', 'alice@example.com', 202, 0, true],
        ],
        restarts ? 'it was stopped' : 'it was not stopped',
      );
      assert.deepEqual(scene.told, []);
    }
  });

  test('counts a message whatever its return path is', async () => {
    const scene = new Scene({ inbound: false });
    for (const [index, from] of ['a\u2028b@a.test', `${'x'.repeat(1500)}@a.test`].entries())
      scene.log.lines.push(
        ...message(`A${index}`, 0).map((line) => line.replace(/from=<[^>]*/, `from=<${from}`)),
      );
    scene.log.there = 4;
    scene.start();
    await scene.pass(15 * SECOND);
    scene.clock.skip(2 * MINUTE);
    await scene.pass(2 * SECOND);
    await scene.stop();
    assert.deepEqual(
      scene.reported.map(({ account, returnPath }) => [account, returnPath]),
      [
        ['alice@example.com', 'a\ufffdb@a.test'],
        ['alice@example.com', 'x'.repeat(1024)],
      ],
    );
    assert.deepEqual(scene.told, []);
  });

  test('names a login with control characters as the server does that gets its report, and as an import does', async () => {
    const scene = new Scene();
    scene.log.lines.push(
      ...message('A1', 0).map((line) => line.replace('sasl_username=alice', 'sasl_username=al\0ic\te')),
    );
    scene.log.there = 2;
    scene.start();
    await scene.pass(15 * SECOND);
    await scene.stop();
    assert.deepEqual(
      scene.reported.map(({ account }) => account),
      ['al?ic?e@example.com'],
    );
  });

  test('knows where it has begun though the server has never answered', async () => {
    const scene = new Scene();
    scene.place = undefined;
    scene.isAway = true;
    scene.start();
    await scene.work();
    await scene.stop();
    assert.deepEqual(scene.place, { lines: 0 });
  });

  test('asks for the zone where lines that are written now bear an earlier time, and not of what had waited', async () => {
    const scene = new Scene();
    const lines = (at: number): readonly string[] =>
      [1, 2].map(() => `${new Date(at).toISOString()} mx postfix/qmgr[3]: 4ABCDEFGHI: removed`);
    const write = (at: number): void => {
      scene.log.lines.push(...lines(at));
      scene.log.there = scene.log.lines.length;
    };
    // What had waited is older.
    write(NOON - 60 * MINUTE);
    scene.start();
    await scene.pass(20 * SECOND);
    write(scene.clock.now() - MINUTE);
    await scene.pass(20 * SECOND);
    assert.deepEqual(scene.told, []);
    write(scene.clock.now() - 60 * MINUTE);
    await scene.pass(20 * SECOND);
    await scene.stop();
    assert.match(
      scene.told.join('\n'),
      /^mail\.log: lines that come now bear an earlier time.*--timezone right/,
    );
  });

  test('counts what a log without years says now, though it has more than a year and a line of no time that was', async () => {
    const traditional = (at: number): string => {
      const [, , day, time] = [...new Date(at).toISOString().matchAll(/\d\d+(?:[:.]\d+)*/g)].map(String);
      const month = new Date(at).toLocaleString('en', { month: 'short', timeZone: 'UTC' });
      return `${month} ${day!.replace(/^0/, ' ')} ${time!.slice(0, 8)}`;
    };
    const scene = new Scene();
    const say = (id: string, at: number): void => {
      scene.log.lines.push(...message(id, 0).map((line) => `${traditional(at)}${line.slice(24)}`));
      scene.log.there = scene.log.lines.length;
    };
    const now = scene.clock.now();
    // Read again after a restart.
    for (const days of [420, 300, 1]) say(`B${days}`, now - days * DAY);
    scene.place = { lines: scene.log.there };
    // The server refuses what is of no time, or of long ago.
    scene.log.lines.push(`${traditional(now + 8 * DAY)} mx postfix/qmgr[2]: D1: removed`);
    scene.log.lines.push(`${traditional(now + 20 * DAY)} mx postfix/qmgr[2]: D2: removed`);
    say('A1', now);
    scene.start();
    await scene.pass(15 * SECOND);
    await scene.stop();
    assert.deepEqual(
      scene.reported.filter(({ queueId }) => queueId === 'A1').map(({ at }) => at),
      [new Date(now).toISOString()],
    );
  });

  test('lets hear from it every five minutes, however much it reports, and once a server answers again that may have been started anew', async () => {
    const scene = new Scene();
    let signs = 0;
    scene.answer = (items) => {
      if (items.length === 0) signs++;
      return { results: items.map(() => ({ result: 'recorded' })) };
    };
    scene.start();
    await scene.pass(SECOND);
    assert.equal(signs, 1);
    for (let minute = 0; minute < 10; minute++) {
      const failed = 'SASL PLAIN authentication failed: (reason unavailable), sasl_username=alice';
      scene.log.lines.push(`${stamp(minute * 60)} mx postfix/smtpd[1]: warning: pc[192.0.2.7]: ${failed}`);
      scene.log.there = scene.log.lines.length;
      await scene.pass(MINUTE);
    }
    assert.equal(scene.reported.length, 10);
    assert.equal(signs, 3);
    scene.isAway = true;
    scene.log.lines.push(...message('A1', 600), `${stamp(600)} mx postfix/qmgr[2]: A1: removed`);
    scene.log.there = scene.log.lines.length;
    await scene.pass(10 * SECOND);
    scene.isAway = false;
    await scene.pass(20 * SECOND);
    await scene.stop();
    assert.equal(scene.reported.length, 11);
    assert.equal(signs, 4);
  });

  test('lets hear from it where the log says nothing, and tells what the server refuses and what it cannot read', async () => {
    const scene = new Scene();
    scene.answer = (items) => ({
      results: items.map(() => ({
        result: 'refused',
        errors: [{ field: 'at', message: 'must not be more than a day ago' }],
      })),
    });
    scene.start();
    await scene.pass(SECOND);
    assert.equal(scene.calls, 1);
    await scene.pass(5 * MINUTE);
    assert.equal(scene.calls, 2);
    scene.log.lines.push(...message('A1', 0), 'nonsense', 'nonsense');
    scene.log.there = 4;
    await scene.pass(11 * SECOND);
    await scene.stop();
    assert.deepEqual(scene.told, [
      'mail.log: a line is not understood: no time at its beginning such as Nov 24 03:04:05 or 2026-11-24T03:04:05+01:00',
      'mail.log: the server refused an event: at must not be more than a day ago',
      'mail.log: a line is not understood: no time at its beginning such as Nov 24 03:04:05 or 2026-11-24T03:04:05+01:00',
    ]);
  });
});
