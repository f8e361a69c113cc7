import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { hashPassword } from '../../src/accounts/passwords.js';
import { PASSWORD, USER, start } from '../smtp/processes.js';
import type { Running } from '../smtp/processes.js';

/** What an attack is aimed at. */
export interface Target {
  /** Loopback ports. */
  readonly submission: number;
  readonly inbound: number;
  readonly http: number;
}

/** The worst input that somebody found for a door, within its limits, beside ordinary input of the same size. */
export interface Attack {
  readonly door: string;
  readonly worst: string;
  readonly attack: (target: Target) => Promise<void>;
  readonly ordinary: (target: Target) => Promise<void>;
}

/** The whole server in a process of its own, which says how long its event loop was held. */
export class HostileTarget implements Target {
  readonly submission: number;
  readonly inbound: number;
  readonly http: number;
  readonly #child: ChildProcess;
  readonly #sink: Running;
  readonly #directory: string;

  private constructor(child: ChildProcess, sink: Running, directory: string, ports: Target) {
    this.#child = child;
    this.#sink = sink;
    this.#directory = directory;
    ({ submission: this.submission, inbound: this.inbound, http: this.http } = ports);
  }

  static async start(): Promise<HostileTarget> {
    const directory = await mkdtemp(path.join(tmpdir(), 'stopgap-hostile-'));
    const sink = await start('sink.js');
    const config = {
      data: './data',
      api: { listen: '127.0.0.1:0' },
      rules: './rules.yaml',
      log: { level: 'info' },
      smtp: {
        hostname: 'bench.example.com',
        submission: { listen: '127.0.0.1:0', tls: { mode: 'none' } },
        inbound: { listen: '127.0.0.1:0', domains: ['example.com'], tls: { mode: 'none' } },
        // What is attacked is the work for each attempt, not how many there may be.
        auth: { users: './users.yaml', attemptsPerMinute: 100_000 },
        relay: { url: `smtp://127.0.0.1:${sink.port}` },
        maxRecipients: 1000,
      },
    };
    const users = [{ name: USER, password: await hashPassword(PASSWORD, { ln: 4, r: 1, p: 1 }) }];
    for (const [name, value] of [
      ['stopgap.yaml', config],
      ['users.yaml', { users }],
      ['rules.yaml', { version: 1, mode: 'observe', rules: [] }],
    ] as const)
      await writeFile(path.join(directory, name), JSON.stringify(value));
    const child = fork(fileURLToPath(new URL('held.js', import.meta.url)), [], {
      cwd: directory,
      silent: true,
    });
    child.stderr!.resume();
    const [ports] = (await once(child, 'message')) as [Target];
    return new HostileTarget(child, sink, directory, ports);
  }

  /** The longest that the event loop was held while this ran, in milliseconds. */
  async held(run: (target: Target) => Promise<void>): Promise<number> {
    await this.#ask();
    await run(this);
    return this.#ask();
  }

  async stop(): Promise<void> {
    const gone = once(this.#child, 'exit');
    this.#child.send('stop');
    await gone;
    await this.#sink.stop();
    await rm(this.#directory, { recursive: true, force: true });
  }

  /** What was held since it was asked last. */
  async #ask(): Promise<number> {
    this.#child.send('held');
    const [held] = (await once(this.#child, 'message')) as [number];
    return held;
  }
}
