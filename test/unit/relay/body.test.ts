import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fs, { mkdir, open, readdir, readFile, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { MessageBody } from '../../../src/smtp/relay/body.js';
import {
  ClientGone,
  collectBody,
  MessageTooLarge,
  SpoolFailed,
  SpoolFile,
  sweepSpool,
} from '../../../src/smtp/relay/body.js';
import { canonicalLines } from '../../../src/smtp/relay/wire.js';
import { temporaryDir } from '../../support/relay/helpers.js';

async function contentOf(body: MessageBody): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of body.open()) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const LONG = Buffer.from(`${'x'.repeat(98)}\r\n`.repeat(10_000));

describe('collecting a message', () => {
  it('gives back what came, in memory or spooled, any number of times', async (t) => {
    const spoolDir = await temporaryDir(t);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 10 }),
        fc.constantFrom(undefined, 'X-Ours: 1\r\n'),
        fc.integer({ min: 0, max: 100 }),
        async (parts, prefix, memoryLimit) => {
          const chunks = parts.map((part) => Buffer.from(part));
          const content = canonicalLines(Buffer.concat(chunks));
          const whole = Buffer.concat([Buffer.from(prefix ?? ''), content]);
          const body = await collectBody(Readable.from(chunks), {
            spoolDir,
            memoryLimit,
            ...(prefix === undefined ? {} : { prefix: Buffer.from(prefix) }),
          });
          assert.ok((await contentOf(body)).equals(whole));
          assert.ok((await contentOf(body)).equals(whole));
          if (body.buffers !== undefined) assert.ok(Buffer.concat([...body.buffers]).equals(whole));
          assert.equal(body.buffers === undefined, body.spooled);
          if (content.length <= memoryLimit) assert.equal(body.spooled, false);
          assert.equal(body.size, whole.length);
          assert.equal(body.received, Buffer.concat(chunks).length);
          assert.ok(body.headerHead.equals(content));
          assert.equal(
            body.ascii,
            whole.every((byte) => byte < 0x80),
          );
          assert.equal(await body.digest(), createHash('sha256').update(content).digest('hex'));
          await body.dispose();
        },
      ),
      { numRuns: 200 },
    );
    assert.deepEqual(await readdir(spoolDir), []);
  });

  it('keeps up to 256 KiB in memory and spools what is longer, for its owner only, until it is disposed of', async (t) => {
    const spoolDir = join(await temporaryDir(t), 'made', 'for it');
    const short = await collectBody(Readable.from([LONG.subarray(0, 256 * 1024 - 2)]), { spoolDir });
    assert.equal(short.spooled, false);
    const long = await collectBody(Readable.from([LONG, LONG]), {
      spoolDir,
      prefix: Buffer.from('A: b\r\n'),
    });
    assert.equal(long.spooled, true);
    assert.equal(long.size, 2 * LONG.length + 6);
    assert.equal(long.headerHead.length, 64 * 1024);
    const [name] = await readdir(spoolDir);
    assert.equal((await stat(join(spoolDir, name!))).mode & 0o777, 0o600);
    assert.equal((await stat(spoolDir)).mode & 0o777, 0o700);
    await long.dispose();
    await long.dispose();
    assert.deepEqual(await readdir(spoolDir), []);
  });

  it('holds and writes what comes in many small pieces in few larger ones', async (t) => {
    const spoolDir = await temporaryDir(t);
    const piece = Buffer.from('a\r\n');
    const small = (count: number): Readable => Readable.from(Array.from({ length: count }, () => piece));
    const held = await collectBody(small(20_000), { spoolDir });
    assert.ok((await contentOf(held)).equals(Buffer.from('a\r\n'.repeat(20_000))));
    assert.ok(held.buffers!.length < 150, `${held.buffers!.length} buffers`);
    const write = t.mock.method(SpoolFile.prototype, 'write');
    const spooled = await collectBody(small(100_000), { spoolDir, memoryLimit: 1000 });
    assert.ok((await contentOf(spooled)).equals(Buffer.from('a\r\n'.repeat(100_000))));
    assert.ok(write.mock.callCount() < 10, `${write.mock.callCount()} writes`);
    await Promise.all([held.dispose(), spooled.dispose()]);
  });

  it('holds a fast client back while the spool is written', async (t) => {
    const spoolDir = await temporaryDir(t);
    const stream = new PassThrough();
    const body = collectBody(stream, { spoolDir });
    let length = 0;
    for (let i = 0; i < 20; i++) {
      length += LONG.length;
      if (!stream.write(LONG)) await new Promise((resolve) => stream.once('drain', resolve));
    }
    stream.end();
    const collected = await body;
    assert.equal(collected.size, length);
    assert.equal((await contentOf(collected)).length, length);
    await collected.dispose();
  });

  it('rejects if the spool cannot be written, and reads the rest of the message', async (t) => {
    const dir = await temporaryDir(t);
    await writeFile(join(dir, 'file'), '');
    const stream = Readable.from([LONG, LONG, LONG]);
    await assert.rejects(collectBody(stream, { spoolDir: join(dir, 'file') }), SpoolFailed);
    if (!stream.readableEnded) await new Promise((resolve) => stream.once('end', resolve));
    assert.equal(stream.readableEnded, true);
  });

  it(
    'rejects on a full disk',
    { skip: process.platform !== 'linux' && '/dev/full is there on Linux only' },
    async (t) => {
      const dir = await temporaryDir(t);
      // A file cannot be made on a full disk at will; the device that is always full replaces it.
      await symlink('/dev/full', join(dir, 'full'));
      const spool = new SpoolFile(join(dir, 'full'), await open(join(dir, 'full'), 'r+'));
      await assert.rejects(
        spool.write([LONG]),
        (error) => error instanceof SpoolFailed && /ENOSPC/.test(error.message),
      );
      await spool.remove();
    },
  );

  it('leaves what is left of a disk to others, and goes on where there is room again', async (t) => {
    const spoolDir = await temporaryDir(t);
    const disk = { bsize: 4096, blocks: 1_000_000, bavail: 60_000 };
    const statfs = t.mock.method(fs, 'statfs', () => Promise.resolve(disk));
    const long = (): Promise<MessageBody> => collectBody(Readable.from([LONG, LONG]), { spoolDir });
    await (await long()).dispose();
    disk.bavail = 40_000;
    await assert.rejects(
      long(),
      (error) => error instanceof SpoolFailed && /the disk is nearly full/.test(error.message),
    );
    // Of a large disk the share would be more than anybody needs.
    disk.blocks = 1_000_000_000;
    disk.bavail = 300_000;
    await (await long()).dispose();
    assert.deepEqual(await readdir(spoolDir), []);
    const looks = statfs.mock.callCount();
    const stream = Readable.from(Array.from({ length: 5 }, () => LONG));
    await (await collectBody(stream, { spoolDir })).dispose();
    assert.ok(statfs.mock.callCount() - looks <= 6, 'the disk is looked at once a megabyte');
  });

  it('rejects a message that is larger than it may be, and reads the rest of it', async (t) => {
    const spoolDir = await temporaryDir(t);
    const stream = Readable.from([LONG, LONG, LONG]);
    await assert.rejects(collectBody(stream, { spoolDir, maxSize: LONG.length + 1 }), MessageTooLarge);
    if (!stream.readableEnded) await new Promise((resolve) => stream.once('end', resolve));
    assert.deepEqual(await readdir(spoolDir), [], 'nothing is left in the spool');
  });

  for (const error of [undefined, new Error('reset')]) {
    it(`rejects if the client goes away ${error === undefined ? 'quietly' : 'with an error'}`, async (t) => {
      const spoolDir = await temporaryDir(t);
      const stream = new PassThrough();
      const body = collectBody(stream, { spoolDir });
      stream.write(LONG);
      stream.destroy(error);
      await assert.rejects(body, ClientGone);
      assert.deepEqual(await readdir(spoolDir), []);
    });
  }

  it('says so if the spool file has lost its end', async (t) => {
    const spoolDir = await temporaryDir(t);
    const body = await collectBody(Readable.from([LONG]), { spoolDir });
    await truncate(join(spoolDir, (await readdir(spoolDir))[0]!), 100);
    await assert.rejects(contentOf(body), SpoolFailed);
    await assert.rejects(body.digest(), SpoolFailed);
    await body.dispose();
  });
});

describe('sweeping the spool', () => {
  it('removes what a killed process left, and nothing else', async (t) => {
    const spoolDir = join(await temporaryDir(t), 'spool');
    assert.equal(await sweepSpool(spoolDir), 0);
    await mkdir(spoolDir);
    await writeFile(join(spoolDir, 'notes.txt'), 'mine');
    const left = await collectBody(Readable.from([LONG]), { spoolDir });
    assert.equal((await readdir(spoolDir)).length, 2);
    assert.equal(await sweepSpool(spoolDir), 1);
    assert.equal(await readFile(join(spoolDir, 'notes.txt'), 'utf8'), 'mine');
    await left.dispose(); // closes the file, which is not there any more
  });
});
