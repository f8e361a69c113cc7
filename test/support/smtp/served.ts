import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { FOR_SHORT_LIVES } from '../node.js';
import { PROGRAM } from '../program.js';

const BANNER_END = /Stop with Ctrl-C\./;

/** Ports of the system's choice; otherwise as somebody finds it who has configured nothing. */
export const ENVIRONMENT = {
  PATH: process.env['PATH'],
  STOPGAP_SMTP_SUBMISSION_LISTEN: '127.0.0.1:0',
  STOPGAP_API_LISTEN: '127.0.0.1:0',
};

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A directory of its own, gone after the test. */
export async function workDir(t: Pick<TestContext, 'after'>): Promise<string> {
  const dir = await mkdtemp(path.join(tmpdir(), 'stopgap-process-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

export interface ServedOptions {
  /** A descriptor that its standard error goes to instead of to {@link Served.stderr}. */
  readonly stderr?: number;
  /** How many files it may have open. */
  readonly files?: number;
  /** The program, if it is not the one that was compiled here. */
  readonly main?: string;
  /** A program that starts it in its place: its command line comes before ours. */
  readonly through?: readonly string[];
  /** More words on its command line. */
  readonly args?: readonly string[];
}

/** A Stopgap that runs, as who starts it finds it: by its banner and its API. */
export abstract class Running {
  stdout = '';

  /** What the banner says after a word: `submission`, `HTTP`, `password`, `API token`. */
  told(word: string): string {
    const line = new RegExp(`^ {2}${word} +(\\S+)`, 'm').exec(this.stdout);
    assert.ok(line !== null, `the banner says nothing of ${word}:\n${this.stdout}`);
    return line[1]!;
  }

  port(what: 'submission' | 'HTTP'): number {
    return Number(this.told(what).split(':').at(-1));
  }

  /** A request to the API. */
  api(
    method: string,
    resource: string,
    token: string,
    body?: unknown,
    port = this.port('HTTP'),
  ): Promise<Response> {
    return fetch(`http://127.0.0.1:${port}${resource}`, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }
}

/** `stopgap serve` as a process of its own. */
export class Served extends Running {
  readonly child: ChildProcess;
  stderr = '';
  readonly ended: Promise<Ended>;

  private constructor(
    cwd: string,
    env: Readonly<Record<string, string>>,
    { stderr, files, through = [], main = PROGRAM, args = [] }: ServedOptions = {},
  ) {
    super();
    const command: string[] = [...through, process.execPath, ...FOR_SHORT_LIVES, main, 'serve', ...args];
    // Limits of the shell hold for the program that replaces it.
    if (files !== undefined) command.unshift('sh', '-c', `ulimit -n ${files}; exec "$0" "$@"`);
    this.child = spawn(command[0]!, command.slice(1), {
      cwd,
      env: { ...ENVIRONMENT, ...env },
      stdio: ['ignore', 'pipe', stderr ?? 'pipe'],
    });
    this.child.stdout!.on('data', (chunk: Buffer) => (this.stdout += chunk.toString()));
    this.child.stderr?.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
    this.ended = once(this.child, 'close').then(([code, signal]) => ({
      code: code as number | null,
      signal: signal as NodeJS.Signals | null,
      stdout: this.stdout,
      stderr: this.stderr,
    }));
  }

  /** Starts it and waits for nothing; it is killed after the test, should it still be there. */
  static begin(
    t: Pick<TestContext, 'after'>,
    cwd: string,
    env: Readonly<Record<string, string>> = {},
    options: ServedOptions = {},
  ): Served {
    const served = new Served(cwd, env, options);
    t.after(() => served.kill());
    return served;
  }

  /**
   * Starts it and waits for its banner; it is killed after the test, should it still be there.
   */
  static async start(
    t: Pick<TestContext, 'after'>,
    cwd: string,
    env: Readonly<Record<string, string>> = {},
    options: ServedOptions = {},
  ): Promise<Served> {
    const served = Served.begin(t, cwd, env, options);
    await served.announced();
    return served;
  }

  /** Starts it where it is expected to end by itself. */
  static run(cwd: string, env: Readonly<Record<string, string>> = {}): Promise<Ended> {
    return new Served(cwd, env).ended;
  }

  /** Resolves once it has written this, on standard output or in its log; fails where it ends before. */
  async says(text: RegExp): Promise<void> {
    const said = (): boolean => text.test(this.stdout) || text.test(this.stderr);
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        if (said()) resolve();
      };
      this.child.stdout!.on('data', look);
      this.child.stderr?.on('data', look);
      void this.ended.then(({ code }) =>
        reject(new Error(`it ended with ${code} and never said ${String(text)}:\n${this.stderr}`)),
      );
      look();
    });
  }

  /** Resolves when its banner is there; fails where it ends before. */
  announced(): Promise<void> {
    return this.says(BANNER_END);
  }

  /** Its HTTP port, which is open long before the banner. */
  async httpPort(): Promise<number> {
    const line = /"listening":"[^"]*:(\d+)"[^\n]*"msg":"starting"/;
    await this.says(line);
    return Number(line.exec(this.stderr)![1]);
  }

  /** SIGTERM, and how it ended. */
  terminate(): Promise<Ended> {
    this.child.kill('SIGTERM');
    return this.ended;
  }

  /** SIGKILL: no chance to finish anything. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }
}
