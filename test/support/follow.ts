import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { tokenOf } from './policy/token.js';
import type { Stopgap } from './smtp/stopgap.js';
import { PROGRAM } from './program.js';

export interface FollowingOptions {
  readonly args: readonly string[];
  readonly state: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** `stopgap follow` as a process of its own. */
export class Following {
  stderr = '';
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.stderr!.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
    this.#ended = once(child, 'close');
  }

  /** Starts it, against a running Stopgap. */
  static async start(
    t: Pick<TestContext, 'after'>,
    stopgap: Stopgap,
    { args, state, env = {} }: FollowingOptions,
  ): Promise<Following> {
    const child = spawn(process.execPath, [PROGRAM, 'follow', ...args, '--state', state], {
      cwd: stopgap.dir,
      env: {
        PATH: process.env['PATH'],
        STOPGAP_URL: `http://127.0.0.1:${stopgap.port('HTTP')}`,
        STOPGAP_TOKEN: await tokenOf(stopgap, `follower-${Math.random().toString(36).slice(2)}`),
        ...env,
      },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const following = new Following(child);
    t.after(() => following.kill());
    return following;
  }

  /** SIGTERM. @returns the exit code */
  async stop(): Promise<number | null> {
    this.#child.kill('SIGTERM');
    await this.#ended;
    return this.#child.exitCode;
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }
}
