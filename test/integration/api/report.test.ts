import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ReportJson } from '../../../src/api/block-report.js';
import { blockReportRoute } from '../../../src/api/block-report-route.js';
import type { ApiRequest } from '../../../src/api/http/route.js';
import { LongReads } from '../../../src/api/long-reads.js';
import { formatInstant, MINUTE, SECOND } from '../../../src/kernel/time.js';
import { newId } from '../../../src/runtime/ids.js';
import { movedStream, sendStream } from '../../../src/sending/events.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import { AS_WRONG_PASSWORD } from '../../../src/smtp/replies.js';
import { ApiServer } from '../../support/api/server.js';
import { changed } from '../../support/store/changed.js';
import { besideServer } from '../cli-client/support.js';
import type { Terminal } from '../cli-client/support.js';

describe('the containment report of a block', () => {
  let server: ApiServer;
  let terminal: Terminal;
  besideServer((both) => ({ server, terminal } = both));

  const reportOf = async (id: string): Promise<ReportJson> => {
    const reply = await server.get(`/api/v1/blocks/${id}/report`, { role: 'viewer' });
    assert.equal(reply.status, 200, reply.text);
    return reply.json as unknown as ReportJson;
  };

  async function refused(account: string, block: string, more: object = {}): Promise<void> {
    const at = server.clock.now();
    const data = {
      account,
      returnPath: account,
      ip: '192.0.2.7',
      direction: 'outbound',
      stage: 'auth',
      block,
      reply: '535 5.7.8 Authentication \u202efailed',
      count: 3,
      since: at - SECOND,
      ...more,
    };
    const event = { id: newId(), type: 'MessageRefused', data, at, by: 'smtp:test' };
    await server.deps.store.append(sendStream(account), [event], 'any');
  }

  /** Two messages, a block, one message that was under way, refusals, a release. */
  async function incident(account: string): Promise<string> {
    await server.sent(account, 1);
    server.clock.advance(20 * MINUTE);
    const id = await server.trip(account, 'block');
    await server.sent(account, 4);
    await refused(account, id);
    server.clock.advance(MINUTE);
    await refused(account, id, { stage: 'rcpt', reply: '451 4.7.1 Try again later' });
    return id;
  }

  test('says what got through, what was stopped, and what clients were told', async () => {
    const account = 'thief@example.com';
    const id = await incident(account);
    const report = await reportOf(id);
    assert.equal(report.block.id, id);
    assert.deepEqual([report.after.messages, report.after.recipients], [1, 4]);
    assert.deepEqual(
      report.stopped.map(({ stage, refusals }) => [stage, refusals]),
      [
        ['auth', 3],
        ['rcpt', 3],
      ],
    );
    assert.deepEqual(
      report.told.map(({ reply }) => reply),
      ['535 5.7.8 Authentication \u202efailed', '451 4.7.1 Try again later'],
    );
    assert.equal(report.coveredUntil, null);
    await server.post(`/api/v1/blocks/${id}/release`, { note: 'called them' });
    const ended = await reportOf(id);
    assert.deepEqual(
      ended.block.history.map(({ type, by }) => [type, by]),
      [
        ['BlockImposed', 'rule:burst@1'],
        ['BlockReleased', 'admin:the-admin'],
      ],
    );
  });

  test('counts what an account sent that turned abnormal long before the last of the others did', async () => {
    const account = 'early@example.com';
    const firstPosition = (await server.deps.store.head()) + 1;
    await server.sent(account, 9);
    server.clock.advance(40 * MINUTE);
    const id = await server.trip(account, 'block', 'together', {
      count: 'accounts',
      window: 30 * MINUTE,
      limit: 4,
      observed: 5,
      firstPosition,
    });
    const { before } = await reportOf(id);
    assert.deepEqual([before?.messages, before?.recipients], [1, 9]);
  });

  test('begins with the day before where an administrator has blocked an account, and says that it counts that alone', async () => {
    await server.sent('byhand@example.com', 9);
    await server.sent('earlier@example.com', 9);
    server.clock.advance(25 * 60 * MINUTE);
    await server.sent('byhand@example.com', 2);
    server.clock.advance(MINUTE);
    const { id } = await server.block('byhand@example.com');
    const { onset, before } = await reportOf(id);
    assert.deepEqual([onset, before?.messages, before?.recipients], [null, 1, 2]);
    const { out } = await terminal.run('block', 'report', id);
    assert.match(out, /^the day before +1 +2 +0 +\d/m);
    const letter = await terminal.run('block', 'report', id, '--text');
    assert.match(letter.out, /^- In the day before we stopped it: 1 message to 2 recipients, /m);
    const { id: earlier } = await server.block('earlier@example.com');
    const report = await terminal.run('block', 'report', earlier);
    assert.match(report.out, /^the day before +0 +0 +0 +- +-$/m);
    const other = await terminal.run('block', 'report', earlier, '--text');
    assert.match(other.out, /^- In the day before we stopped it: 0 messages to 0 recipients$/m);
  });

  test('tells what went past a block from what was under way, in its text too', async () => {
    const { id } = await server.block('gone-past@example.com');
    server.clock.advance(30 * SECOND);
    await server.sent('gone-past@example.com', 2);
    server.clock.advance(28 * MINUTE);
    await server.sent('gone-past@example.com', 60);
    const { after, past, pastWhy } = await reportOf(id);
    assert.deepEqual([after.recipients, past.recipients], [2, 60]);
    const { out } = await terminal.run('block', 'report', id);
    assert.match(out, /^under way +1 +2 /m);
    assert.match(out, /^past the block +1 +60 /m);
    assert.ok(out.includes(pastWhy!), out);
  });

  test('tells held mail that was let go at once from what was under way', async () => {
    const { id } = await server.block('at-once@example.com', { refusal: 'hold' });
    await server.held(id, 'at-once@example.com', 1);
    await server.post(`/api/v1/blocks/${id}/held`, { action: 'release' });
    await server.sent('at-once@example.com', 2, 'q1');
    const { after, letGo } = await reportOf(id);
    assert.deepEqual([after.recipients, letGo], [2, true]);
  });

  test('tells held mail that somebody has let go from what went past a block', async () => {
    const { id } = await server.block('let-go@example.com', { refusal: 'hold' });
    await server.held(id, 'let-go@example.com', 1);
    server.clock.advance(28 * MINUTE);
    await server.post(`/api/v1/blocks/${id}/held`, { action: 'release' });
    await server.sent('let-go@example.com', 2, 'q1');
    await server.sent('let-go@example.com', 60);
    const { after, past, letGo, held } = await reportOf(id);
    assert.deepEqual([after.recipients, past.recipients, letGo, held.sentOn], [2, 60, true, 1]);
    const { out } = await terminal.run('block', 'report', id);
    assert.match(
      out,
      /^Of these 1 was sent while the block was in force, as a mail server has reported; what was let go by hand is listed as held until the hook has released or deleted it\.$/m,
    );
  });

  test('covers a domain, whose mail lies in the streams of its accounts', async () => {
    const { json } = await server.post('/api/v1/blocks', {
      subject: { type: 'domain', value: 'customer.example' },
      duration: '1h',
    });
    await server.sent('one@customer.example', 2);
    await server.sent('two@mail.customer.example', 3);
    await server.sent('two@elsewhere.example', 3);
    const { after } = await reportOf(json.id);
    assert.deepEqual([after.messages, after.recipients], [2, 5]);
  });

  test('says no number of what came before a block by hand of another subject than an account', async () => {
    const subjects = [
      ['domain', 'uncounted.example'],
      ['address', 'one@uncounted.example'],
      ['ip', '192.0.2.7'],
      ['ehlo', 'laptop.example'],
    ] as const;
    await server.sent('one@uncounted.example', 2);
    for (const [type, value] of subjects) {
      const { json } = await server.post('/api/v1/blocks', { subject: { type, value }, duration: '1h' });
      assert.equal((await reportOf(json.id)).before, null, type);
      const { out } = await terminal.run('block', 'report', json.id);
      assert.match(out, /^before the block +- +- +- +- +-$/m);
      assert.match(
        out,
        /^What got through before a block without evidence of mail is counted of an account alone\.$/m,
      );
      const letter = await terminal.run('block', 'report', json.id, '--text');
      assert.doesNotMatch(letter.out, /What was sent|0 messages/, type);
      const advice = {
        domain: /^- Please ask all who send from this domain/m,
        ip: /^- Please look which computer sent this mail/m,
        ehlo: /^- Please look which computer sent this mail/m,
        address: /^About mail from the address/,
      }[type];
      assert.match(letter.out, advice);
      await server.post(`/api/v1/blocks/${json.id}/release`);
    }
  });

  test('tells the customer of no new end where the house has only worded its description anew', async () => {
    const id = await incident('worded@example.com');
    const { code, err } = await terminal.run('block', 'edit', id, '--description', 'for the house');
    assert.equal(code, 0, err);
    const worded = await terminal.run('block', 'report', id, '--text');
    assert.doesNotMatch(worded.out, /extended|shortened/);
    await terminal.run('block', 'edit', id, '--for', '3d');
    const longer = await terminal.run('block', 'report', id, '--text');
    assert.match(longer.out, /our staff extended that$/m);
  });

  test('tells the customer that a wrong password was feigned, also where Dovecot has the login fail', async () => {
    const id = await incident('dove@example.com');
    await server.refused('dove@example.com', id, 'auth', AS_WRONG_PASSWORD);
    const { out } = await terminal.run('block', 'report', id, '--text');
    assert.match(out, /^- that the password was wrong: once, /m);
    assert.match(out, /^- An answer that speaks of a wrong password was ours while mail was stopped/m);
    assert.doesNotMatch(out, /Dovecot/);
  });

  test('counts held mail, and what of it still waits', async () => {
    const { id } = await server.block('held@example.com', { refusal: 'hold' });
    await server.held(id, 'held@example.com', 2);
    assert.deepEqual((await reportOf(id)).held, {
      messages: 2,
      recipients: 4,
      queued: 0,
      waiting: 2,
      decided: null,
      moved: 0,
      sentOn: 0,
      elsewhere: { released: 0, deleted: 0, waiting: 0 },
      others: false,
      unheld: 0,
      full: 0,
    });
  });

  test('says how much of it was deleted already', async () => {
    const value = 'half@example.com';
    const { id } = await server.block(value, { refusal: 'hold' });
    await server.held(id, value, 3);
    const ran = {
      kind: 'hook',
      block: id,
      action: 'delete',
      cause: 1,
      outcome: 'failed',
      output: '',
    } as const;
    const { position } = await server.deps.blockCommands.execute(
      { type: 'account', value },
      { ...ran, asked: 2, acted: 2 },
      { by: 'system:hook' },
    );
    await server.deps.models.reached(position);
    const { out } = await terminal.run('block', 'report', id);
    const told =
      /^Messages that were held: 3, of which 3 are listed as held: 2 of these were deleted already\.$/m;
    assert.match(out, told);
  });

  test('says that a block holds as much as one may, and how much was refused for that', async () => {
    const account = 'full@example.com';
    const { id } = await server.block(account, { refusal: 'hold' });
    const reply = '451 4.7.1 Try again later';
    await refused(account, id, { stage: 'data', reply, unheld: true });
    await refused(account, id, { stage: 'rcpt', reply, unheld: true, full: true, count: 7 });
    const fullOf = async (): Promise<unknown> =>
      ((await server.get(`/api/v1/blocks/${id}/held?limit=1`)).json as { full?: unknown }).full;
    await server.held(id, account, 999);
    assert.equal(await fullOf(), false);
    await server.held(id, account, 1);
    assert.equal(await fullOf(), true);
    const { unheld, full } = (await reportOf(id)).held;
    assert.deepEqual([unheld, full], [10, 7]);
    const { out } = await terminal.run('block', 'report', id);
    assert.match(
      out,
      /^It was refused 7 times since the block held as much as one may \(1,000 messages or 1 GiB\)/m,
    );
    const shown = await terminal.run('block', 'show', id);
    assert.match(
      shown.out,
      /^held: 1000 messages; the block holds as much as one may: more mail is told to come again; the newest 10:$/m,
    );
    const { json } = await server.get(`/api/v1/blocks/${id}/refusals`);
    const items = json['items'] as unknown as readonly { full?: boolean }[];
    assert.deepEqual(
      items.map((item) => item.full),
      [undefined, true],
    );
    const check = await server.get(`/api/v1/check?account=${account}`);
    assert.match(String(check.json['sentence']), /holds it, or refuses what it cannot hold/);
    await server.post(`/api/v1/blocks/${id}/release`, {});
    assert.equal(await fullOf(), false, 'it refuses nothing any more');
  });

  test('says on the command line what could not be held, and what stayed on hold for other blocks', async () => {
    const account = 'filtered@example.com';
    const { id } = await server.block(account, { refusal: 'hold' });
    await refused(account, id, { stage: 'rcpt', reply: 'HOLD' });
    await refused(account, id, { stage: 'data', reply: '451 4.7.1 Try again later', unheld: true });
    await server.held(id, account, 2);
    const subject = { type: 'account', value: account } as const;
    const ran = { kind: 'hook', block: id, action: 'release', cause: 1, outcome: 'done' } as const;
    const { position } = await server.deps.blockCommands.execute(
      subject,
      { ...ran, asked: 0, acted: 0, moved: 2, output: '', through: 1 },
      { by: 'system:hook' },
    );
    await server.deps.models.reached(position);
    const other = await server.block('network@example.com', { refusal: 'hold' });
    await server.held(other.id, account, 2);
    const moved = [0, 1].map((revision) => ({
      id: newId(),
      type: 'HeldMailMoved',
      at: server.clock.now(),
      by: 'system:hook',
      data: { block: id, to: other.id, transaction: `q${revision + 1}`, revision },
    }));
    await server.deps.store.append(movedStream(id), moved, 'any');
    const { out } = await terminal.run('block', 'report', id);
    assert.match(
      out,
      /^Of these 2 stayed on hold for other blocks of their sender, and what becomes of it is decided there: 2 still held\.$/m,
    );
    assert.match(
      out,
      /^Mail that was to be held and could not be was refused 3 times: it has to be sent again\.$/m,
    );
    assert.doesNotMatch(out, /HOLD/);
    const { json } = await server.get(`/api/v1/blocks/${id}/refusals`);
    const items = json['items'] as unknown as readonly { unheld?: boolean }[];
    assert.deepEqual(
      items.map(({ unheld }) => unheld),
      [undefined, true],
    );
  });

  test('is a letter in plain words where text is asked for, without names, notes and limits of the house', async () => {
    const id = await incident('letter@example.com');
    await server.post(`/api/v1/blocks/${id}/release`, { note: 'a secret note' });
    const target = `/api/v1/blocks/${id}/report`;
    const reply = await server.get(target, { headers: { accept: 'text/plain' } });
    assert.equal(reply.headers.get('content-type'), 'text/plain; charset=utf-8');
    assert.equal(reply.headers.get('vary'), 'Accept');
    for (const part of [
      /^About mail from the account letter@example\.com\n\nDear customer,\n\nwe stopped mail from the account letter@example\.com from 2 March 2026 at \d\d:\d\d UTC until /,
      /^- 101 recipients within 10m$/m,
      /^- Already on their way when we stopped it: 1 message to 4 recipients, /m,
      /^- at sign-in: 3 attempts, /m,
      /^- "535 5\.7\.8 Authentication \ufffdfailed": 3 times, /m,
      /it does not mean that the password was wrong\.$/m,
      /our staff let mail pass again$/m,
      /please ask postmaster@example\.com\./,
    ])
      assert.match(reply.text, part);
    for (const secret of ['the-admin', 'a secret note', 'burst', 'allows', '\u202e'])
      assert.ok(!reply.text.includes(secret), secret);
    assert.equal((await server.get(`${target}?format=text`)).text, reply.text);
    const json = await server.get(`${target}?format=json`, { headers: { accept: 'text/plain' } });
    assert.equal(json.json.block.id, id);
    assert.equal((await server.get(`${target}?format=xml`)).json.errors[0].field, 'format');
  });

  test('is shown by the command line, in columns, as JSON and as the letter', async () => {
    const id = await incident('shown@example.com');
    const { out } = await terminal.run('block', 'report', 'shown@example.com');
    assert.match(out, /^state +active$/m);
    assert.match(out, /^GOT THROUGH +MESSAGES +RECIPIENTS +REFUSED BEHIND +FIRST +LAST$/m);
    assert.match(out, /^under way +1 +4 +0 +2026-/m);
    assert.match(out, /^STOPPED AT +REFUSALS +FIRST +LAST\nauth +3 /m);
    assert.match(out, /535 5\.7\.8 Authentication \ufffdfailed$/m);
    const json = JSON.parse((await terminal.run('block', 'report', id, '--json')).out) as ReportJson;
    assert.equal(json.block.id, id);
    const letter = await terminal.run('block', 'report', 'account', 'shown@example.com', '--text');
    assert.match(letter.out, /^About mail from the account shown@example\.com\n/);
    assert.equal((await terminal.run('block', 'report', id, '--text', '--json')).code, 2);
    assert.match((await terminal.run('block', 'report', 'nobody@example.com')).err, /there is no block/);
  });

  test('says until when it counts if there are too many events to read', async () => {
    const id = await incident('flood@example.com');
    const route = blockReportRoute(server.deps, new LongReads(), 2);
    const request = { accepts: () => 'application/json' };
    const whose = { concerns: () => true, caller: { name: 'viewer' }, response: {} };
    const asked = { params: { id }, query: {}, request, ...whose } as unknown as ApiRequest<unknown, unknown>;
    const { body } = (await route.handle(asked))!;
    const { coveredUntil, stopped } = body as ReportJson;
    assert.notEqual(coveredUntil, null);
    assert.ok(stopped.length < 2);
  });

  test('is 404 for no block, and 503 while the store is away', async () => {
    assert.equal((await server.get('/api/v1/blocks/nothing/report')).status, 404);
    let isAway = false;
    const away = (): never => {
      throw new StoreUnavailable('the store is away');
    };
    const other = await ApiServer.start((deps) => ({
      ...deps,
      store: changed(deps.store, {
        readStream: (...asked) => (isAway ? away() : deps.store.readStream(...asked)),
      }),
    }));
    try {
      const { id } = await other.block('away@example.com');
      isAway = true;
      const reply = await other.get(`/api/v1/blocks/${id}/report`);
      assert.deepEqual([reply.status, reply.json.code], [503, 'unavailable']);
    } finally {
      isAway = false;
      await other.stop();
    }
  });

  test('says since when sends are kept, and no number of what is gone', async () => {
    const account = 'longago@example.com';
    const id = await incident(account);
    await server.held(id, account, 2);
    await server.post(`/api/v1/blocks/${id}/release`);
    assert.equal((await reportOf(id)).keptSince, null);
    const { retention } = server.deps;
    server.clock.advance(retention.sends);
    const { keptSince, held } = await reportOf(id);
    assert.equal(keptSince, formatInstant(server.clock.now() - retention.sends));
    assert.deepEqual([held.messages, held.waiting], [2, 2]);
    const { out } = await terminal.run('block', 'report', id);
    assert.match(
      out,
      /^before the block +- +- +- +- +-\nunder way +- +- +- +- +-\npast the block +- +- +- +- +-$/m,
    );
    assert.ok(
      out.endsWith(`was sent and refused before ${keptSince} is not kept any more, and not counted.\n`),
      out,
    );
    const letter = (await terminal.run('block', 'report', id, '--text')).out;
    assert.match(
      letter,
      /^We do not keep single messages of before .* UTC any more: they are not counted here\.$/m,
    );
    assert.doesNotMatch(letter, /What was sent|0 messages/);
  });
});
