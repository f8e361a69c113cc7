import { readFileSync } from 'node:fs';
import path from 'node:path';
import { StopgapError } from '../kernel/errors.js';
import type { CliIo } from './io.js';

/** What the operating system says of a file that the user has named, in words. */
const FAULTS: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  ENOTDIR: 'does not exist',
  EISDIR: 'is a folder',
  EACCES: 'is not for this user',
  EPERM: 'is not for this user',
};

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
    throw fileFault(error, name, right);
  }
}

/** What `opening` gives, or an error as of {@link readNamed}. */
export async function openNamed<T>(name: string, right: string, opening: Promise<T>): Promise<T> {
  try {
    return await opening;
  } catch (error) {
    throw fileFault(error, name, right);
  }
}

/** Other errors stay what they are. */
function fileFault(error: unknown, name: string, right: string): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (syscall === undefined || code === undefined) return error;
  return new StopgapError(
    'invalid-input',
    `${name}: ${FAULTS[code] ?? `cannot be opened (${code})`}; ${right}`,
  );
}
