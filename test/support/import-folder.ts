import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import type { TestContext } from 'node:test';
import type { CliIo } from '../../src/cli/io.js';
import { run } from '../../src/cli/program.js';
import type { RecordedEvent } from '../../src/kernel/events.js';
import { openSqliteStore } from '../../src/store/sqlite/index.js';
import { NOW } from './logs.js';

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** A folder with a configuration and logs, and a command line in it. */
export class ImportFolder {
  private constructor(readonly cwd: string) {}

  static async open(
    t: TestContext,
    files: Readonly<Record<string, string | Buffer>> = {},
  ): Promise<ImportFolder> {
    const folder = new ImportFolder(await mkdtemp(path.join(tmpdir(), 'stopgap-import-')));
    t.after(() => rm(folder.cwd, { recursive: true, force: true }));
    await folder.write({
      'stopgap.yaml': 'data: ./data\nrules: ./rules.yaml\nsmtp: { relay: { url: smtp://127.0.0.1:25 } }\n',
      'rules.yaml': `version: 1
rules:
  - { id: hour, per: account, count: recipients, window: 1h, limit: 30, then: block, for: 1h }
`,
      ...files,
    });
    return folder;
  }

  async write(files: Readonly<Record<string, string | Buffer>>): Promise<void> {
    for (const [name, content] of Object.entries(files)) await writeFile(this.path(name), content);
  }

  path(name: string): string {
    return path.join(this.cwd, name);
  }

  /** `stopgap import postfix-log …` @param input an error: it cannot be read */
  async import(args: readonly string[], input: string | Buffer | Error = '', now = NOW): Promise<Ran> {
    const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
    const texts = { out: '', err: '' };
    stdout.on('data', (chunk: Buffer) => (texts.out += chunk.toString()));
    stderr.on('data', (chunk: Buffer) => (texts.err += chunk.toString()));
    if (!(input instanceof Error)) stdin.end(input);
    const io: CliIo = {
      stdin: (input instanceof Error ? broken(input) : stdin) as unknown as CliIo['stdin'],
      stdout,
      stderr,
      env: {},
      cwd: this.cwd,
      clock: { now: () => now },
    };
    const code = await run(['import', 'postfix-log', ...args], io);
    stdout.end();
    stderr.end();
    await Promise.all([once(stdout, 'end'), once(stderr, 'end')]);
    return { code, ...texts };
  }

  async events(): Promise<RecordedEvent[]> {
    const store = await openSqliteStore({ file: this.path('data/events.db'), clock: { now: () => NOW } });
    const events: RecordedEvent[] = [];
    for await (const event of store.readAll()) events.push(event);
    await store.close();
    return events;
  }
}

function broken(error: Error): Readable {
  return new Readable({
    read() {
      this.destroy(error);
    },
  });
}
