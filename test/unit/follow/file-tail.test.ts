import assert from 'node:assert/strict';
import {
  appendFile,
  copyFile,
  mkdtemp,
  readdir,
  rename,
  rm,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { FilePlace } from '../../../src/follow/file-tail.js';
import { FileTail } from '../../../src/follow/file-tail.js';
import type { Piece } from '../../../src/follow/follower.js';

/** A log in a folder of its own, with who writes it and who follows it. */
class Scene {
  readonly file: string;
  readonly gaps: string[] = [];
  /** What was said of no file. */
  readonly waits: string[] = [];
  readonly #dir: string;
  /** Where the writer writes, until it opens the log anew. */
  #written: string;
  #time = 1_700_000_000;
  #rotations = 0;
  #reading: AsyncIterator<Piece<FilePlace> | undefined> | undefined;
  place: FilePlace | undefined;
  /** All that was given. */
  read = '';

  private constructor(dir: string) {
    this.#dir = dir;
    this.file = path.join(dir, 'mail.log');
    this.#written = this.file;
  }

  static async of(): Promise<Scene> {
    return new Scene(await mkdtemp(path.join(tmpdir(), 'stopgap-tail-')));
  }

  static async open(t: TestContext): Promise<Scene> {
    const scene = await Scene.of();
    t.after(() => scene.end());
    return scene;
  }

  async write(text: string): Promise<void> {
    await appendFile(this.#written, text);
    await this.#touch(this.#written);
  }

  /** The times of files differ less than those of real logs: they are set. */
  async #touch(file: string): Promise<void> {
    await utimes(file, ++this.#time, this.#time);
  }

  /** @param reopens whether the writer goes on in a new file at once */
  async rotate(how: 'number' | 'date' | 'copy', reopens = true): Promise<void> {
    this.#rotations++;
    const names = await readdir(this.#dir);
    if (!names.includes('mail.log')) return;
    let to = `${this.file}-${20260000 + this.#rotations}`;
    if (how !== 'date') {
      const numbers = names
        .map((name) => Number(/^mail\.log\.(\d+)$/.exec(name)?.[1] ?? 0))
        .sort((a, b) => b - a);
      for (const number of numbers.filter((one) => one > 0)) {
        await rename(`${this.file}.${number}`, `${this.file}.${number + 1}`);
        if (this.#written === `${this.file}.${number}`) this.#written = `${this.file}.${number + 1}`;
      }
      to = `${this.file}.1`;
    }
    if (how === 'copy') {
      await copyFile(this.file, to);
      await this.#touch(to);
      await truncate(this.file);
      await this.#touch(this.file);
    } else {
      await rename(this.file, to);
      if (this.#written === this.file) this.#written = to;
      await writeFile(this.file, '');
      await this.#touch(this.file);
      if (reopens) this.reopen();
    }
  }

  setBack(seconds: number): void {
    this.#time -= seconds;
  }

  reopen(): void {
    this.#written = this.file;
  }

  async next(): Promise<boolean> {
    const tell = (text: string): void =>
      void (text.endsWith('waited for') ? this.waits : this.gaps).push(text);
    this.#reading ??= new FileTail(this.file, tell).follow(this.place);
    const { value } = (await this.#reading.next()) as { value: Piece<FilePlace> | undefined };
    if (value === undefined) return false;
    this.read += value.bytes.toString();
    this.place = JSON.parse(JSON.stringify(value.end)) as FilePlace;
    return true;
  }

  /** Reads all that is there. */
  async readAll(): Promise<void> {
    while (await this.next());
  }

  async restart(): Promise<void> {
    await this.#reading?.return?.();
    this.#reading = undefined;
  }

  async context(): Promise<string> {
    let text = '';
    for await (const bytes of new FileTail(this.file, () => undefined).before(this.place!))
      text += bytes.toString();
    return text;
  }

  async remove(name: string): Promise<void> {
    await rm(path.join(this.#dir, name));
  }

  async end(): Promise<void> {
    await this.restart();
    await rm(this.#dir, { recursive: true, force: true });
  }
}

type Step = 'write' | 'part' | 'number' | 'copy' | 'late' | 'reopen' | 'restart' | 'read' | 'next';

describe('a log file that is followed', () => {
  for (const naming of ['number', 'date'] as const)
    test(`gives each line once, in order, however it is written, rotated (by ${naming}, and by copies) and followed`, async () => {
      const steps = fc.array(
        fc.record({
          step: fc.constantFrom<Step>(
            'write',
            'write',
            'part',
            'number',
            'copy',
            'late',
            'reopen',
            'restart',
            'read',
            'next',
          ),
          size: fc.oneof(fc.integer({ min: 1, max: 80 }), fc.integer({ min: 30_000, max: 70_000 })),
        }),
        { maxLength: 40 },
      );
      await fc.assert(
        fc.asyncProperty(fc.boolean(), steps, async (isThere, all) => {
          const scene = await Scene.of();
          try {
            if (isThere) await scene.write('what was there before\n');
            await scene.next();
            let written = '';
            let isWhole = true;
            let number = 0;
            const write = async (text: string): Promise<void> => {
              written += text;
              isWhole = text.endsWith('\n');
              await scene.write(text);
            };
            const endLine = async (): Promise<void> => (isWhole ? undefined : write(' end\n'));
            for (const { step, size } of all) {
              if (step === 'write') {
                // Lines of up to 60,000 bytes; a log has none that are longer.
                const text = `${isWhole ? `${++number} ` : ''}${'x'.repeat(size % 60_000)}`;
                await write(`${text}\n`);
              } else if (step === 'part') {
                await endLine();
                await write(`${++number} part of`);
              } else if (step === 'number') {
                await endLine();
                await scene.rotate(naming);
              } else if (step === 'copy') {
                if (naming === 'date') continue;
                await endLine();
                scene.reopen();
                await scene.rotate('copy');
              } else if (step === 'late') {
                // Who writes goes on in the renamed file, and opens the new one later.
                await endLine();
                scene.reopen();
                await scene.rotate(naming, false);
              } else if (step === 'reopen') {
                await endLine();
                scene.reopen();
              } else if (step === 'restart') await scene.restart();
              else if (step === 'read') await scene.readAll();
              else await scene.next();
            }
            await endLine();
            await scene.readAll();
            scene.reopen();
            await write('the last\n');
            await scene.readAll();
            assert.equal(scene.read, written);
            assert.deepEqual(scene.gaps, []);
          } finally {
            await scene.end();
          }
        }),
        { numRuns: 60 },
      );
    });

  test('misses no line of a file that was copied and cut before one line of it was whole', async (t) => {
    const scene = await Scene.open(t);
    await scene.next();
    await scene.write('half');
    await scene.readAll();
    await scene.write(' a line\n');
    await scene.rotate('copy');
    await scene.write('the next one\n');
    await scene.readAll();
    assert.equal(scene.read, 'half a line\nthe next one\n');
  });

  test('begins at its end, and gives what comes from then on, also after a restart before the first line', async (t) => {
    const scene = await Scene.open(t);
    await scene.write('old\nhalf');
    await scene.readAll();
    assert.equal(scene.read, '');
    await scene.restart();
    await scene.write(' a line\nnew\n');
    await scene.readAll();
    assert.equal(scene.read, 'half a line\nnew\n');
  });

  test('says that lines are lost where the rest of a rotated file is gone, and goes on with the next one', async (t) => {
    const scene = await Scene.open(t);
    await scene.write('0\n');
    await scene.next();
    await scene.write('1\n');
    await scene.readAll();
    await scene.restart();
    await scene.write('2\n');
    await scene.rotate('number');
    await scene.write('3\n');
    await scene.rotate('number');
    await scene.write('4\n');
    await scene.remove('mail.log.2');
    await scene.readAll();
    assert.equal(scene.read, '1\n3\n4\n');
    assert.match(scene.gaps.join(), /^\S+mail\.log: the file that was read last is gone/);
  });

  test('goes on with the next file where the clock went back and the rotated one is packed at once', async (t) => {
    const scene = await Scene.open(t);
    await scene.write('0\n');
    await scene.next();
    await scene.write('1\n');
    await scene.readAll();
    await scene.write('2\n');
    await scene.rotate('number');
    await scene.remove('mail.log.1');
    scene.setBack(3600);
    await scene.write('');
    await scene.readAll();
    await scene.write('3\n');
    await scene.readAll();
    assert.equal(scene.read, '1\n2\n3\n');
    assert.deepEqual(scene.gaps, []);
  });

  test('reads no rotated file again where the one that was read last is gone and no other has come', async (t) => {
    const scene = await Scene.open(t);
    await scene.write('0\n');
    await scene.next();
    await scene.write('1\n');
    await scene.readAll();
    await scene.rotate('number');
    await scene.write('2\n');
    await scene.readAll();
    await scene.remove('mail.log');
    await scene.readAll();
    assert.equal(scene.read, '1\n2\n');
  });

  test('says once that there is no file, and reads the one that comes', async (t) => {
    const scene = await Scene.open(t);
    await scene.next();
    for (let look = 0; look < 3; look++) assert.equal(await scene.next(), false);
    assert.deepEqual(scene.waits, [`${scene.file} is not there: it is waited for`]);
    await scene.write('1\n');
    await scene.readAll();
    assert.deepEqual([scene.read, scene.waits.length, scene.gaps], ['1\n', 1, []]);
  });

  test('says once that the file is gone that was read before a restart', async (t) => {
    const scene = await Scene.open(t);
    await scene.write('1\n');
    await scene.next();
    await scene.restart();
    await scene.remove('mail.log');
    for (let look = 0; look < 3; look++) assert.equal(await scene.next(), false);
    assert.deepEqual([scene.gaps.length, scene.waits.length], [1, 1]);
  });

  test('is followed where it is cut without a copy, though it grows beyond where it was', async (t) => {
    const scene = await Scene.open(t);
    await scene.write('');
    await scene.next();
    await scene.write('one\n');
    await scene.readAll();
    await truncate(scene.file);
    await scene.write('two is longer\n');
    await scene.readAll();
    assert.equal(scene.read, 'one\ntwo is longer\n');
    assert.equal(scene.gaps.length, 1);
  });

  test('tells what came before a place, from the file before too', async (t) => {
    const scene = await Scene.open(t);
    await scene.write('1\n');
    await scene.next();
    await scene.write('2\n');
    await scene.readAll();
    await scene.rotate('number');
    await scene.write('3\n');
    await scene.readAll();
    await scene.write('4\n');
    assert.equal(await scene.context(), '1\n2\n3\n');
  });

  test('passes a line on in parts that is longer than any of a mail log', async (t) => {
    const scene = await Scene.open(t);
    await scene.write('');
    await scene.next();
    const long = `${'x'.repeat(200_000)}\nnext\n`;
    await scene.write(long);
    await scene.readAll();
    assert.equal(scene.read, long);
  });
});
