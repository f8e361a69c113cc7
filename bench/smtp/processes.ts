import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** A server in a process of its own, on a port that the system chose. */
export interface Running {
  readonly port: number;
  stop(): Promise<void>;
}

export interface Load {
  readonly accepted: number;
  readonly refused: number;
  readonly lost: number;
  /** Messages a second. */
  readonly rate: number;
}

export const USER = 'bench@example.com';
export const PASSWORD = 'correct horse battery staple';

const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url));

export async function start(script: string, ...args: string[]): Promise<Running> {
  const child = spawn(process.execPath, [here(script), ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  return { port: Number(await firstLine(child, /^(\d+)$/)), stop: () => stop(child) };
}

/**
 * Stopgap as it ships, with everything on.
 *
 * @param rules the text of its rules file
 * @param more lines of its configuration
 */
export function startStopgap(
  upstream: number | 'maildir',
  rules: string,
  ...more: readonly string[]
): Promise<Running> {
  return serve([here('../../src/main.js'), 'serve'], upstream, rules, more);
}

/** The same, in a process that may be told not to measure the way of a message. */
export function startMeasured(upstream: number, rules: string, measures: boolean): Promise<Running> {
  return serve([here('measured.js'), String(measures)], upstream, rules, []);
}

/** @param command what begins to serve in a directory with a `stopgap.yaml`, and says where */
async function serve(
  command: readonly string[],
  upstream: number | 'maildir',
  rules: string,
  more: readonly string[],
): Promise<Running> {
  const directory = await mkdtemp(path.join(tmpdir(), 'stopgap-bench-'));
  const config = [
    `data: ${directory}/data`,
    'smtp:',
    '  hostname: bench.example.com',
    '  submission: { listen: "127.0.0.1:0", tls: { mode: none } }',
    `  auth: { backend: file, users: ${directory}/users.yaml }`,
    `  relay: { url: "${upstream === 'maildir' ? `maildir:${directory}/mail` : `smtp://127.0.0.1:${upstream}`}" }`,
    'api: { listen: "127.0.0.1:0" }',
    `rules: ${directory}/rules.yaml`,
    'log: { level: error }',
    ...more,
  ].join('\n');
  await writeFile(path.join(directory, 'stopgap.yaml'), config);
  await writeFile(path.join(directory, 'rules.yaml'), rules);
  const main = here('../../src/main.js');
  const adding = spawn(process.execPath, [main, 'user', 'add', USER, '--password-stdin'], {
    cwd: directory,
    stdio: ['pipe', 'inherit', 'ignore'],
  });
  adding.stdin.end(PASSWORD);
  await new Promise((resolve) => adding.once('exit', resolve));
  const child = spawn(process.execPath, command, {
    cwd: directory,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const port = Number(await firstLine(child, /^\s*submission\s+127\.0\.0\.1:(\d+)/));
  return {
    port,
    async stop() {
      await stop(child);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

export async function load(port: number, connections: number, messages: number): Promise<Load> {
  const args = [port, connections, 20, messages, USER, PASSWORD, 'example.net'].map(String);
  const child = spawn(process.execPath, [here('load.js'), ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  return JSON.parse(await firstLine(child, /^(\{.*\})$/)) as Load;
}

async function firstLine(child: ChildProcess, pattern: RegExp): Promise<string> {
  for await (const line of createInterface({ input: child.stdout! })) {
    const found = pattern.exec(line);
    if (found !== null) return found[1]!;
  }
  throw new Error(`${child.spawnargs.join(' ')} ended without saying ${String(pattern)}`);
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await gone;
}
