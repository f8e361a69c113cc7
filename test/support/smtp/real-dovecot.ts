import type { ChildProcess } from 'node:child_process';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import { command, DEBIAN as ROOT } from './debian.js';
import { eventually } from './eventually.js';
import { freePorts } from '../ports.js';

const run = promisify(execFile);
const HINT = 'install it with: DEBIAN_FRONTEND=noninteractive apt-get install -y dovecot-core';

const DOVECOT = '/usr/sbin/dovecot';
const DOVEADM = '/usr/bin/doveadm';

/** The major version, such as `2.3`; undefined if there is no Dovecot. */
function versionOf(): string | undefined {
  const [program, args] = command(DOVECOT, ['--version']);
  const { status, stdout } = spawnSync(program, args, { encoding: 'utf8' });
  return status === 0 ? /^\d+\.\d+/.exec(stdout)?.[0] : undefined;
}

/** Why no Dovecot can be run here; undefined if one can. */
export function dovecotMissing(): string | undefined {
  if (versionOf() === undefined) return `no Dovecot is installed (${HINT})`;
  // Its processes have users of their own.
  return process.getuid?.() === 0 ? undefined : 'Dovecot is started by root';
}

/** A hash as Dovecot makes it, with its scheme. */
export function dovecotHash(scheme: string, password: string, rounds?: number): string {
  const more = rounds === undefined ? [] : ['-r', String(rounds)];
  const [program, args] = command(DOVEADM, ['-O', 'pw', '-s', scheme, ...more, '-p', password]);
  const { stdout, stderr, status } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`doveadm pw -s ${scheme}: ${stderr}`);
  return stdout.trim();
}

export interface DovecotOptions {
  /** Lines of its passwd-file. */
  readonly users: readonly string[];
  /** More of dovecot.conf. @param version such as `2.3` */
  readonly settings?: (version: string) => string;
}

/** A Dovecot of one's own that checks passwords for others, in a directory of its own. */
export class RealDovecot {
  /** Where a mail server asks it; at {@link port} of loopback too. */
  readonly socket: string;
  readonly #dir: string;
  #child: ChildProcess | undefined;

  private constructor(
    dir: string,
    readonly version: string,
    readonly port: number,
  ) {
    this.#dir = dir;
    this.socket = path.join(dir, 'auth');
  }

  static async start(t: Pick<TestContext, 'after'>, options: DovecotOptions): Promise<RealDovecot> {
    const version = versionOf()!;
    const dir = await mkdtemp(path.join(ROOT, tmpdir(), 'stopgap-dovecot-'));
    await chmod(dir, 0o755);
    for (const name of ['run', 'state']) await mkdir(path.join(dir, name));
    await writeFile(path.join(dir, 'users'), options.users.map((line) => `${line}\n`).join(''));
    const [port] = await freePorts(1);
    const dovecot = new RealDovecot(dir, version, port!);
    const conf = version === '2.3' ? conf23 : conf24;
    const settings = `${conf(dovecot.#inside, port!)}${options.settings?.(version) ?? ''}\n`;
    await writeFile(path.join(dir, 'dovecot.conf'), settings);
    t.after(async () => {
      await dovecot.stop();
      await rm(dir, { recursive: true, force: true });
    });
    await dovecot.resume();
    return dovecot;
  }

  get #inside(): string {
    return this.#dir.slice(ROOT.length);
  }

  async resume(): Promise<void> {
    const [program, args] = command(DOVECOT, ['-F', '-c', path.join(this.#inside, 'dovecot.conf')]);
    // A process group of its own: Dovecot's auth service outlives its master while clients are connected.
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    this.#child = child;
    await eventually(
      'Dovecot greets',
      async () => {
        if (child.exitCode !== null) throw new Error(`Dovecot ended: ${said}${this.log}`);
        return existsSync(this.socket) && (await greets({ path: this.socket }));
      },
      60_000,
    );
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

  /** Whether a login passes, as a server of that protocol asks. */
  async passes(protocol: string, user: string, password: string, from = '192.0.2.1'): Promise<boolean> {
    const asked = ['-x', `service=${protocol}`, '-x', `rip=${from}`, user, password];
    const where = [
      '-c',
      path.join(this.#inside, 'dovecot.conf'),
      'auth',
      'test',
      '-a',
      path.join(this.#inside, 'auth'),
    ];
    return run(...command(DOVEADM, [...where, ...asked])).then(
      ({ stdout }) => stdout.includes('auth succeeded'),
      () => false,
    );
  }

  /** What it has logged. */
  get log(): string {
    const file = path.join(this.#dir, 'log');
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
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

const conf23 = (dir: string, port: number): string => `base_dir = ${dir}/run
state_dir = ${dir}/state
log_path = ${dir}/log
auth_verbose = yes
auth_debug = yes
auth_username_chars =
ssl = no
disable_plaintext_auth = no
protocols =
auth_mechanisms = plain login
passdb {
  driver = passwd-file
  args = username_format=%u ${dir}/users
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent
}
service auth {
  unix_listener ${dir}/auth {
    mode = 0666
  }
  inet_listener {
    address = 127.0.0.1
    port = ${port}
  }
}
`;

const conf24 = (dir: string, port: number): string => `dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
base_dir = ${dir}/run
state_dir = ${dir}/state
log_path = ${dir}/log
auth_verbose = yes
log_debug = category=auth
auth_username_chars =
ssl = no
auth_allow_cleartext = yes
protocols =
auth_mechanisms = plain login
passdb passwd-file {
  passwd_file_path = ${dir}/users
}
userdb static {
  fields {
    uid = nobody
    gid = nogroup
    home = /nonexistent
  }
}
service auth {
  unix_listener ${dir}/auth {
    mode = 0666
  }
  inet_listener auth {
    listen = 127.0.0.1
    port = ${port}
  }
}
`;
