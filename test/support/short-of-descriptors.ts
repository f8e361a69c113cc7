import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';

/** More than Node and our modules need, and soon opened. */
const MOST = 100;

/** `leave(n)` opens descriptors until `n` are free. */
const LEAVE = `
import { closeSync, openSync } from 'node:fs';
const opened = [];
function leave(free) {
  for (const one of opened.splice(0)) closeSync(one);
  try {
    for (;;) opened.push(openSync('/dev/null', 'r'));
  } catch (error) {
    if (error.code !== 'EMFILE') throw error;
  }
  for (const one of opened.splice(0, free)) closeSync(one);
}
`;

/**
 * Runs a module in a process that may open few files. It has `leave(n)`, after which `n` more can be opened. The process
 * has a process group of its own: what kills its group kills nothing else.
 *
 * @returns all that it printed, and how it ended
 */
export async function shortOfDescriptors(
  module: string,
): Promise<{ readonly printed: string; readonly code: number | null; readonly signal: string | null }> {
  // Node finds out that it is a module. A thread of the process would inherit --input-type, and refuse it.
  const limited = `ulimit -n ${MOST} && exec "$0" --eval "$1"`;
  const child = spawn('sh', ['-c', limited, process.execPath, LEAVE + module], {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = once(child, 'close') as Promise<[number | null, string | null]>;
  const [stdout, stderr, [code, signal]] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  return { printed: stdout + stderr, code, signal };
}
