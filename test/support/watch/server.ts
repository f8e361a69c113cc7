import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { stringify } from 'yaml';
import type { Program } from './binaries.js';
import { binaryOf } from './binaries.js';

/** Both say so in their log, in any format; with port 0 nobody else can take the port. */
const LISTENING = /msg="Listening on" address=([\d.]+:\d+)/;

interface Server {
  /** `127.0.0.1:port`. */
  readonly address: string;
}

/**
 * A Prometheus on loopback with this configuration, its data below `dir`. It is gone after the test.
 *
 * @param args more of its command line
 */
export async function startPrometheus(
  t: Pick<TestContext, 'after'>,
  dir: string,
  config: unknown,
  args: readonly string[] = [],
): Promise<Server> {
  const file = await configured(dir, 'prometheus', config);
  return startServer(t, 'prometheus', [`--config.file=${file}`, `--storage.tsdb.path=${dir}/tsdb`, ...args]);
}

/** An Alertmanager likewise. */
export async function startAlertmanager(
  t: Pick<TestContext, 'after'>,
  dir: string,
  config: unknown,
): Promise<Server> {
  const file = await configured(dir, 'alertmanager', config);
  return startServer(t, 'alertmanager', [
    `--config.file=${file}`,
    `--storage.path=${dir}/alertmanager`,
    '--cluster.listen-address=',
  ]);
}

async function configured(dir: string, name: string, config: unknown): Promise<string> {
  await mkdir(dir, { recursive: true });
  const file = path.join(dir, `${name}.yml`);
  await writeFile(file, stringify(config));
  return file;
}

async function startServer(
  t: Pick<TestContext, 'after'>,
  program: Program,
  args: readonly string[],
): Promise<Server> {
  const binary = (await binaryOf(program))!;
  const child = spawn(binary, [...args, '--web.listen-address=127.0.0.1:0'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  t.after(() => end(child));
  let log = '';
  const address = await new Promise<string>((resolve, reject) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      log += text;
      const found = LISTENING.exec(log)?.[1];
      if (found !== undefined) resolve(found);
    });
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`${binary} ended with ${code}:\n${log}`)));
  });
  return { address };
}

/** Ends it: politely it would write its last block first. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}
