import path from 'node:path';
import { setFlagsFromString } from 'node:v8';
import type { Command } from 'commander';
import type { RunningApp } from '../app.js';
import type { LoadedConfig } from '../config.js';
import { loadConfig } from '../config.js';
import { relaysOf } from '../config/schema.js';
import { StopgapError, messageOf } from '../kernel/errors.js';
import { SECOND } from '../kernel/time.js';
import { openLogs } from '../log/logs.js';
import { standardError } from '../log/sinks.js';
import { systemClock } from '../runtime/clock.js';
import { ownPackage } from '../runtime/version.js';
import { libraryFault } from '../store/sqlite/library.js';
import type { CliIo } from './io.js';
import { note, print } from './io.js';
import type { ConfigOption } from './options.js';
import { withConfig } from './options.js';

/** The process ends within this time, even if something hangs. */
const DEADLINE = 10 * SECOND;
/** Open connections of clients, and who does not read what it says, keep the process no longer than this. */
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
      // Stopgap runs even if its banner cannot be written.
      process.stdout.removeAllListeners('error').on('error', () => undefined);
      const log = logs.levels.of('app');
      // Set at once, as that of SIGHUP: without a handler the signal ends the process.
      process.on('SIGUSR2', () => logs.levels.toggleDebug('signal:SIGUSR2'));
      // In a terminal SIGHUP keeps its meaning: the terminal is closed, so the process ends.
      let reload = (): void => void (isReloadAsked = true);
      let isReloadAsked = false;
      if (!process.stdout.isTTY) process.on('SIGHUP', () => reload());
      // By default the heap may grow to several times what is in use before it is collected, which is memory that others lack.
      setFlagsFromString('--heap-growing-percent=100');
      // Only this verb loads the whole server, so that the others start fast.
      const { startApp } = await import('../app.js');
      const ending = new Ending();
      try {
        const starting = startApp({
          loaded,
          clock: systemClock,
          logs,
          newStore: options.newStore,
          onFatal: (error) => ending.fail(error),
        });
        const app = await Promise.race([starting, ending.why]);
        if (typeof app === 'string') {
          // The start may be cut off at any moment: nothing was promised to a client yet.
          log.info({ why: app }, 'stopping before it had started');
          if (ending.failure === undefined) process.exit(0);
          // An error that the administrator can mend is not reported as a fault of Stopgap.
          if (ending.failure instanceof StopgapError) throw ending.failure;
          throw new Error(`the start failed: ${messageOf(ending.failure)}`);
        }
        print(io, banner(loaded, app));
        const listening = app.listening.map(({ what, address }) => `${what} ${address}`);
        log.info(
          { version: ownPackage().version, node: process.version, pid: process.pid, listening },
          'started',
        );
        reload = () => {
          log.info('files are taken over as they are, on SIGHUP');
          app.reload().catch((error: unknown) => ending.fail(error));
        };
        if (isReloadAsked) reload();
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

/** Waits for the end of the process: a signal or a fault. */
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

/** What listens where, and what to try next. */
export function banner({ config, evaluation: evaluating, file }: LoadedConfig, app: RunningApp): string {
  const shown = (target: string): string => {
    const relative = path.relative(process.cwd(), target);
    return relative.startsWith('..') ? target : `./${relative}`;
  };
  const lines = [
    '',
    `Stopgap is running${evaluating ? ' an evaluation set-up: nothing leaves this machine' : ''}.`,
    '',
    ...app.listening.map(({ what, address }) => `  ${what.padEnd(12)}${address}`),
    `  ${'data'.padEnd(12)}${shown(config.data)}`,
    ...(config.roles.includes('smtp') ? relaysOf(config) : []).map(
      ({ relay }, index) =>
        `  ${(index === 0 ? 'mail to' : 'inbound to').padEnd(12)}${relayText(relay.target, shown)}`,
    ),
    `  ${'rules'.padEnd(12)}${rulesText(app.rules, config.rules, shown)}`,
    ...(file === undefined ? [] : [`  ${'configured'.padEnd(12)}${shown(file)}`]),
  ];
  const [away, ...others] = app.unanswered;
  if (away !== undefined) {
    const isOneOfTwo = others.length === 0 && relaysOf(config).length > 1;
    const which = !isOneOfTwo
      ? ''
      : away === 'inbound'
        ? ' that takes what arrives'
        : ' that takes submissions';
    lines.push(
      '',
      `The mail server behind${which} does not answer: until it does, clients are told to try again later.`,
    );
  }
  const { evaluation, firstLink } = app;
  // Not in the log: that may be kept, and sent elsewhere.
  if (firstLink !== undefined)
    lines.push(
      '',
      'Nobody has the role admin yet. This link makes the first administrator, once:',
      `  ${firstLink}`,
    );
  if (evaluation !== undefined) {
    lines.push('');
    if (evaluation.password !== undefined) {
      lines.push(`  account     ${evaluation.account}`, `  password    ${evaluation.password}`);
    }
    if (evaluation.token !== undefined) lines.push(`  API token   ${evaluation.token} (administrator)`);
    if (evaluation.credentialsKept) {
      const where = shown(evaluation.credentialsFile);
      lines.push(
        evaluation.token === undefined
          ? `  credentials are in ${where}`
          : `  shown this once; kept in ${where}`,
      );
    }
    const http = app.listening.find(({ what }) => what === 'HTTP');
    if (http !== undefined)
      lines.push('', `The page: http://${http.address}/ (one click signs you in on this machine).`);
    lines.push(
      '',
      'Try, in another terminal:',
      '  npx stopgap simulate            one account is phished: watch it being contained',
      '  npx stopgap block list          what is blocked, and why',
      '  npx stopgap check --account demo@example.com',
    );
  }
  lines.push('', 'Stop with Ctrl-C.', '');
  return lines.join('\n');
}

function rulesText(
  { version, origin }: RunningApp['rules'],
  file: string | undefined,
  shown: (file: string) => string,
): string {
  if (version === 0) return 'none yet: a process with the role detector puts them in force';
  const origins: Readonly<Record<typeof origin, string>> = {
    defaults: 'built in',
    file: file === undefined ? 'from a file' : shown(file),
    api: 'set through the API',
    shadow: 'promoted from the shadow',
  };
  return `version ${version} (${origins[origin]})`;
}

function relayText(
  target: LoadedConfig['config']['smtp']['relay']['target'],
  shown: (file: string) => string,
): string {
  if ('maildir' in target) return `${shown(target.maildir)} (Maildir)`;
  const { protocol } = target;
  const at = target.address;
  return 'path' in at ? `${protocol} ${at.path}` : `${protocol} ${at.host}:${at.port}`;
}
