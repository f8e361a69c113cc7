import type { ChildProcess } from 'node:child_process';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import { freePort } from './ports.js';

const run = promisify(execFile);

/** How to come by a Redis for the tests that need one, in one line. */
const HOW_TO_GET_REDIS = 'npm run test:install installs redis-server; or set REDIS_URL to one for tests';

let binary: Promise<boolean> | undefined;

/** Whether a private `redis-server` can be started here. */
export function hasRedisServer(): Promise<boolean> {
  binary ??= run('redis-server', ['--version']).then(
    () => true,
    () => false,
  );
  return binary;
}

/** False if tests can use a Redis, else why they are skipped: for the `skip` option of a test. */
export async function skipWithoutRedis(): Promise<string | false> {
  if ((await hasRedisServer()) || process.env['REDIS_URL'] !== undefined) return false;
  return `there is no Redis: ${HOW_TO_GET_REDIS}`;
}

/** The same for tests that must kill, restart or configure the server. */
export async function skipWithoutRedisServer(): Promise<string | false> {
  return (await hasRedisServer()) ? false : `there is no redis-server binary to start: ${HOW_TO_GET_REDIS}`;
}

export interface RedisServerOptions {
  /** Whether it keeps its data over {@link RedisServer.restart}. */
  readonly appendOnly?: boolean;
  /** More arguments, such as `--requirepass`, `secret`. */
  readonly args?: readonly string[];
  /** Makes it a sentinel that watches the server on this port under the name `mymaster`. */
  readonly sentinelOf?: number;
}

/** A private Redis on a port of its own, with its data in a temporary directory. */
export class RedisServer {
  #process: ChildProcess | undefined;

  private constructor(
    readonly port: number,
    readonly dir: string,
    private options: RedisServerOptions,
  ) {}

  static async start(options: RedisServerOptions = {}): Promise<RedisServer> {
    const dir = await mkdtemp(path.join(tmpdir(), 'stopgap-redis-'));
    const server = new RedisServer(await freePort(), dir, options);
    try {
      await server.restart();
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Ends it at once, as a crash would. Resolves when it is gone. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  /** SIGSTOP stops it where it is, with its connections open; SIGCONT lets it go on. */
  signal(name: 'SIGSTOP' | 'SIGCONT'): void {
    this.#process?.kill(name);
  }

  /** Gives it these arguments too, from its next start on. */
  take(...args: readonly string[]): void {
    const { args: before = [] } = this.options;
    this.options = { ...this.options, args: [...before, ...args] };
  }

  /** Starts it on the same port; resolves when it answers. */
  async restart(): Promise<void> {
    await this.kill();
    const args = this.options.sentinelOf === undefined ? this.#arguments() : await this.#sentinelArguments();
    const child = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#process = child;
    child.stdout.setEncoding('utf8');
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`redis-server ended with ${code}`)));
      child.stdout.on('data', (text: string) => {
        if (/Ready to accept connections|monitor master/.test(text)) resolve();
      });
    });
  }

  #arguments(): readonly string[] {
    const { appendOnly = false, args = [] } = this.options;
    return [
      '--port',
      String(this.port),
      '--bind',
      '127.0.0.1',
      '--dir',
      this.dir,
      '--save',
      '',
      '--appendonly',
      appendOnly ? 'yes' : 'no',
      '--appendfsync',
      'always',
      '--maxmemory-policy',
      'noeviction',
      ...args,
    ];
  }

  /** A sentinel keeps what it learns in its configuration file. */
  async #sentinelArguments(): Promise<readonly string[]> {
    const file = path.join(this.dir, 'sentinel.conf');
    const lines = [
      `port ${this.port}`,
      'bind 127.0.0.1',
      `dir ${this.dir}`,
      `sentinel monitor mymaster 127.0.0.1 ${this.options.sentinelOf} 1`,
    ];
    await writeFile(file, lines.join('\n'));
    return [file, '--sentinel'];
  }

  /** Kills it and deletes its data. */
  async stop(): Promise<void> {
    await this.kill();
    await rm(this.dir, { recursive: true, force: true });
  }
}

/** A Redis for one test file: a private one where there is the binary, else that of REDIS_URL. */
export interface TestRedis {
  readonly url: string;
  /** For looking at it and meddling with it. */
  readonly client: Redis;
  /** A name that no other run uses, since a Redis of REDIS_URL is shared. */
  readonly freshPrefix: () => string;
  close(): Promise<void>;
}

export async function openTestRedis(): Promise<TestRedis> {
  const server = (await hasRedisServer()) ? await RedisServer.start() : undefined;
  const url = server?.url ?? process.env['REDIS_URL']!;
  const client = new Redis(url);
  const prefixes: string[] = [];
  return {
    url,
    client,
    freshPrefix: () => {
      const prefix = `stopgap-test-${process.pid}-${Date.now()}-${prefixes.length}`;
      prefixes.push(prefix);
      return prefix;
    },
    close: async () => {
      for (const prefix of server === undefined ? prefixes : []) {
        for await (const keys of client.scanStream({ match: `${prefix}:*`, count: 1000 }) as AsyncIterable<
          string[]
        >)
          if (keys.length > 0) await client.del(keys);
      }
      client.disconnect();
      await server?.stop();
    },
  };
}

/**
 * A server that says it is a Redis of this version, and nothing else of use.
 *
 * @param info lines to answer INFO with besides the version
 */
export async function startFakeRedis(
  version: string,
  info: readonly string[] = [],
  port = 0,
): Promise<{ url: string; close: () => Promise<void> }> {
  const text = ['# Server', `redis_version:${version}`, 'loading:0', ...info, ''].join('\r\n');
  const server = createServer((socket) => {
    socket.setEncoding('utf8');
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk: string) => {
      // Each command is an array whose first word we need; these are short, and come whole.
      for (const [, word] of chunk.matchAll(/\*\d+\r\n\$\d+\r\n(\S+)\r\n/g)) {
        const name = word!.toUpperCase();
        if (name === 'INFO') socket.write(`$${Buffer.byteLength(text)}\r\n${text}\r\n`);
        else if (name === 'HELLO') socket.write("-ERR unknown command 'HELLO'\r\n");
        else socket.write('+OK\r\n');
      }
    });
    sockets.add(socket);
  });
  const sockets = new Set<{ destroy: () => void }>();
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
