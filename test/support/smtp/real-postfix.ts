import type { ChildProcess } from 'node:child_process';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import { eventually } from './eventually.js';
import { freePorts } from '../ports.js';

const run = promisify(execFile);
const SBIN = '/usr/sbin';
const HINT = 'install it with: DEBIAN_FRONTEND=noninteractive apt-get install -y postfix';

interface Found {
  readonly daemons: string;
  readonly uid: number;
}

/** Why no Postfix can be run here; undefined if one can. */
export function postfixMissing(): string | undefined {
  const found = find();
  return typeof found === 'string' ? found : undefined;
}

function find(): Found | string {
  const daemons = spawnSync(path.join(SBIN, 'postconf'), ['-d', '-h', 'daemon_directory'], {
    encoding: 'utf8',
  });
  if (daemons.status !== 0) return `no Postfix is installed (${HINT})`;
  if (process.getuid?.() !== 0) return 'Postfix can be started by root only';
  const uid = Number(spawnSync('id', ['-u', 'postfix'], { encoding: 'utf8' }).stdout);
  return uid > 0 ? { daemons: daemons.stdout.trim(), uid } : `there is no user postfix (${HINT})`;
}

export interface PostfixOptions {
  /** Entries of master.cf for listeners; the port that each names is replaced by a free one. */
  readonly listeners: readonly string[];
  /** Where mail for other domains goes: a port on loopback. */
  readonly outside: number;
  /** Where mail for example.com goes. */
  readonly inside: number;
  /** More lines of main.cf. */
  readonly settings?: string;
  /** More entries of master.cf. */
  readonly services?: readonly string[];
}

/** A Postfix of one's own: on loopback, in a directory of its own, which touches nothing that is installed. */
export class RealPostfix {
  /** Of the listeners, in their order. */
  readonly ports: readonly number[];
  readonly #dir: string;
  readonly #child: ChildProcess;

  private constructor(dir: string, child: ChildProcess, ports: readonly number[]) {
    this.#dir = dir;
    this.#child = child;
    this.ports = ports;
  }

  static async start(t: Pick<TestContext, 'after'>, options: PostfixOptions): Promise<RealPostfix> {
    const { daemons, uid } = find() as Found;
    const dir = await mkdtemp(path.join(tmpdir(), 'stopgap-postfix-'));
    await chmod(dir, 0o755);
    for (const name of ['queue', 'data']) await mkdir(path.join(dir, name));
    await chown(path.join(dir, 'data'), uid, -1);
    const ports = await freePorts(options.listeners.length);
    await writeFile(path.join(dir, 'main.cf'), mainCf(dir, daemons, options));
    await writeFile(path.join(dir, 'master.cf'), masterCf(options.listeners, ports, options.services));
    const child = spawn(path.join(SBIN, 'postfix'), ['-c', dir, 'start-fg'], { stdio: 'ignore' });
    const postfix = new RealPostfix(dir, child, ports);
    t.after(() => postfix.#stop());
    const greeted = (port: number) => () => {
      if (child.exitCode !== null) throw new Error(`Postfix ended with ${child.exitCode}`);
      return answers(port);
    };
    for (const port of ports)
      await eventually('Postfix greets', greeted(port), 60_000).catch((error: Error) => {
        throw new Error(`${error.message}\n${postfix.log}`);
      });
    return postfix;
  }

  /** Resolves when nothing waits in its queue any more. */
  async idle(): Promise<void> {
    await eventually('the queue is empty', async () => (await this.queue()).includes('Mail queue is empty'));
  }

  /** Its configuration directory. */
  get dir(): string {
    return this.#dir;
  }

  /** The ids of the messages in its queue, each with the queue that it is in. */
  async queued(): Promise<ReadonlyMap<string, string>> {
    const { stdout } = await run(path.join(SBIN, 'postqueue'), ['-c', this.#dir, '-j']);
    const lines = stdout.split('\n').filter((line) => line !== '');
    return new Map(
      lines.map((line) => {
        const { queue_id, queue_name } = JSON.parse(line) as { queue_id: string; queue_name: string };
        return [queue_id, queue_name];
      }),
    );
  }

  /** Puts a message on hold, as an administrator does. */
  async hold(id: string): Promise<void> {
    await run(path.join(SBIN, 'postsuper'), ['-c', this.#dir, '-h', id]);
  }

  /** Has it try again what it has deferred. */
  async flush(): Promise<void> {
    await run(path.join(SBIN, 'postqueue'), ['-c', this.#dir, '-f']);
  }

  /** What waits in its queue, as postqueue shows it. */
  async queue(): Promise<string> {
    return (await run(path.join(SBIN, 'postqueue'), ['-c', this.#dir, '-p'])).stdout;
  }

  /** Lets go of all mail on hold. */
  async releaseHeld(): Promise<void> {
    await run(path.join(SBIN, 'postsuper'), ['-c', this.#dir, '-H', 'ALL']);
    await run(path.join(SBIN, 'postqueue'), ['-c', this.#dir, '-f']);
  }

  /** Changes main.cf, and has it read. */
  async configure(setting: string): Promise<void> {
    await run(path.join(SBIN, 'postconf'), ['-c', this.#dir, '-e', setting]);
    await run(path.join(SBIN, 'postfix'), ['-c', this.#dir, 'reload']);
  }

  /** What it has logged. */
  get log(): string {
    return readFileSync(this.logFile, 'utf8');
  }

  get logFile(): string {
    return path.join(this.#dir, 'log');
  }

  /** Gives its log another name, and begins a new one, as `postfix logrotate` does. */
  async rotateLog(): Promise<void> {
    await rename(this.logFile, `${this.logFile}.20260101-000000`);
    await run(path.join(SBIN, 'postfix'), ['-c', this.#dir, 'reload']);
  }

  /** Hands a message in past SMTP, as a program of this machine does. */
  async submit(from: string, to: string): Promise<void> {
    const child = spawn(path.join(SBIN, 'sendmail'), ['-C', this.#dir, '-f', from, to], {
      stdio: ['pipe', 'ignore', 'inherit'],
    });
    child.stdin.end('Subject: from a form\n\nHello\n');
    const [code] = (await once(child, 'close')) as [number];
    if (code !== 0) throw new Error(`sendmail ended with ${code}`);
  }

  /** Hands a message in by SMTP on the standard input of its `sendmail -bs`. */
  async speak(from: string, to: string): Promise<void> {
    const child = spawn(path.join(SBIN, 'sendmail'), ['-C', this.#dir, '-bs'], {
      stdio: ['pipe', 'ignore', 'inherit'],
    });
    const envelope = ['EHLO local.test', `MAIL FROM:<${from}>`, `RCPT TO:<${to}>`, 'DATA'];
    child.stdin.end([...envelope, 'Subject: from a form', '', 'Hello', '.', 'QUIT', ''].join('\r\n'));
    await once(child, 'close');
  }

  async #stop(): Promise<void> {
    if (this.#child.exitCode === null) {
      const ended = once(this.#child, 'exit');
      await run(path.join(SBIN, 'postfix'), ['-c', this.#dir, 'stop']).catch(() => this.#child.kill());
      await ended;
    }
    await rm(this.#dir, { recursive: true, force: true });
  }
}

export function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    // The port may be that of a server which waits for its client to speak.
    socket.setTimeout(5000, () => socket.destroy());
    socket.on('error', () => resolve(false));
    socket.on('close', () => resolve(false));
    socket.on('data', () => {
      resolve(true);
      socket.destroy();
    });
  });
}

function mainCf(dir: string, daemons: string, { outside, inside, settings = '' }: PostfixOptions): string {
  return lastOfEach(`compatibility_level = 3.6
queue_directory = ${dir}/queue
data_directory = ${dir}/data
command_directory = ${SBIN}
daemon_directory = ${daemons}
mail_owner = postfix
setgid_group = postdrop
maillog_file_prefixes = ${dir}
maillog_file = ${dir}/log
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.example.com
mydestination = example.com
mynetworks = 127.0.0.1/32
alias_maps =
alias_database =
local_recipient_maps =
local_transport = smtp:[127.0.0.1]:${inside}
default_transport = smtp:[127.0.0.1]:${outside}
relay_transport = smtp:[127.0.0.1]:${outside}
smtp_dns_support_level = disabled
smtp_tls_security_level = none
${settings}`);
}

/**
 * Each program of Postfix warns of a setting that is there twice. Ten lines fill the socket of the log while nothing reads it yet, and
 * then the master, which starts what reads it, waits for room for a line of its own: for ever.
 */
function lastOfEach(settings: string): string {
  const last = new Map<string, string>();
  for (const setting of settings.split(/\n(?!\s)/)) last.set(setting.split('=', 1)[0]!.trim(), setting);
  return [...last.values()].join('\n');
}

function masterCf(
  listeners: readonly string[],
  ports: readonly number[],
  services: readonly string[] = [],
): string {
  const own = listeners.map((entry, index) => entry.replace(/^(127\.0\.0\.1):\d+/, `$1:${ports[index]}`));
  return `${[...own, ...services].join('\n')}
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 1 1 qmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
proxymap  unix  - - n - - proxymap
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
showq     unix  n - n - - showq
flush     unix  n - n 1000? 0 flush
postlog   unix-dgram n - n - 1 postlogd
`;
}
