import type { ChildProcess } from 'node:child_process';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import { eventually } from './eventually.js';

const run = promisify(execFile);
/** A folder with another Debian in it (debootstrap), whose Dovecot is run instead. */
const ROOT = process.env['STOPGAP_TEST_DOVECOT_ROOT'] ?? '';
const HINT = 'install it with: DEBIAN_FRONTEND=noninteractive apt-get install -y dovecot-core';

/** A command of Dovecot's, wherever it is. */
function command(program: string, args: readonly string[]): readonly [string, readonly string[]] {
  return ROOT === '' ? [program, args] : ['chroot', [ROOT, program, ...args]];
}

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

export interface DovecotOptions {
  /** By login. */
  readonly passwords: Readonly<Record<string, string>>;
  /** More of dovecot.conf. @param version such as `2.3` */
  readonly settings?: (version: string) => string;
}

/** A Dovecot of one's own that checks passwords for others: in a directory of its own, with a UNIX socket only. */
export class RealDovecot {
  /** Where a mail server asks it. */
  readonly socket: string;
  readonly #dir: string;
  readonly #child: ChildProcess;

  private constructor(
    dir: string,
    child: ChildProcess,
    readonly version: string,
  ) {
    this.#dir = dir;
    this.socket = path.join(dir, 'auth');
    this.#child = child;
  }

  static async start(t: Pick<TestContext, 'after'>, options: DovecotOptions): Promise<RealDovecot> {
    const version = versionOf()!;
    const dir = await mkdtemp(path.join(ROOT, tmpdir(), 'stopgap-dovecot-'));
    await chmod(dir, 0o755);
    for (const name of ['run', 'state']) await mkdir(path.join(dir, name));
    const inside = dir.slice(ROOT.length);
    const users = Object.entries(options.passwords).map(([name, password]) => `${name}:{PLAIN}${password}\n`);
    await writeFile(path.join(dir, 'users'), users.join(''));
    const own = options.settings?.(version) ?? '';
    const base = version === '2.3' ? conf23(inside) : conf24(inside);
    await writeFile(path.join(dir, 'dovecot.conf'), `${base}${own}\n`);
    const [program, args] = command(DOVECOT, ['-F', '-c', path.join(inside, 'dovecot.conf')]);
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const dovecot = new RealDovecot(dir, child, version);
    t.after(() => dovecot.#stop());
    await eventually('Dovecot listens', () => {
      if (child.exitCode !== null) throw new Error(`Dovecot ended: ${said}${dovecot.log}`);
      return existsSync(dovecot.socket);
    });
    return dovecot;
  }

  /** Whether a login passes, as a server of that protocol asks. */
  async passes(protocol: string, user: string, password: string, from = '192.0.2.1'): Promise<boolean> {
    const inside = this.#dir.slice(ROOT.length);
    const asked = ['-x', `service=${protocol}`, '-x', `rip=${from}`, user, password];
    const where = ['-c', path.join(inside, 'dovecot.conf'), 'auth', 'test', '-a', path.join(inside, 'auth')];
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

  async #stop(): Promise<void> {
    if (this.#child.exitCode === null) {
      const ended = once(this.#child, 'exit');
      this.#child.kill();
      await ended;
    }
    await rm(this.#dir, { recursive: true, force: true });
  }
}

const conf23 = (dir: string): string => `base_dir = ${dir}/run
state_dir = ${dir}/state
log_path = ${dir}/log
auth_verbose = yes
ssl = no
disable_plaintext_auth = no
protocols =
auth_mechanisms = plain login
passdb {
  driver = passwd-file
  args = ${dir}/users
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent
}
service auth {
  unix_listener ${dir}/auth {
    mode = 0666
  }
}
`;

const conf24 = (dir: string): string => `dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
base_dir = ${dir}/run
state_dir = ${dir}/state
log_path = ${dir}/log
auth_verbose = yes
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
}
`;
