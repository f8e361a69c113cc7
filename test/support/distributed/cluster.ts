import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { addToken } from '../../../src/accounts/tokens.js';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import { openKurrentStore } from '../../../src/store/kurrentdb/index.js';
import { systemClock } from '../../../src/system-clock.js';
import { FIXED_RULES } from '../fixed-rules.js';
import { StandIn } from '../kurrentdb/stand-in.js';
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
}

/** Any number of Stopgap processes over one store and one Redis, each of them a process of its own. */
export class Cluster {
  readonly nodes: Node[] = [];
  #storeKilled = false;
  readonly #closers: (() => unknown)[] = [];

  private constructor(
    readonly dir: string,
    public store: StandIn,
    readonly redis: RedisServer | undefined,
    readonly token: string,
    private readonly env: Readonly<Record<string, string>>,
  ) {}

  static async start({ accounts, password, redis = true, env = {} }: ClusterOptions): Promise<Cluster> {
    const dir = await mkdtemp(path.join(tmpdir(), 'stopgap-cluster-'));
    await writeFile(path.join(dir, 'users.yaml'), await usersFile(accounts, password));
    await writeFile(path.join(dir, 'rules.yaml'), FIXED_RULES);
    const now = Date.now();
    const file = path.join(dir, 'tokens.yaml');
    const token = await addToken({ file, name: 'tests', role: 'admin', now });
    const store = await StandIn.start({ file: path.join(dir, 'store.jsonl') });
    return new Cluster(dir, store, redis ? await RedisServer.start() : undefined, token, env);
  }

  /** Starts a process with these roles; resolves when it listens. */
  async node(name: string, roles: string, env: Readonly<Record<string, string>> = {}): Promise<Node> {
    const dir = path.join(this.dir, name);
    const t = { after: (close: () => unknown) => void this.#closers.push(close) };
    const settings = { ...this.#settings(roles), ...this.env, ...env };
    const node = new Node(name, dir, () => Served.start(t, dir, settings), this.token, settings);
    await node.start();
    this.nodes.push(node);
    return node;
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

  async killStore(): Promise<void> {
    this.#storeKilled = true;
    await this.store.kill();
  }

  /** A killed store comes back at its old address, with what it had written and nothing that it only remembered. */
  async storeBack(): Promise<void> {
    if (!this.#storeKilled) return;
    this.store = await this.store.again();
    this.#storeKilled = false;
  }

  /** Everything that stands in the store, in its order. */
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
    await this.store.kill();
    await this.redis?.stop();
    await rm(this.dir, { recursive: true, force: true });
  }

  /** What the processes logged, for the message of a failed test. */
  logs(): string {
    return this.nodes.map(({ name, served }) => `== ${name}\n${served.stderr.slice(-3000)}`).join('\n');
  }
}
