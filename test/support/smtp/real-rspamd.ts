import type { ChildProcess } from 'node:child_process';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { command, DEBIAN } from './debian.js';
import { eventually } from './eventually.js';
import { freePorts } from '../ports.js';

const RSPAMD = '/usr/bin/rspamd';

/** Why no rspamd of this version or a later one can be run here; undefined if one can. */
export function rspamdMissing([major, minor]: readonly [number, number]): string | undefined {
  if (!existsSync(path.join(DEBIAN, RSPAMD)))
    return 'no rspamd is installed (install it with: npm run test:install)';
  const [program, args] = command(RSPAMD, ['--version']);
  const { stdout } = spawnSync(program, args, { encoding: 'utf8' });
  const found = /(\d+)\.(\d+)/.exec(stdout);
  const [isMajor, isMinor] = [Number(found?.[1]), Number(found?.[2])];
  if (isMajor > major || (isMajor === major && isMinor >= minor)) return undefined;
  return `rspamd ${found?.[0]} is too old: this needs ${major}.${minor}`;
}

/** An rspamd of one's own: on loopback, in a directory of its own, with nothing but what a test gives it. */
export class RealRspamd {
  readonly #port: number;
  readonly #dir: string;
  readonly #child: ChildProcess;
  log = '';

  private constructor(dir: string, child: ChildProcess, port: number) {
    this.#dir = dir;
    this.#child = child;
    this.#port = port;
    for (const stream of [child.stdout!, child.stderr!])
      stream.on('data', (chunk: Buffer) => (this.log += chunk.toString()));
  }

  /** @param modules what `local.d` would hold, by module */
  static async start(
    t: Pick<TestContext, 'after'>,
    modules: Readonly<Record<string, string>>,
  ): Promise<RealRspamd> {
    const dir = await mkdtemp(path.join(DEBIAN, tmpdir(), 'stopgap-rspamd-'));
    const [port] = await freePorts(1);
    const parts = Object.entries(modules).map(([name, text]) => `${name} {\n${text}\n}\n`);
    await writeFile(
      path.join(dir, 'rspamd.conf'),
      configuration(dir.slice(DEBIAN.length), port!) + parts.join(''),
    );
    await writeFile(path.join(dir, 'tld.inc'), 'test\ncom\n');
    // What the rules of the distribution begin with; modules rely on it.
    await writeFile(path.join(dir, 'globals.lua'), 'require("global_functions")()\n');
    const [program, args] = command(RSPAMD, [
      '-f',
      '-i',
      '-c',
      path.join(dir.slice(DEBIAN.length), 'rspamd.conf'),
    ]);
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const rspamd = new RealRspamd(dir, child, port!);
    t.after(() => rspamd.#stop());
    await eventually(
      'rspamd answers',
      () =>
        fetch(`http://127.0.0.1:${port}/ping`).then(
          ({ ok }) => ok,
          () => false,
        ),
      60_000,
    ).catch((error: Error) => {
      throw new Error(`${error.message}\n${rspamd.log.slice(-2000)}`);
    });
    return rspamd;
  }

  /** Has a message looked at, as a mail server does. @param lines more lines of its header @returns the action */
  async check(
    user: string,
    recipients: readonly string[],
    queueId: string,
    {
      lines = '',
      returnPath = user,
      ip = '192.0.2.7',
    }: Partial<Record<'lines' | 'returnPath' | 'ip', string>> = {},
  ): Promise<string> {
    // One byte a character.
    const headers = new Headers({ from: returnPath, user, 'queue-id': queueId, helo: 'pc.test' });
    if (ip !== '') headers.set('ip', ip);
    for (const recipient of recipients) headers.append('rcpt', recipient);
    const message = `From: ${user}\r\nTo: x@one.test\r\nSubject: hello\r\nMessage-ID: <${queueId}@x.test>\r\n${lines}\r\nhello\r\n`;
    const response = await fetch(`http://127.0.0.1:${this.#port}/checkv2`, {
      method: 'POST',
      headers,
      body: Buffer.from(message, 'latin1'),
    });
    return ((await response.json()) as { action: string }).action;
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

function configuration(dir: string, port: number): string {
  return `options {
  pidfile = "${dir}/rspamd.pid";
  tempdir = "${dir}";
  hs_cache_dir = "${dir}";
  control_socket = "${dir}/rspamd.sock mode=0600";
  filters = "";
  # All that there are take half a minute.
  url_tld = "${dir}/tld.inc";
  dns { nameserver = ["127.0.0.1:1"]; timeout = 0.1s; retransmits = 1; }
}
logging { type = "console"; level = "info"; color = false; }
worker "normal" { bind_socket = "127.0.0.1:${port}"; count = 1; }
lua = "${dir}/globals.lua";
modules { path = "/usr/share/rspamd/plugins/"; }
actions { reject = 15; add_header = 6; greylist = 4; }
`;
}
