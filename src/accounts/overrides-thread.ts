import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { messageOf } from '../kernel/errors.js';
import type { OverrideEntry } from '../overrides/model.js';
import { parseOverrides } from './overrides.js';
import { ConfigError } from './problems.js';

/*
 * Reading thousands of entries takes most of a second, in which no session would be served: so it is done in a
 * thread of its own, which is this very file.
 */

interface Work {
  readonly text: string;
  readonly file: string;
}

type Result = { readonly entries: readonly OverrideEntry[] } | { readonly problems: readonly string[] };

/** {@link parseOverrides}, while this thread goes on. @throws ConfigError */
export async function parseOverridesAside(text: string, file: string): Promise<readonly OverrideEntry[]> {
  const work: Work = { text, file };
  const thread = new Worker(new URL(import.meta.url), { workerData: work });
  const result = await new Promise<Result>((resolve, reject) => {
    thread.once('message', resolve).once('error', reject);
    thread.once('exit', (code) => reject(new Error(`reading ${file} ended with code ${code}`)));
  });
  if ('problems' in result) throw new ConfigError(result.problems);
  return result.entries;
}

if (!isMainThread && parentPort !== null && isWork(workerData)) {
  parentPort.postMessage(read(workerData));
}

function read({ text, file }: Work): Result {
  try {
    return { entries: parseOverrides(text, file) };
  } catch (error) {
    return { problems: error instanceof ConfigError ? error.problems : [`${file}: ${messageOf(error)}`] };
  }
}

/** Another thread that happens to load this file has other work. */
function isWork(data: unknown): data is Work {
  return typeof data === 'object' && data !== null && 'text' in data && 'file' in data;
}
