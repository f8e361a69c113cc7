import { readFileSync } from 'node:fs';
import path from 'node:path';
import { StopgapError } from '../kernel/errors.js';
import { fileFault } from '../accounts/private-file.js';
import type { CliIo } from './io.js';

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
