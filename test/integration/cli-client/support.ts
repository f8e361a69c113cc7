import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { after, before } from 'node:test';
import type { CliIo } from '../../../src/cli/io.js';
import { run } from '../../../src/cli/program.js';
import type { Clock } from '../../../src/kernel/time.js';
import { ApiServer, TOKENS } from '../../support/api/server.js';

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs command lines in this process, in a directory of their own. */
export class Terminal {
  private constructor(
    readonly cwd: string,
    readonly env: Record<string, string>,
    readonly clock: Clock,
  ) {}

  static async open(clock: Clock, env: Record<string, string> = {}): Promise<Terminal> {
    return new Terminal(await mkdtemp(path.join(os.tmpdir(), 'stopgap-cli-')), env, clock);
  }

  /** One that may do everything on this server. */
  static at(server: ApiServer): Promise<Terminal> {
    return Terminal.open(server.clock, { STOPGAP_URL: server.url, STOPGAP_TOKEN: TOKENS.admin });
  }

  /** The same in another folder, which is not this one's to remove. */
  in(cwd: string): Terminal {
    return new Terminal(cwd, this.env, this.clock);
  }

  run(...args: string[]): Promise<Ran> {
    return this.#run(process.stdin, args);
  }

  /** Runs it with this on its standard input. */
  piped(input: Iterable<Buffer | string>, ...args: string[]): Promise<Ran> {
    return this.#run(Readable.from(input) as unknown as CliIo['stdin'], args);
  }

  async #run(stdin: CliIo['stdin'], args: readonly string[]): Promise<Ran> {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const io: CliIo = {
      stdin,
      stdout,
      stderr,
      env: this.env,
      cwd: this.cwd,
      clock: this.clock,
    };
    const code = await run(args, io);
    const text = (stream: PassThrough): string => ((stream.read() as Buffer | null) ?? '').toString();
    return { code, out: text(stdout), err: text(stderr) };
  }

  async close(): Promise<void> {
    await rm(this.cwd, { recursive: true });
  }
}

/** A server, and a terminal of somebody who may do everything on it. */
interface Beside {
  readonly server: ApiServer;
  readonly terminal: Terminal;
}

/** Both for the tests of one suite: there from its first test to its last. */
export function besideServer(begin: (both: Beside) => unknown): void {
  let both: Beside;
  before(async () => {
    const server = await ApiServer.start();
    both = { server, terminal: await Terminal.at(server) };
    await begin(both);
  });
  after(async () => {
    await both.terminal.close();
    await both.server.stop();
  });
}
