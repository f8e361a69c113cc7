import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Running } from './processes.js';
import { PASSWORD, USER } from './processes.js';
import { freePort } from '../../test/support/ports.js';

/** The folder in which Haraka is installed (`npm install Haraka`); undefined: it is left out. */
export const HARAKA = process.env['HARAKA'];

/**
 * Haraka with its limit plugin on Redis (127.0.0.1:6379), AUTH, and a queue that discards: one process, as Stopgap.
 *
 * @throws Error if it does not answer within ten seconds
 */
export async function startHaraka(folder: string): Promise<Running> {
  const directory = await mkdtemp(path.join(tmpdir(), 'stopgap-haraka-'));
  const config = path.join(directory, 'config');
  await mkdir(config);
  const port = await freePort();
  const files: Record<string, string> = {
    plugins: 'redis\nlimit\nauth/flat_file\nqueue/discard\n',
    'smtp.ini': `listen=127.0.0.1:${port}\nnodes=0\n`,
    'auth_flat_file.ini': `[core]\nmethods=PLAIN,LOGIN\n[users]\n${USER}=${PASSWORD}\n`,
    'limit.ini':
      '[concurrency]\nenabled=true\nmax=10000\n[rate_rcpt]\nenabled=true\n127=100000000/1h\ndefault=100000000/1h\n' +
      '[rate_rcpt_host]\nenabled=true\n127=100000000/1h\ndefault=100000000/1h\n',
    'log.ini': 'level=ERROR\n',
    // Without these settings Haraka 3.3 fails at every greeting.
    'connection.ini':
      '[main]\n[haproxy]\nhosts[] =\n[headers]\nmax_lines=1000\nmax_received=100\n' +
      '[max]\nbytes=26214400\nmime_parts=1000\nline_length=512\ndata_line_length=992\n' +
      '[message]\nhelo=Haraka\nclose=bye\n[uuid]\nbanner_chars=6\ndeny_chars=0\n',
    me: 'bench.example.com\n',
  };
  for (const [name, text] of Object.entries(files)) await writeFile(path.join(config, name), text);
  const program = path.join(folder, 'node_modules/Haraka/bin/haraka');
  const child = spawn(process.execPath, [program, '-c', directory], { stdio: 'ignore' });
  const stop = async (): Promise<void> => {
    const gone = new Promise((resolve) => child.once('exit', resolve));
    if (child.exitCode === null && child.kill('SIGKILL')) await gone;
    await rm(directory, { recursive: true, force: true });
  };
  for (let tries = 0; tries < 100; tries++) {
    if (await answers(port)) return { port, stop };
    await pause(100);
  }
  await stop();
  throw new Error(`Haraka in ${folder} does not answer`);
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
