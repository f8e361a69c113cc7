import type { ChildProcess } from 'node:child_process';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { eventually } from './eventually.js';

const DOVECOT = '/usr/sbin/dovecot';
const DOVEADM = '/usr/bin/doveadm';
const HINT = 'install it with: DEBIAN_FRONTEND=noninteractive apt-get install -y dovecot-core';

/** Why no Dovecot 2.3 can be run here; undefined if one can. */
export function dovecotMissing(): string | undefined {
  if (!existsSync(DOVECOT)) return `no Dovecot is installed (${HINT})`;
  const { stdout } = spawnSync(DOVECOT, ['--version'], { encoding: 'utf8' });
  if (!stdout.startsWith('2.3.')) return `Dovecot ${stdout.trim()} is configured differently from 2.3`;
  return process.getuid?.() === 0 ? undefined : 'Dovecot can be started by root only';
}

/** A hash as Dovecot makes it, with its scheme. */
export function dovecotHash(scheme: string, password: string, rounds?: number): string {
  const more = rounds === undefined ? [] : ['-r', String(rounds)];
  const { stdout, stderr, status } = spawnSync(DOVEADM, ['-O', 'pw', '-s', scheme, ...more, '-p', password], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`doveadm pw -s ${scheme}: ${stderr}`);
  return stdout.trim();
}

/** Dovecot's auth service alone, in a directory of its own, which touches nothing that is installed. */
export class RealDovecotAuth {
  #child: ChildProcess | undefined;

  private constructor(
    readonly dir: string,
    readonly port: number,
  ) {}

  /**
   * @param users lines of its passwd-file
   * @param settings more lines of its configuration
   */
  static async start(
    t: Pick<TestContext, 'after'>,
    users: readonly string[],
    settings = '',
  ): Promise<RealDovecotAuth> {
    const dir = await mkdtemp(path.join(tmpdir(), 'stopgap-dovecot-'));
    await chmod(dir, 0o755);
    const dovecot = new RealDovecotAuth(dir, await freePort());
    t.after(async () => {
      await dovecot.stop();
      await rm(dir, { recursive: true, force: true });
    });
    await writeFile(path.join(dir, 'users'), users.map((line) => `${line}\n`).join(''));
    await chmod(path.join(dir, 'users'), 0o644);
    await writeFile(path.join(dir, 'dovecot.conf'), configuration(dir, dovecot.port, settings));
    await dovecot.resume();
    return dovecot;
  }

  /** The socket that its clients ask at. */
  get socket(): string {
    return path.join(this.dir, 'run', 'auth-stopgap');
  }

  /** What it has logged. */
  get log(): string {
    const file = path.join(this.dir, 'log');
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  }

  async resume(): Promise<void> {
    const child = spawn(DOVECOT, ['-F', '-c', path.join(this.dir, 'dovecot.conf')], {
      stdio: ['ignore', 'ignore', 'pipe'],
      // A process group of its own: Dovecot's auth service outlives its master while clients are connected.
      detached: true,
    });
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    this.#child = child;
    await eventually('Dovecot greets', () => greets({ path: this.socket }), 60_000).catch((error: Error) => {
      throw new Error(`${error.message}\n${said}\n${this.log}`);
    });
  }

  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await ended;
    await eventually('all its processes are gone', () => !signalled(-child.pid!, 'SIGTERM'));
  }
}

/** False if there is nobody to signal. */
function signalled(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

function greets(address: net.NetConnectOpts): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(address);
    socket.on('error', () => resolve(false));
    socket.on('connect', () => socket.write('VERSION\t1\t1\nCPID\t4711\n'));
    socket.on('close', () => resolve(false));
    socket.on('data', () => {
      resolve(true);
      socket.destroy();
    });
  });
}

function configuration(dir: string, port: number, settings: string): string {
  return `protocols =
base_dir = ${dir}/run
state_dir = ${dir}/state
log_path = ${dir}/log
auth_verbose = yes
auth_debug = yes
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_username_chars =
passdb {
  driver = passwd-file
  args = username_format=%u ${dir}/users
}
userdb {
  driver = static
  args = uid=65534 gid=65534 home=/nonexistent
}
service auth {
  unix_listener auth-stopgap {
    mode = 0600
  }
  inet_listener {
    address = 127.0.0.1
    port = ${port}
  }
}
${settings}
`;
}
