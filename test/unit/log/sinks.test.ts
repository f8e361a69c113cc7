import assert from 'node:assert/strict';
import path from 'node:path';
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { Writable } from 'node:stream';
import { describe, test } from 'node:test';
import type { LogSettings } from '../../../src/config/schema.js';
import { asText } from '../../../src/log/levels.js';
import { openLogs } from '../../../src/log/logs.js';
import { openLogKey } from '../../../src/log/pseudonyms.js';
import { LogFile, Losses, RecentLines, standardError } from '../../../src/log/sinks.js';
import { temporaryDirectory } from '../config/helpers.js';

describe('the lines in memory', () => {
  test('are the last ones, bounded by number', () => {
    const recent = new RecentLines(3, 1000);
    for (const line of ['a', 'b', 'c', 'd']) recent.push(line);
    assert.deepEqual(recent.lines, ['b', 'c', 'd']);
  });

  test('and by characters', () => {
    const recent = new RecentLines(100, 10);
    for (const line of ['aaaa', 'bbbb', 'cccc']) recent.push(line);
    assert.deepEqual(recent.lines, ['bbbb', 'cccc']);
    recent.push('d'.repeat(11));
    assert.deepEqual(recent.lines, [], 'one that is too long by itself is not kept');
  });
});

/** Counts, and notes what is told. */
function noted(): { losses: Losses; told: string[] } {
  const told: string[] = [];
  const losses = new Losses({
    lost: (reason) => void told.push(`lost: ${reason}`),
    back: (lines) => void told.push(`back after ${lines}`),
  });
  return { losses, told };
}

describe('a log file', () => {
  test('turns over before it grows beyond its bound, and keeps the one before', (t) => {
    const file = path.join(temporaryDirectory(t), 'logs', 'stopgap.log');
    const log = new LogFile(file, 10, noted().losses, assert.fail);
    for (const line of ['first\n', 'second\n', 'third\n', 'a line longer than all\n', 'last\n'])
      log.write(line);
    log.close();
    assert.equal(readFileSync(file, 'utf8'), 'last\n');
    assert.equal(readFileSync(`${file}.1`, 'utf8'), 'a line longer than all\n');
    assert.equal(statSync(file).mode & 0o777, 0o600);
  });

  test('goes on with what is there', (t) => {
    const file = path.join(temporaryDirectory(t), 'stopgap.log');
    writeFileSync(file, '12345\n');
    const log = new LogFile(file, 10, noted().losses, assert.fail);
    log.write('6789\n');
    log.close();
    assert.equal(readFileSync(`${file}.1`, 'utf8'), '12345\n');
  });

  test('that cannot be written to says so once, and once more when it can', (t) => {
    const directory = path.join(temporaryDirectory(t), 'logs');
    const file = path.join(directory, 'stopgap.log');
    const { losses, told } = noted();
    const log = new LogFile(file, 10, losses, assert.fail);
    log.write('0123456789\n');
    // A file where the folder was: no user can open anything below it.
    rmSync(directory, { recursive: true });
    writeFileSync(directory, '');
    log.write('lost\n');
    log.write('lost\n');
    assert.equal(told.length, 1);
    assert.match(told[0]!, /^lost: ENOTDIR/);
    rmSync(directory);
    mkdirSync(directory);
    log.write('found\n');
    assert.equal(readFileSync(file, 'utf8'), 'found\n');
    assert.deepEqual(told.slice(1), ['back after 2']);
    assert.equal(losses.total, 2);
    log.close();
  });

  test('grows on while it cannot be turned over, says so once, and is turned over once it can', (t) => {
    const file = path.join(temporaryDirectory(t), 'stopgap.log');
    // No file takes the place of a folder.
    mkdirSync(`${file}.1`);
    const { losses, told } = noted();
    const stuck: string[] = [];
    const log = new LogFile(file, 20, losses, (reason) => stuck.push(reason));
    const lines = Array.from({ length: 9 }, (_, n) => `line ${n}\n`);
    for (const line of lines) log.write(line);
    assert.equal(readFileSync(file, 'utf8'), lines.join(''));
    assert.equal(stuck.length, 1);
    assert.match(stuck[0]!, /^EISDIR.*rename/);

    rmdirSync(`${file}.1`);
    log.write('next\n');
    assert.equal(readFileSync(`${file}.1`, 'utf8'), lines.join(''));
    assert.equal(readFileSync(file, 'utf8'), 'next\n');
    rmSync(`${file}.1`);
    mkdirSync(`${file}.1`);
    for (const line of lines) log.write(line);
    assert.equal(stuck.length, 2, 'it is told again after a turnover');
    assert.deepEqual(told, []);
    log.close();
  });

  test('that somebody else has moved is made anew', (t) => {
    const file = path.join(temporaryDirectory(t), 'stopgap.log');
    const { losses, told } = noted();
    const log = new LogFile(file, 10, losses, assert.fail);
    log.write('0123456789\n');
    renameSync(file, `${file}.moved`);
    log.write('first\n');
    assert.equal(readFileSync(file, 'utf8'), 'first\n');
    assert.deepEqual(told, []);
    log.close();
  });

  test('on a full disk loses lines, and nothing else', () => {
    const { losses, told } = noted();
    const log = new LogFile('/dev/full', 1000, losses, assert.fail);
    for (let n = 0; n < 3; n++) log.write('lost\n');
    assert.equal(told.length, 1);
    assert.match(told[0]!, /ENOSPC/);
    assert.equal(losses.total, 3);
  });
});

/** A pipe as Node.js shows it, whose reader can be made to wait. */
class Pipe extends Writable {
  /** Of the reading end, as far as can be told from here: not a file. */
  readonly fd = openSync('/dev/null', 'w');
  readonly taken: string[] = [];
  fault: Error | undefined;
  #waiting: (() => void)[] | undefined;

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error) => void): void {
    const take = (): void => {
      if (this.fault === undefined) this.taken.push(chunk.toString());
      done(this.fault);
    };
    if (this.#waiting === undefined) take();
    else this.#waiting.push(take);
  }

  // Standard error outlives its errors.
  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    done(error);
    (this as unknown as { _undestroy: () => void })._undestroy();
  }

  stall(): void {
    this.#waiting = [];
  }

  async read(): Promise<void> {
    for (const take of this.#waiting ?? []) take();
    while (this.writableLength > 0) {
      await new Promise((resolve) => setImmediate(resolve));
      for (const take of this.#waiting?.splice(0) ?? []) take();
    }
    this.#waiting = undefined;
  }
}

describe('standard error', () => {
  const LINE = `${'x'.repeat(999)}\n`;

  test('that nobody reads keeps a megabyte, loses what comes after it, and says so when it flows again', async () => {
    const pipe = new Pipe();
    const { losses, told } = noted();
    const write = standardError(pipe);
    pipe.stall();
    for (let n = 0; n < 5000; n++) write(LINE, losses);
    assert.ok(pipe.writableLength <= 1_002_000, `${pipe.writableLength} characters are kept`);
    assert.deepEqual(told, ['lost: nobody reads it']);
    await pipe.read();
    assert.deepEqual(told.slice(1), [`back after ${5000 - pipe.taken.length}`]);
    write('and on\n', losses);
    assert.equal(pipe.taken.at(-1), 'and on\n');
    assert.equal(pipe.taken.length + losses.total, 5001, 'each line was taken or counted');
  });

  test('whose reader is gone loses lines until another reads', async () => {
    const pipe = new Pipe();
    const { losses, told } = noted();
    const write = standardError(pipe);
    const settled = (): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, 1));
    pipe.fault = new Error('EPIPE');
    for (let n = 0; n < 3; n++) {
      write(LINE, losses);
      await settled();
    }
    pipe.fault = undefined;
    write(LINE, losses);
    await settled();
    assert.deepEqual(told, ['lost: EPIPE', 'back after 3']);
  });

  test('that is a file gets each line at once', async (t) => {
    const file = path.join(temporaryDirectory(t), 'log');
    const { losses, told } = noted();
    const stream = Object.assign(new Writable(), { fd: openSync(file, 'a') });
    standardError(stream)(LINE, losses);
    assert.equal(readFileSync(file, 'utf8'), LINE);
    closeSync(stream.fd);
    standardError(Object.assign(new Writable(), { fd: openSync(file, 'r') }))(LINE, losses);
    assert.match(told[0]!, /EBADF/, 'and what it does not take is counted');
  });
});

const SETTINGS: LogSettings = {
  level: 'info',
  format: 'json',
  addresses: 'plain',
  key: '/nonexistent/key',
  file: undefined,
  maxFileSize: 1000,
};

describe('the log', () => {
  test('is one JSON object a line, with level, time and component', async () => {
    const out: string[] = [];
    const { levels, recent } = await openLogs(SETTINGS, (text) => void out.push(text));
    levels.of('smtp').info({ account: 'alice@example.com' }, 'a message was taken');
    const { time, ...rest } = JSON.parse(out[0]!) as Record<string, string>;
    assert.match(time!, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.deepEqual(rest, {
      level: 'info',
      component: 'smtp',
      account: 'alice@example.com',
      msg: 'a message was taken',
    });
    assert.deepEqual(recent.lines, out);
  });

  test('escapes what would turn a line round or hide in it, in either format', async () => {
    for (const format of ['json', 'text'] as const) {
      const out: string[] = [];
      const { levels } = await openLogs({ ...SETTINGS, format }, (text) => void out.push(text));
      levels.of('smtp').info({ ehlo: 'mail\u202egro.\u200bknab' }, 'x');
      assert.ok(out[0]!.includes('mail\\u202egro.\\u200bknab'), out[0]);
    }
  });

  test('strikes out what is called a secret, should anybody hand it one', async () => {
    const out: string[] = [];
    const { levels } = await openLogs(SETTINGS, (text) => void out.push(text));
    levels.of('api').info({ password: 'plugh', headers: { authorization: 'Bearer xyzzy' } }, 'x');
    assert.ok(!/plugh|xyzzy/.test(out[0]!), out[0]);
  });

  test('has no line that is longer than anybody reads', async () => {
    const out: string[] = [];
    const { levels } = await openLogs(SETTINGS, (text) => void out.push(text));
    levels.of('files').error({ faults: 'one fault; '.repeat(200_000), what: 'rules' }, 'x');
    assert.ok(out[0]!.length < 5000, `${out[0]!.length} characters`);
    const { faults, what } = JSON.parse(out[0]!) as Record<string, string>;
    assert.match(faults!, / … \(2195\d{3} characters more\)$/);
    assert.equal(what, 'rules');
  });

  test('goes to a file too, in JSON for any format of the terminal', async (t) => {
    const file = path.join(temporaryDirectory(t), 'stopgap.log');
    const out: string[] = [];
    const { levels } = await openLogs({ ...SETTINGS, file, format: 'text' }, (text) => void out.push(text));
    levels.of('rules').info({ rule: 'burst', max: 3 }, 'a rule tripped');
    assert.match(out[0]!, /^\S+Z info {2}rules: a rule tripped rule=burst max=3\n$/);
    assert.equal((JSON.parse(readFileSync(file, 'utf8')) as { rule: string }).rule, 'burst');
  });

  test('says which setting is at fault if the file cannot be', async (t) => {
    const file = path.join(temporaryDirectory(t), 'file');
    writeFileSync(file, '');
    await assert.rejects(
      openLogs({ ...SETTINGS, file: path.join(file, 'x') }, assert.fail),
      /^StopgapError: log\.file: /,
    );
  });

  test('names nobody where addresses are hashed, and the key stays', async (t) => {
    const key = path.join(temporaryDirectory(t), 'data', 'log-key');
    const lineOf = async (): Promise<string> => {
      const out: string[] = [];
      const { levels } = await openLogs(
        { ...SETTINGS, addresses: 'hashed', key },
        (text) => void out.push(text),
      );
      levels.of('smtp').info({ account: 'alice@example.com', error: 'alice@example.com' }, 'x');
      return out[0]!;
    };
    const [first, second] = [await lineOf(), await lineOf()] as const;
    assert.ok(!first.includes('alice'));
    const hash = /"account":"(h:[0-9a-f]{16})"/.exec(first)![1]!;
    assert.ok(second.includes(`"error":"${hash}"`));
    assert.equal(statSync(key).mode & 0o777, 0o600);
  });
});

describe('the key', () => {
  test('is made once, by the first process that comes', async (t) => {
    const file = path.join(temporaryDirectory(t), 'data', 'log-key');
    const keys = await Promise.all(Array.from({ length: 8 }, () => openLogKey(file)));
    assert.equal(new Set(keys.map((key) => key.toString('hex'))).size, 1);
    assert.equal(keys[0]!.length, 32);
    assert.deepEqual(readdirSync(path.dirname(file)), ['log-key']);
  });

  test('is on the disk before it has its name, and its name is before it is used', async (t) => {
    const file = path.join(temporaryDirectory(t), 'log-key');
    const handle = await open(path.dirname(file));
    const prototype = Object.getPrototypeOf(handle) as typeof handle;
    await handle.close();
    const synced: string[] = [];
    t.mock.method(prototype, 'sync', async function (this: typeof handle) {
      const isFile = (await this.stat()).isFile();
      synced.push(`${isFile ? 'file' : 'folder'}, ${existsSync(file) ? 'named' : 'not named'}`);
    });
    await openLogKey(file);
    assert.deepEqual(synced, ['file, not named', 'folder, named']);
  });

  test('that is none is refused, not replaced', async (t) => {
    const file = path.join(temporaryDirectory(t), 'log-key');
    writeFileSync(file, 'short');
    chmodSync(file, 0o600);
    await assert.rejects(openLogKey(file), /log-key: is no key of 32 bytes/);
    assert.equal(readFileSync(file, 'utf8'), 'short');
  });
});

test('a line for people has its fields as logfmt', () => {
  const line = JSON.stringify({
    level: 'warn',
    time: '2027-01-31T08:00:00.000Z',
    component: 'rules',
    subject: { type: 'account', value: 'a' },
    reply: '451 4.3.2 try "later"',
    msg: 'x',
  });
  assert.equal(
    asText(line),
    '2027-01-31T08:00:00.000Z warn  rules: x subject={"type":"account","value":"a"} reply="451 4.3.2 try \\"later\\""\n',
  );
});
