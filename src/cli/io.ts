import type { Clock } from '../kernel/time.js';

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

/** Results go to standard output, and nothing else does. */
export function print(io: CliIo, text: string): void {
  io.stdout.write(`${text}\n`);
}

/** Hints and errors go to standard error, so that a result can be piped. */
export function note(io: CliIo, text: string): void {
  io.stderr.write(`${text}\n`);
}

/** Columns of text under each other, two spaces apart. */
export function table(rows: ReadonlyArray<readonly string[]>): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => (widths[column] = Math.max(widths[column] ?? 0, cell.length)));
  }
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
