import type { ChildProcess } from 'node:child_process';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import { eventually } from './eventually.js';
import { answers } from './real-postfix.js';
import { freePorts } from '../ports.js';

const run = promisify(execFile);
/** Where it is installed, and where `npm run test:install` puts it beside another mail server. */
const PLACES = ['/usr/sbin/exim4', '/usr/local/lib/stopgap-tests/exim/usr/sbin/exim4'];
const EXIM = PLACES.find((place) => existsSync(place)) ?? '';
const HINT = 'install it with: npm run test:install';

/** Why no Exim can be run here; undefined if one can. */
export function eximMissing(): string | undefined {
  const found = find();
  return typeof found === 'string' ? found : undefined;
}

function find(): { readonly uid: number } | string {
  if (EXIM === '') return `no Exim is installed (${HINT})`;
  if (process.getuid?.() !== 0) return 'Exim can be started by root only';
  const uid = Number(spawnSync('id', ['-u', 'Debian-exim'], { encoding: 'utf8' }).stdout);
  return uid > 0 ? { uid } : `there is no user Debian-exim (${HINT})`;
}

export interface EximOptions {
  /** Where all mail goes: a port on loopback. */
  readonly outside: number;
  /** Who may log in. */
  readonly passwords: Readonly<Record<string, string>>;
  /** Lines before the first section. */
  readonly main: string;
  /** Lines of the ACL section. */
  readonly acl: string;
  /** Entries before the others of these sections. */
  readonly routers?: string | undefined;
  readonly transports?: string | undefined;
}

/** An Exim of one's own: on loopback, in a directory of its own, which touches nothing that is installed. */
export class RealExim {
  readonly port: number;
  readonly #dir: string;
  readonly #child: ChildProcess;

  private constructor(dir: string, child: ChildProcess, port: number) {
    this.#dir = dir;
    this.#child = child;
    this.port = port;
  }

  static async start(t: Pick<TestContext, 'after'>, options: EximOptions): Promise<RealExim> {
    const { uid } = find() as { readonly uid: number };
    const dir = await mkdtemp(path.join(tmpdir(), 'stopgap-exim-'));
    await chmod(dir, 0o755);
    for (const name of ['spool', 'log']) {
      await mkdir(path.join(dir, name));
      await chown(path.join(dir, name), uid, -1);
    }
    const [port] = await freePorts(1);
    await writeFile(path.join(dir, 'exim.conf'), configuration(dir, port!, options));
    const child = spawn(EXIM, ['-C', path.join(dir, 'exim.conf'), '-bdf', '-q1m'], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const exim = new RealExim(dir, child, port!);
    t.after(() => exim.#stop());
    await eventually('Exim greets', () => answers(port!), 60_000).catch((error: Error) => {
      throw new Error(`${error.message}\n${said}\n${exim.log}`);
    });
    return exim;
  }

  /** Hands a message in as a local program does, by its `sendmail`. Rejects with what that says if it is not taken. */
  async submit(returnPath: string, recipients: readonly string[]): Promise<void> {
    const sender = returnPath === '' ? [] : ['-f', returnPath];
    const sendmail = ['-C', path.join(this.#dir, 'exim.conf'), '-oi', '-oep', ...sender, ...recipients];
    const child = spawn(EXIM, sendmail, { stdio: ['pipe', 'ignore', 'pipe'] });
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    // Without From Exim would make one of the return path, and die where that has a line feed.
    child.stdin.end('From: program@example.com\nSubject: hello\n\nhello\n');
    const [code] = (await once(child, 'close')) as [number];
    if (code !== 0) throw new Error(`sendmail ended with ${code}: ${said}${this.log}`);
  }

  /** Has a local program speak SMTP with its `sendmail`: `-bs` answers each line, `-bS` reads a batch. Gives what it says. */
  async speak(how: '-bs' | '-bS', lines: readonly string[]): Promise<readonly string[]> {
    const child = spawn(EXIM, ['-C', path.join(this.#dir, 'exim.conf'), how], {
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    child.stdin.end(`${[...lines, 'QUIT'].join('\r\n')}\r\n`);
    await once(child, 'close');
    return said.split('\r\n').filter((line) => /^\d{3} /.test(line));
  }

  /** Resolves when nothing waits in its queue any more. */
  async idle(): Promise<void> {
    await eventually('the queue is empty', async () => (await this.queue()).trim() === '');
  }

  /** What waits in its queue, as mailq shows it. */
  queue(): Promise<string> {
    return this.#exim('-bp');
  }

  /** What one option of its configuration is. */
  async option(name: string): Promise<string> {
    return (await this.#exim('-bP', name)).trim();
  }

  /** Looks at all that waits in its queue. Resolves when it has tried what it may. */
  async runQueue(): Promise<void> {
    await this.#exim('-q');
  }

  /** Lets go of all mail that is frozen. */
  async thaw(): Promise<void> {
    const ids = [...(await this.queue()).matchAll(/\s(\S{6}-\S{6}-\S{2}|\S{6}-\S{11}-\S{4})\s/g)];
    for (const [, id] of ids) await this.#exim('-M', id!);
  }

  /** What it has logged. */
  get log(): string {
    const file = path.join(this.#dir, 'log/mainlog');
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  }

  async #exim(...args: readonly string[]): Promise<string> {
    return (await run(EXIM, ['-C', path.join(this.#dir, 'exim.conf'), ...args])).stdout;
  }

  async #stop(): Promise<void> {
    if (this.#child.exitCode === null) {
      const ended = once(this.#child, 'exit');
      this.#child.kill('SIGTERM');
      await ended;
    }
    await rm(this.#dir, { recursive: true, force: true });
  }
}

function configuration(
  dir: string,
  port: number,
  { outside, passwords, main, acl, routers = '', transports = '' }: EximOptions,
): string {
  const known = Object.entries(passwords).map(([user, password]) => `${user}:${password}`);
  return `primary_hostname = mx.example.com
exim_path = ${EXIM}
spool_directory = ${dir}/spool
log_file_path = ${dir}/log/%slog
pid_file_path = ${dir}/exim.pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = ${port}
tls_advertise_hosts =
host_lookup =
rfc1413_hosts =
deliver_drop_privilege = true
keep_environment =
recipients_max = 1000
ignore_bounce_errors_after = 0s
${main.includes('timeout_frozen_after') ? '' : 'timeout_frozen_after = 7d'}
${main}
begin acl
${acl}
begin routers
${routers}
outside:
  driver = manualroute
  transport = outside
  route_list = * 127.0.0.1
  self = send

begin transports
${transports}
outside:
  driver = smtp
  port = ${outside}
  allow_localhost

begin retry
* * F,1h,1m

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = \${if inlist{$auth2:$auth3}{${known.join(' : ').replaceAll(/:(?=[^ ])/g, '::')}}}
  server_set_id = $auth2
`;
}
