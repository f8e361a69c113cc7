import path from 'node:path';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import widthOf from 'fast-string-width';
import { fileFault } from '../accounts/private-file.js';
import { StopgapError } from '../kernel/errors.js';
import { escaped, printable, printableLines } from '../kernel/printable.js';
import type { Clock, Milliseconds } from '../kernel/time.js';

/** What a verb sees of the world around it, so that tests can put their own there. */
export interface CliIo {
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly clock: Clock;
}

export const processIo: CliIo = {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  cwd: process.cwd(),
  clock: { now: () => Date.now() },
};

/** Only results go to standard output. Control characters are replaced. */
export function print(io: CliIo, text: string): void {
  io.stdout.write(`${printableLines(text)}\n`);
}

/** A file's text, to be kept byte for byte unless it goes to a terminal. */
export function printSource(io: CliIo, text: string): void {
  const { isTTY } = io.stdout as { readonly isTTY?: boolean };
  io.stdout.write(`${isTTY === true ? printableLines(text) : text}\n`);
}

/** For scripts. Characters that are not printable are escaped, so a parser loses nothing. */
export function asJson(value: unknown): string {
  return escaped(JSON.stringify(value));
}

/** Hints and errors go to standard error, so that a result can be piped. */
export function note(io: CliIo, text: string): void {
  io.stderr.write(`${printableLines(text)}\n`);
}

/** The most rows that the API lists at once. */
const MOST_LISTED = 500;

/** Says that a list goes on. @param otherwise how to see the others where a higher limit is refused */
export function noteMore(io: CliIo, limit: string, otherwise = 'narrow the search'): void {
  const how = Number(limit) < MOST_LISTED ? `raise --limit, or ${otherwise}` : otherwise;
  note(io, `there are more: ${how}`);
}

/** What a command has done: a sentence for a person, or what a script reads. */
export function done(io: CliIo, { json }: { readonly json?: true }, result: object, text: string): void {
  if (json === true) print(io, asJson(result));
  else note(io, text);
}

/** Warnings, one line each, on standard error. The command goes on. */
export function warn(io: CliIo, warnings: readonly string[]): void {
  for (const warning of warnings) note(io, `warning: ${warning}`);
}

/**
 * Asks at the terminal whether to go on.
 *
 * @param unasked what to say where there is no terminal
 * @throws StopgapError if the answer is not yes, or nobody can be asked
 */
export async function agreed(io: CliIo, question: string, unasked: string): Promise<void> {
  if (!io.stdin.isTTY) throw new StopgapError('invalid-input', `there is no terminal to ask at: ${unasked}`);
  const terminal = createInterface({ input: io.stdin, output: io.stderr });
  try {
    const answer = await terminal.question(`${question} [y/N] `);
    if (/^y(es)?$/i.test(answer.trim())) return;
  } finally {
    terminal.close();
  }
  throw new StopgapError('invalid-input', 'nothing has changed');
}

/** Joins several lines into one. */
export function inOneLine(text: string): string {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .join(' ');
}

/** The width of the terminal in characters; Infinity if results do not go to a terminal. */
export function terminalWidth({ stdout, env }: CliIo): number {
  const { columns } = stdout as { readonly columns?: unknown };
  const said = Number(env['COLUMNS'] ?? columns);
  return Number.isInteger(said) && said > 0 ? said : Infinity;
}

/** A shorter text would say nothing, so a line wraps instead. */
const LEAST_ROOM = 40;

/** A table whose last column is cut at a word, so that each line fits. @param width of a line, in characters */
export function tableWithin(rows: ReadonlyArray<readonly string[]>, width: number): string {
  const before = Math.max(
    0,
    ...table(rows.map((row) => [...row.slice(0, -1), '|']))
      .split('\n')
      .map((line) => widthOf(line) - 1),
  );
  const room = Math.max(LEAST_ROOM, width - before);
  return table(rows.map((row) => [...row.slice(0, -1), fitting(row.at(-1)!, room)]));
}

/** A text that fits, cut at a word where it must be. @param room in columns of the terminal */
export function fitting(text: string, room: number): string {
  if (widthOf(text) <= room) return text;
  // One column is the mark's.
  let cut = '';
  let taken = 0;
  for (const { segment } of new Intl.Segmenter('en').segment(text)) {
    taken += widthOf(segment);
    if (taken > room - 1) break;
    cut += segment;
  }
  const next = text[cut.length] === ' ' ? cut.length : cut.lastIndexOf(' ');
  return `${cut.slice(0, next > room / 2 ? next : cut.length).replace(/[;,]$/, '')}…`;
}

/** With spaces up to a width that is that of the terminal's columns. */
export const padded = (text: string, width: number): string =>
  text + ' '.repeat(Math.max(0, width - widthOf(text)));

/** Columns of text under each other, two spaces apart. A character of East Asia and an emoji take two columns. */
export function table(rows: ReadonlyArray<readonly string[]>): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => (widths[column] = Math.max(widths[column] ?? 0, widthOf(cell))));
  }
  return rows
    .map((row) =>
      row
        .map((cell, column) => padded(cell, widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** `1 rule`, `2 rules`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** Ends the command with an exit code of its own. It prints nothing more. */
export class ExitWith extends Error {
  constructor(readonly code: number) {
    super(`exit code ${code}`);
    this.name = 'ExitWith';
  }
}

/**
 * A text file that the user has named.
 *
 * @param right what to name instead
 * @throws StopgapError that names it as the user did, and says what would be right
 */
export function readNamed({ cwd }: CliIo, name: string, right: string): string {
  try {
    return readFileSync(path.resolve(cwd, name), 'utf8');
  } catch (error) {
    throw named(error, name, right);
  }
}

/** What `opening` gives, or an error as of {@link readNamed}. */
export async function openNamed<T>(name: string, right: string, opening: Promise<T>): Promise<T> {
  try {
    return await opening;
  } catch (error) {
    throw named(error, name, right);
  }
}

/** Other errors stay what they are. */
function named(error: unknown, name: string, right: string): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (syscall === undefined || code === undefined) return error;
  return new StopgapError('invalid-input', `${name}: ${fileFault(error, right)}`);
}

/** The least time between two texts. Nobody reads faster. */
const PACE: Milliseconds = 200;

/** A line on standard error that is overwritten. Nothing is written if standard error is no terminal. */
export class StatusLine {
  readonly #io: CliIo;
  readonly #isShown: boolean;
  #shownAt = -Infinity;
  #length = 0;

  constructor(io: CliIo) {
    this.#io = io;
    this.#isShown = (io.stderr as Partial<NodeJS.WriteStream>).isTTY === true;
  }

  /** @param text called only if it is shown */
  show(text: () => string): void {
    if (!this.#isShown) return;
    const now = this.#io.clock.now();
    if (now < this.#shownAt + PACE) return;
    this.#shownAt = now;
    this.#write(text());
  }

  /** Leaves the line empty, for what comes after it. */
  clear(): void {
    if (this.#length > 0) this.#write('');
    this.#length = 0;
  }

  #write(raw: string): void {
    const text = printable(raw);
    this.#io.stderr.write(`\r${text.padEnd(this.#length)}${text === '' ? '\r' : ''}`);
    this.#length = text.length;
  }
}
