import { Command, CommanderError } from 'commander';
import { pathFault } from '../accounts/private-file.js';
import { messageOf, StopgapError } from '../kernel/errors.js';
import { printableLines } from '../kernel/printable.js';
import { backtestVerb } from './backtest/verb.js';
import { blockVerb } from './block.js';
import { bounceVerb } from './bounce/verb.js';
import { changesVerb } from './changes.js';
import { checkVerb } from './check.js';
import { completionVerb } from './completion.js';
import { configVerb } from './config.js';
import { eventsVerb } from './events.js';
import { feignedVerb } from './feigned.js';
import { followVerb } from './follow.js';
import { forgetVerb } from './forget.js';
import type { CliIo } from './io.js';
import { ExitWith, inOneLine, note, print } from './io.js';
import { exemptVerb } from './exempt.js';
import { importVerb } from './import/verb.js';
import { doctorVerb } from './doctor/verb.js';
import { logVerb } from './log.js';
import { notifyVerb } from './notify.js';
import { outboxVerb } from './outbox.js';
import { overrideVerb } from './override.js';
import { rulesVerb } from './rules.js';
import { saslProxyVerb } from './sasl-proxy.js';
import { senderVerb } from './sender.js';
import { serveVerb } from './serve.js';
import { simulateVerb } from './simulate/verb.js';
import { storageVerb } from './storage.js';
import { supportBundleVerb } from './support-bundle/verb.js';
import { adminVerb } from './admin.js';
import { tokenVerb } from './token.js';
import { userVerb } from './user.js';
import { ownVersion } from '../runtime/version.js';

/** Adds one verb with its options and action. */
export type Verb = (program: Command, io: CliIo) => void;

/** Every verb, in the order of the help. */
const VERBS: readonly Verb[] = [
  serveVerb,
  configVerb,
  blockVerb,
  senderVerb,
  checkVerb,
  feignedVerb,
  rulesVerb,
  exemptVerb,
  overrideVerb,
  changesVerb,
  eventsVerb,
  forgetVerb,
  backtestVerb,
  userVerb,
  tokenVerb,
  notifyVerb,
  adminVerb,
  logVerb,
  outboxVerb,
  storageVerb,
  doctorVerb,
  supportBundleVerb,
  saslProxyVerb,
  followVerb,
  bounceVerb,
  importVerb,
  simulateVerb,
  completionVerb,
];

const EXIT = { ok: 0, failure: 1, usage: 2 } as const;

/** Builds the command line. Its `parseAsync` rejects where something is wrong; it never ends the process. */
export function buildProgram(io: CliIo, verbs: readonly Verb[] = VERBS): Command {
  const program = new Command('stopgap')
    .description('Notices abnormal mail volume, blocks the sender softly, explains why, and lets go again.')
    .option('--version', 'output the version and the commit')
    .exitOverride()
    .showSuggestionAfterError()
    .configureOutput({
      writeOut: (text) => void io.stdout.write(printableLines(text)),
      writeErr: (text) => void io.stderr.write(printableLines(text)),
      outputError: (text, write) => {
        // One line; commander puts its suggestion into a second one.
        write(`stopgap: ${inOneLine(text.replace(/^error: /, ''))}\n`);
      },
    });
  // Commander's own option would ask git for the commit at each start.
  program.on('option:version', () => {
    print(io, ownVersion());
    throw new ExitWith(EXIT.ok);
  });
  for (const verb of verbs) verb(program, io);
  return program;
}

/**
 * Runs one command line.
 *
 * @param args without the interpreter and the script
 * @returns the exit code: 0 done, 1 failed, 2 not understood, or a verb's own. Errors are already on standard error, each problem
 *   in one line that begins with `stopgap: `
 */
export async function run(
  args: readonly string[],
  io: CliIo,
  verbs: readonly Verb[] = VERBS,
): Promise<number> {
  try {
    await buildProgram(io, verbs).parseAsync(args, { from: 'user' });
    return EXIT.ok;
  } catch (thrown) {
    if (thrown instanceof ExitWith) return thrown.code;
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? EXIT.ok : EXIT.usage;
    report(io, thrown);
    return EXIT.failure;
  }
}

function report(io: CliIo, thrown: unknown): void {
  const expected = thrown instanceof StopgapError || isSystemError(thrown);
  for (const line of (pathFault(thrown) ?? messageOf(thrown)).split('\n')) note(io, `stopgap: ${line}`);
  if (expected) return;
  if ((io.env['STOPGAP_DEBUG'] ?? '') === '')
    note(io, 'stopgap: this is a fault; STOPGAP_DEBUG=1 shows where');
  else if (thrown instanceof Error && thrown.stack !== undefined) note(io, thrown.stack);
}

/** What the operating system said (no such file, no permission) needs no stack. */
function isSystemError(thrown: unknown): boolean {
  return thrown instanceof Error && typeof (thrown as NodeJS.ErrnoException).syscall === 'string';
}
