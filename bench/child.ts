import { spawn } from 'node:child_process';

/**
 * Runs a bench module once more in a process of its own, with a garbage collector that can be called, so that memory is
 * measured with nothing else in it. The child writes one JSON value on standard output.
 *
 * @throws Error if the child fails or writes anything else
 */
export async function inOwnProcess<Result>(script: string, args: readonly string[]): Promise<Result> {
  const child = spawn(process.execPath, ['--expose-gc', '--max-old-space-size=6144', script, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  for await (const chunk of child.stdout) text += String(chunk);
  const code = await new Promise((resolve) => {
    if (child.exitCode !== null) resolve(child.exitCode);
    else child.once('exit', resolve);
  });
  if (code !== 0) throw new Error(`${script} ${args.join(' ')} ended with ${String(code)}`);
  return JSON.parse(text) as Result;
}

/** Bytes, after full collections. */
export interface Memory {
  /** Heap and memory outside it (array buffers). */
  readonly used: number;
  readonly resident: number;
}

/** @throws Error without --expose-gc */
export function memory(): Memory {
  if (globalThis.gc === undefined) throw new Error('needs --expose-gc');
  for (let round = 0; round < 3; round++) globalThis.gc();
  const { heapUsed, external, rss } = process.memoryUsage();
  return { used: heapUsed + external, resident: rss };
}
