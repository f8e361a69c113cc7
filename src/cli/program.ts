import { Command, CommanderError } from 'commander';
import { pathFault } from '../accounts/private-file.js';
import { messageOf, StopgapError } from '../kernel/errors.js';
import { printableLines } from '../kernel/printable.js';
import type { CliIo } from './io.js';
import { ExitWith, inOneLine, note, print } from './io.js';
import { ownVersion } from '../runtime/version.js';

/** Adds one verb with its options and action. */
export type Verb = (program: Command, io: CliIo) => void;

/** Every verb by its word, in the order of the help. One is loaded where it is called: all of them take longer than most need to run. */
export const VERBS: ReadonlyMap<string, () => Promise<Verb>> = new Map([
  ['serve', async () => (await import('./serve.js')).serveVerb],
  ['config', async () => (await import('./config.js')).configVerb],
  ['block', async () => (await import('./block.js')).blockVerb],
  ['sender', async () => (await import('./sender.js')).senderVerb],
  ['check', async () => (await import('./check.js')).checkVerb],
  ['feigned', async () => (await import('./feigned.js')).feignedVerb],
  ['rules', async () => (await import('./rules.js')).rulesVerb],
  ['exempt', async () => (await import('./exempt.js')).exemptVerb],
  ['override', async () => (await import('./override.js')).overrideVerb],
  ['changes', async () => (await import('./changes.js')).changesVerb],
  ['events', async () => (await import('./events.js')).eventsVerb],
  ['forget', async () => (await import('./forget.js')).forgetVerb],
  ['backtest', async () => (await import('./backtest/verb.js')).backtestVerb],
  ['user', async () => (await import('./user.js')).userVerb],
  ['token', async () => (await import('./token.js')).tokenVerb],
  ['notify', async () => (await import('./notify.js')).notifyVerb],
  ['admin', async () => (await import('./admin.js')).adminVerb],
  ['log', async () => (await import('./log.js')).logVerb],
  ['outbox', async () => (await import('./outbox.js')).outboxVerb],
  ['storage', async () => (await import('./storage.js')).storageVerb],
  ['doctor', async () => (await import('./doctor/verb.js')).doctorVerb],
  ['support-bundle', async () => (await import('./support-bundle/verb.js')).supportBundleVerb],
  ['sasl-proxy', async () => (await import('./sasl-proxy.js')).saslProxyVerb],
  ['follow', async () => (await import('./follow.js')).followVerb],
  ['bounce', async () => (await import('./bounce/verb.js')).bounceVerb],
  ['import', async () => (await import('./import/verb.js')).importVerb],
  ['simulate', async () => (await import('./simulate/verb.js')).simulateVerb],
  ['completion', async () => (await import('./completion.js')).completionVerb],
]);

const EXIT = { ok: 0, failure: 1, usage: 2 } as const;

/** What these arguments need: the verb that they name, or all, for the help, a script that completes and a word that is none. */
async function verbsFor(args: readonly string[]): Promise<readonly Verb[]> {
  const [word = ''] = args;
  if (word === '--version') return [];
  const named = word === 'completion' ? undefined : VERBS.get(word);
  return named === undefined ? allVerbs() : [await named()];
}

export function allVerbs(): Promise<readonly Verb[]> {
  return Promise.all([...VERBS.values()].map((load) => load()));
}

/** Builds the command line. Its `parseAsync` rejects where something is wrong; it never ends the process. */
export function buildProgram(io: CliIo, verbs: readonly Verb[]): Command {
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
export async function run(args: readonly string[], io: CliIo, verbs?: readonly Verb[]): Promise<number> {
  try {
    await buildProgram(io, verbs ?? (await verbsFor(args))).parseAsync(args, { from: 'user' });
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
