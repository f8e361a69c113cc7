import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Running } from '../policy.js';
import { freePort } from '../../test/support/ports.js';

/* What Debian has for the same purpose, each with one limit that nobody reaches. Where it is not installed, it is left out. */

/** postfwd 1: one process that counts in memory. */
export async function startPostfwd(): Promise<Running | undefined> {
  const program = '/usr/sbin/postfwd1';
  if (!existsSync(program)) return undefined;
  const directory = await mkdtemp(path.join(tmpdir(), 'postfwd-bench-'));
  const port = await freePort();
  const pidfile = path.join(directory, 'pid');
  const rule = 'id=count; action=rate(sasl_username/1000000/3600/REJECT too many)';
  const { user, group } = whoami();
  const listen = ['--interface=127.0.0.1', `--port=${port}`, `--pidfile=${pidfile}`];
  // In the foreground it serves nobody.
  spawnSync(program, ['--daemon', ...listen, '-u', user, '-g', group, '--perfmon', '-r', rule], {
    stdio: 'ignore',
  });
  await answers(port);
  const pid = Number(readFileSync(pidfile, 'utf8'));
  return {
    pid,
    port,
    async stop() {
      process.kill(pid, 'SIGTERM');
      while (existsSync(`/proc/${pid}`)) await pause(50);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** policyd-rate-limit: Python, with its counts in SQLite. It counts at RCPT only. */
export async function startPolicydRateLimit(): Promise<Running | undefined> {
  const program = '/usr/bin/policyd-rate-limit';
  if (!existsSync(program)) return undefined;
  const directory = await mkdtemp(path.join(tmpdir(), 'policyd-bench-'));
  const port = await freePort();
  const file = path.join(directory, 'policyd.yaml');
  const { user, group } = whoami();
  const actions = ['success_action: DUNNO', 'fail_action: DUNNO', 'db_error_action: DUNNO'];
  const config = [
    'debug: false',
    `user: ${user}`,
    `group: ${group}`,
    `pidfile: ${directory}/pid`,
    'backend: 0',
    `sqlite_config: { database: ${directory}/db.sqlite3 }`,
    `SOCKET: ["127.0.0.1", ${port}]`,
    'socket_permission: 0666',
    'limits: [[1000000, 60]]',
    'limits_by_id: {}',
    'limit_by_sasl: true',
    'limit_by_sender: false',
    'limit_by_ip: false',
    'limited_networks: []',
    ...actions,
    'report: false',
    'delay_to_close: 300',
  ];
  await writeFile(file, config.join('\n'));
  const child = spawn(program, ['--file', file], { stdio: 'ignore' });
  await answers(port);
  return {
    pid: child.pid!,
    port,
    async stop() {
      const gone = once(child, 'exit');
      child.kill('SIGTERM');
      await gone;
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Both change to the user that they are told, by its name. */
function whoami(): { user: string; group: string } {
  const name = (flag: string): string => spawnSync('id', [flag], { encoding: 'utf8' }).stdout.trim();
  return { user: name('-un'), group: name('-gn') };
}

/** Waits until somebody listens. @throws after ten seconds */
async function answers(port: number): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const socket = net.connect(port, '127.0.0.1');
    const isThere = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (isThere) return;
    await pause(50);
  }
  throw new Error(`nobody listens at port ${port}`);
}
