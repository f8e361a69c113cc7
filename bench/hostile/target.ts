import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
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
  readonly policy: number;
  readonly http: number;
  /** The address to speak from. */
  readonly from: string;
  /** Where the files of the server lie. */
  readonly directory: string;
  /** Has the server read files again, and waits until it has; as at other times, or by what is named. */
  read(what: 'reload' | 'certificate' | 'places'): Promise<void>;
  /** Carries out a command beside the server, whose event loop is measured too. */
  command(...args: readonly string[]): Promise<void>;
}

type Ports = Pick<Target, 'submission' | 'inbound' | 'policy' | 'http'>;

/** By role. */
export const TOKENS = { viewer: token('1'), operator: token('2'), admin: token('3') } as const;
function token(digit: string): string {
  return `sgp_${digit.repeat(43)}`;
}

/** The files that are watched, as they are at first. */
export const FILES_AT_FIRST = {
  'users.yaml': JSON.stringify({
    users: [{ name: USER, password: await hashPassword(PASSWORD, { ln: 4, r: 1, p: 1 }) }],
  }),
  'tokens.yaml': JSON.stringify({
    tokens: Object.entries(TOKENS).map(([role, one]) => ({
      name: role,
      role,
      hash: `sha256:${createHash('sha256').update(one).digest('hex')}`,
    })),
  }),
  'rules.yaml': JSON.stringify({ version: 1, mode: 'observe', rules: [] }),
  'overrides.yaml': JSON.stringify({ version: 1, overrides: [] }),
  'senders.yaml': `${USER}: "*@example.test"
`,
};

/** The worst input that somebody found for a door, within its limits, beside ordinary input of the same size. */
export interface Attack {
  readonly door: string;
  readonly worst: string;
  /** Nobody is served by that event loop: no more is asked than that the worst input costs no more than twice the ordinary. */
  readonly isCommand?: true;
  readonly attack: (target: Target) => Promise<void>;
  readonly ordinary: (target: Target) => Promise<void>;
}

/** The whole server in a process of its own, which says how long its event loop was held. */
export class HostileTarget {
  readonly #child: ChildProcess;
  readonly #sink: Running;
  readonly #directory: string;
  readonly #ports: Ports;
  /** By commands, since it was asked last. */
  #held = 0;

  private constructor(child: ChildProcess, sink: Running, directory: string, ports: Ports) {
    this.#child = child;
    this.#sink = sink;
    this.#directory = directory;
    this.#ports = ports;
  }

  static async start(): Promise<HostileTarget> {
    const directory = await mkdtemp(path.join(tmpdir(), 'stopgap-hostile-'));
    const sink = await start('sink.js');
    const config = {
      data: './data',
      api: { listen: '127.0.0.1:0', tokens: './tokens.yaml' },
      rules: './rules.yaml',
      overrides: './overrides.yaml',
      policy: { listen: '127.0.0.1:0' },
      log: { level: 'info' },
      smtp: {
        hostname: 'bench.example.com',
        submission: { listen: '127.0.0.1:0', tls: { mode: 'none' } },
        inbound: { listen: '127.0.0.1:0', domains: ['example.com'], tls: { mode: 'none' } },
        // What is attacked is the work for each attempt, not how many there may be.
        auth: { users: './users.yaml', attemptsPerMinute: 100_000 },
        relay: { url: `smtp://127.0.0.1:${sink.port}` },
        maxRecipients: 1000,
        senders: 'map:./senders.yaml',
      },
    };
    for (const [name, text] of Object.entries({ 'stopgap.yaml': JSON.stringify(config), ...FILES_AT_FIRST }))
      await writeFile(path.join(directory, name), text);
    const child = fork(fileURLToPath(new URL('held.js', import.meta.url)), [], {
      cwd: directory,
      silent: true,
    });
    let said = '';
    child.stderr!.on('data', (text: Buffer) => (said = text.toString('utf8')));
    const began = once(child, 'message') as Promise<[Ports]>;
    const failed = once(child, 'exit').then(() => Promise.reject(new Error(`the server ended: ${said}`)));
    const [ports] = await Promise.race([began, failed]);
    failed.catch(() => undefined);
    return new HostileTarget(child, sink, directory, ports);
  }

  /** The longest that the event loop was held while this ran, in milliseconds. */
  async held(run: (target: Target) => Promise<void>, from: string): Promise<number> {
    await this.#ask('held');
    this.#held = 0;
    await run({
      ...this.#ports,
      from,
      directory: this.#directory,
      read: async (what) => void (await this.#ask(what)),
      command: (...args) => this.#command(args),
    });
    return Math.max(this.#held, Number(await this.#ask('held')));
  }

  async stop(): Promise<void> {
    const gone = once(this.#child, 'exit');
    this.#child.send('stop');
    await gone;
    await this.#sink.stop();
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #command(args: readonly string[]): Promise<void> {
    const script = fileURLToPath(new URL('held-command.js', import.meta.url));
    const child = fork(script, args, { cwd: this.#directory, silent: true });
    child.stdout!.resume();
    child.stderr!.resume();
    const [held] = (await once(child, 'message')) as [number];
    this.#held = Math.max(this.#held, held);
    await once(child, 'exit');
  }

  async #ask(what: string): Promise<unknown> {
    this.#child.send(what);
    return ((await once(this.#child, 'message')) as [unknown])[0];
  }
}
