import type { Command } from 'commander';
import { loadConfig } from '../config.js';
import { messageOf } from '../kernel/errors.js';
import { SECOND } from '../kernel/time.js';
import { openLogs } from '../log/logs.js';
import { standardError } from '../log/sinks.js';
import { systemClock } from '../system-clock.js';
import { banner } from './banner.js';
import type { ConfigOption } from './config-option.js';
import { withConfig } from './config-option.js';
import type { CliIo } from './io.js';
import { note, print } from './io.js';
import { ownPackage } from './version.js';

/** The process is to be gone by then, whatever still hangs. */
const DEADLINE = 10 * SECOND;

/** `stopgap serve`: runs until SIGTERM or SIGINT, which drain. */
export function serveVerb(program: Command, io: CliIo): void {
  const serve = program.command('serve').description('run Stopgap');
  withConfig(serve).action(async (options: ConfigOption) => {
    const loaded = loadConfig({ file: options.config, env: io.env, cwd: io.cwd });
    for (const warning of loaded.warnings) note(io, `stopgap: warning: ${warning}`);
    // Logs go to standard error, so that the banner can be read and the log be piped.
    const logs = await openLogs(loaded.config.log, standardError(process.stderr));
    // A banner that nobody can read, or that there is no room for, is no reason not to run.
    process.stdout.removeAllListeners('error').on('error', () => undefined);
    const log = logs.levels.of('app');
    // From the beginning: left alone, the signal would end the process.
    process.on('SIGUSR2', () => logs.levels.toggleDebug('signal:SIGUSR2'));
    // The whole server is loaded for this verb alone: the others start in a fraction of the time.
    const { startApp } = await import('../app.js');
    const ended = new Ending();
    const app = await startApp({ loaded, clock: systemClock, logs, onFatal: (error) => ended.fail(error) });
    // Before anybody can read that it runs, and end it.
    const signalled = ended.signal();
    print(io, banner(loaded, app));
    const listening = app.listening.map(({ what, address }) => `${what} ${address}`);
    log.info(
      { version: ownPackage().version, node: process.version, pid: process.pid, listening },
      'started',
    );
    const why = await signalled;
    log.info({ why }, 'stopping: sessions under way may finish');
    const guard = setTimeout(
      () => {
        log.error('stopping took too long');
        process.exit(1);
      },
      DEADLINE - SECOND / 2,
    );
    await app.stop();
    clearTimeout(guard);
    log.info('stopped');
    // What still keeps the process is a reader that leaves the log unread.
    setTimeout(() => process.exit(), SECOND).unref();
    if (ended.failure !== undefined) throw new Error(`stopped by a fault: ${messageOf(ended.failure)}`);
  });
}

/** Waits for whatever ends the process. */
class Ending {
  failure: unknown;
  #resolve: ((why: string) => void) | undefined;
  readonly #ended = new Promise<string>((resolve) => (this.#resolve = resolve));

  fail(error: unknown): void {
    this.failure ??= error;
    this.#resolve?.('fault');
  }

  async signal(): Promise<string> {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => this.#resolve?.(name));
    return this.#ended;
  }
}
