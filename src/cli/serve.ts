import type { Command } from 'commander';
import { loadConfig } from '../config.js';
import { messageOf, StopgapError } from '../kernel/errors.js';
import { SECOND } from '../kernel/time.js';
import { openLogs } from '../log/logs.js';
import { standardError } from '../log/sinks.js';
import { libraryFault } from '../store/sqlite/inspect.js';
import { systemClock } from '../runtime/system-clock.js';
import { banner } from './banner.js';
import type { ConfigOption } from './config-option.js';
import { withConfig } from './config-option.js';
import type { CliIo } from './io.js';
import { note, print } from './io.js';
import { ownPackage } from './version.js';

/** The process is to be gone by then, whatever still hangs. */
const DEADLINE = 10 * SECOND;
/** What is still open when all has been said (a client that waits for its server, say) keeps the process no longer. */
const LEFT_WITHIN = SECOND;

/** `stopgap serve`: runs until SIGTERM or SIGINT, which drain. */
export function serveVerb(program: Command, io: CliIo): void {
  const serve = program.command('serve').description('run Stopgap');
  withConfig(serve)
    .option('--new-store', 'begin with an empty events.db, although snapshots show that there was another')
    .action(async (options: ConfigOption & { readonly newStore?: boolean }) => {
      const loaded = loadConfig({ file: options.config, env: io.env, cwd: io.cwd });
      for (const warning of loaded.warnings) note(io, `stopgap: warning: ${warning}`);
      const fault = libraryFault();
      if (fault !== undefined) note(io, `stopgap: warning: ${fault.detail}; ${fault.remedy}`);
      // Logs go to standard error, so that the banner can be read and the log be piped.
      const logs = await openLogs(loaded.config.log, standardError(process.stderr));
      // A banner that nobody can read, or that there is no room for, is no reason not to run.
      process.stdout.removeAllListeners('error').on('error', () => undefined);
      const log = logs.levels.of('app');
      // From the beginning: left alone, the signal would end the process.
      process.on('SIGUSR2', () => logs.levels.toggleDebug('signal:SIGUSR2'));
      // The whole server is loaded for this verb alone: the others start in a fraction of the time.
      const { startApp } = await import('../app.js');
      const ending = new Ending();
      try {
        const starting = startApp({
          ...{ loaded, clock: systemClock, logs, newStore: options.newStore },
          onFatal: (error) => ending.fail(error),
        });
        const app = await Promise.race([starting, ending.why]);
        if (typeof app === 'string') {
          // Whatever was begun may be cut off at any moment: nothing is promised to anybody yet.
          log.info({ why: app }, 'stopping before it had started');
          if (ending.failure === undefined) process.exit(0);
          // What somebody has to mend is told as it is, without calling it a fault of ours.
          if (ending.failure instanceof StopgapError) throw ending.failure;
          throw new Error(`the start failed: ${messageOf(ending.failure)}`);
        }
        print(io, banner(loaded, app));
        const listening = app.listening.map(({ what, address }) => `${what} ${address}`);
        log.info(
          { version: ownPackage().version, node: process.version, pid: process.pid, listening },
          'started',
        );
        // A terminal that is closed still ends what was started in it.
        if (!process.stdout.isTTY)
          process.on('SIGHUP', () => {
            log.info('files are taken over as they are, on SIGHUP');
            app.reload().catch((error: unknown) => ending.fail(error));
          });
        const why = await ending.why;
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
        if (ending.failure !== undefined) throw new Error(`stopped by a fault: ${messageOf(ending.failure)}`);
      } finally {
        setTimeout(() => process.exit(), LEFT_WITHIN).unref();
      }
    });
}

/** Waits for whatever ends the process: a signal, from the first moment on, or a fault. */
class Ending {
  failure: unknown;
  #resolve!: (why: string) => void;
  readonly why = new Promise<string>((resolve) => (this.#resolve = resolve));

  constructor() {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => this.#resolve(name));
  }

  fail(error: unknown): void {
    this.failure ??= error;
    this.#resolve('fault');
  }
}
