import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { addToken } from '../../../src/accounts/tokens.js';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import { openKurrentStore } from '../../../src/store/kurrentdb/index.js';
import { systemClock } from '../../../src/runtime/clock.js';
import { FIXED_RULES } from '../fixed-rules.js';
import { KurrentDB } from '../kurrentdb/kurrentdb.js';
import { RedisServer } from '../redis.js';
import { Served } from '../smtp/served.js';
import { usersFile } from './accounts.js';
import { Node } from './node.js';

export interface ClusterOptions {
  readonly accounts: readonly string[];
  /** Whether there is a Redis; without one the worker keeps its timers in its process. */
  readonly redis?: boolean;
  /** Of every account; {@link PASSWORD} unless given. */
  readonly password?: string;
  /** For every process. */
  readonly env?: Readonly<Record<string, string>>;
  /** Ends with the cluster; one is started unless given. */
  readonly store?: KurrentDB;
}

/** Any number of Stopgap processes over one store and one Redis, each of them a process of its own. */
export class Cluster {
  readonly nodes: Node[] = [];
  readonly #closers: (() => unknown)[] = [];

  private constructor(
    readonly dir: string,
    readonly store: KurrentDB,
    readonly redis: RedisServer | undefined,
    readonly token: string,
    private readonly env: Readonly<Record<string, string>>,
  ) {}

  static async start({
    accounts,
    password,
    redis = true,
    env = {},
    store,
  }: ClusterOptions): Promise<Cluster> {
    const dir = await mkdtemp(path.join(tmpdir(), 'stopgap-cluster-'));
    await writeFile(path.join(dir, 'users.yaml'), await usersFile(accounts, password));
    await writeFile(path.join(dir, 'rules.yaml'), FIXED_RULES);
    const now = Date.now();
    const file = path.join(dir, 'tokens.yaml');
    const token = await addToken({ file, name: 'tests', role: 'admin', now });
    const started = redis ? await RedisServer.start() : undefined;
    return new Cluster(dir, store ?? (await KurrentDB.start()), started, token, env);
  }

  /** Starts a process with these roles; resolves when it listens. */
  async node(name: string, roles: string, env: Readonly<Record<string, string>> = {}): Promise<Node> {
    const node = this.#node(name, roles, env);
    await node.start();
    this.nodes.push(node);
    return node;
  }

  /** Starts a process with these roles; resolves when its HTTP port is open. */
  async begun(name: string, roles: string, env: Readonly<Record<string, string>> = {}): Promise<Node> {
    const node = this.#node(name, roles, env);
    await node.begin();
    this.nodes.push(node);
    return node;
  }

  #node(name: string, roles: string, env: Readonly<Record<string, string>>): Node {
    const dir = path.join(this.dir, name);
    const t = { after: (close: () => unknown) => void this.#closers.push(close) };
    const settings = { ...this.#settings(roles), ...this.env, ...env };
    return new Node(name, dir, () => Served.begin(t, dir, settings), this.token, settings);
  }

  #settings(roles: string): Record<string, string> {
    return {
      STOPGAP_ROLES: roles,
      STOPGAP_STORE: this.store.url,
      ...(this.redis === undefined ? {} : { STOPGAP_REDIS: this.redis.url }),
      STOPGAP_SMTP_HOSTNAME: 'mx.example.com',
      STOPGAP_SMTP_AUTH_USERS: path.join(this.dir, 'users.yaml'),
      STOPGAP_SMTP_RELAY_URL: `maildir:${path.join(this.dir, 'mail')}`,
      STOPGAP_RULES: path.join(this.dir, 'rules.yaml'),
      STOPGAP_API_TOKENS: path.join(this.dir, 'tokens.yaml'),
    };
  }

  killStore(): Promise<void> {
    return this.store.kill();
  }

  /** A killed store comes back at its old address, with what it had written and nothing that it only remembered. */
  storeBack(): Promise<void> {
    return this.store.restart();
  }

  /** All events in the store, in order. */
  async events(categories?: readonly string[]): Promise<RecordedEvent[]> {
    const store = await openKurrentStore({ url: this.store.url, clock: systemClock });
    try {
      const all: RecordedEvent[] = [];
      for await (const event of store.readAll(categories === undefined ? {} : { categories }))
        all.push(event);
      return all;
    } finally {
      await store.close();
    }
  }

  /** Ends every process, each by its id, and deletes what they wrote. */
  async stop(): Promise<void> {
    for (const close of this.#closers.splice(0)) await close();
    await this.store.stop();
    await this.redis?.stop();
    await rm(this.dir, { recursive: true, force: true });
  }

  /** What the processes logged, for the message of a failed test. */
  logs(): string {
    return this.nodes.map(({ name, served }) => `== ${name}\n${served.stderr.slice(-3000)}`).join('\n');
  }
}
