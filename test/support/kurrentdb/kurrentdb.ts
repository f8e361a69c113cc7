import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { BACKWARDS, END } from '@kurrent/kurrentdb-client';
import { answered } from '../../../src/store/kurrentdb/errors.js';
import { awaited } from '../distributed/awaited.js';
import type { Command, ServerArguments } from './control.js';
import { direct } from './direct.js';
import { FORMS, ONE, THREE, type Form } from './forms.js';
import { RealNode } from './real-node.js';
import { StandIn } from './stand-in.js';
import { freePort } from '../ports.js';

const PLAIN_URL = 'kurrentdb://{hosts}?tls=false';

/** Seconds that a real server may take to answer: three nodes elect a leader first. */
const PATIENCE = 120;

interface ServerNode {
  /** Where clients reach it. */
  readonly port: number;
  /** File or folder in which it keeps the log. */
  readonly data: string;
  /** Starts it on the data that it left, unless it runs. */
  start(): Promise<void>;
  kill(): Promise<void>;
  freeze(): Promise<void>;
  thaw(): Promise<void>;
}

export interface KurrentDBOptions {
  readonly form?: Form;
  /** That the stand-in behaves as; a real server has its own. */
  readonly version?: string;
  /** Milliseconds for which the stand-in cannot read what it has written; a real server takes its own time. */
  readonly indexing?: number;
  /** Gives the port under which clients of a cluster are to reach the node with this port. */
  readonly advertise?: Advertise;
}

type Advertise = (port: number) => Promise<number>;

/** The KurrentDB of one test: a real one where the environment says how to start it, else the stand-in. */
export class KurrentDB {
  private constructor(
    readonly form: Form,
    readonly nodes: readonly ServerNode[],
    private readonly dir: string,
  ) {}

  /** Starts one with nothing in it; resolves when it answers. */
  static async start(options: KurrentDBOptions = {}): Promise<KurrentDB> {
    const { form = FORMS[0]! } = options;
    const dir = await mkdtemp(path.join(tmpdir(), 'stopgap-kurrentdb-'));
    const server = new KurrentDB(form, await nodesOf(form, dir, options), dir);
    try {
      await server.restart();
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  get url(): string {
    return this.urlAt(this.nodes.map(({ port }) => port));
  }

  /** Its URL where its nodes are reached at other ports. */
  urlAt(ports: readonly number[]): string {
    const real = process.env['STOPGAP_TEST_KURRENTDB_URL'] ?? PLAIN_URL;
    const template = this.form === 'stand-in' ? PLAIN_URL : real;
    return template.replace('{hosts}', ports.map((port) => `127.0.0.1:${port}`).join());
  }

  /** Ends all nodes at once, as a crash would. */
  async kill(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.kill()));
  }

  /** Starts what does not run, on the data that it left; resolves when it answers. */
  async restart(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.start()));
    if (this.form !== 'stand-in') await awaited('KurrentDB answers', () => this.#answers(), PATIENCE);
  }

  /** Stops every process where it is: connections stay, and nothing is answered. */
  async freeze(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.freeze()));
  }

  async thaw(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.thaw()));
  }

  /** Remembers the log as it is. Kills it for that, and starts it again. */
  async save(): Promise<void> {
    await this.#killedFor((data) => cp(data, `${data}.saved`, { recursive: true }));
  }

  /** Comes back at the same address with the log as it was when it was saved. */
  async restore(): Promise<void> {
    await this.#killedFor(async (data) => {
      await rm(data, { recursive: true });
      await cp(`${data}.saved`, data, { recursive: true });
    });
  }

  /** Comes back at the same address with nothing in it. */
  async empty(): Promise<void> {
    await this.#killedFor((data) => rm(data, { recursive: true }));
  }

  /** Kills it and deletes its data. */
  async stop(): Promise<void> {
    await this.kill();
    await rm(this.dir, { recursive: true, force: true });
  }

  /** Tells the stand-in to fail in a way of its own: only if {@link skipOnRealServer} is false. */
  tell(command: Command): Promise<void> {
    const [node] = this.nodes;
    if (!(node instanceof StandInNode)) throw new Error(`a real KurrentDB cannot be told to ${command.do}`);
    return node.server!.tell(command);
  }

  async #killedFor(act: (data: string) => Promise<void>): Promise<void> {
    await this.kill();
    await Promise.all(this.nodes.map(({ data }) => act(data)));
    await this.restart();
  }

  async #answers(): Promise<boolean> {
    for (const node of this.nodes) if (node instanceof RealNode) node.assertRunning();
    await direct(this.url, async (client) => {
      const last = client.readAll({
        direction: BACKWARDS,
        fromPosition: END,
        maxCount: 1,
        requiresLeader: true,
      });
      await answered(5_000, last[Symbol.asyncIterator]().next());
    });
    return true;
  }
}

async function nodesOf(
  form: Form,
  dir: string,
  { advertise, version, indexing = 0 }: KurrentDBOptions,
): Promise<readonly ServerNode[]> {
  if (form === 'stand-in') {
    const file = path.join(dir, 'log.jsonl');
    return [new StandInNode({ file, indexing, ...(version === undefined ? {} : { version }) })];
  }
  if (form === 'one node') return [new RealNode(ONE, (await serverPorts(1))[0]!, dir)];
  const ports = await serverPorts(3);
  const nodes = ports.map(async (port, index) => {
    const seeds = ports.filter((other) => other !== port).map((other) => `127.0.0.1:${other}`);
    return new RealNode(THREE, port, path.join(dir, `node-${index + 1}`), {
      index: String(index + 1),
      ports: ports.join(' '),
      seeds: seeds.join(),
      ...(advertise === undefined ? {} : { advertised: String(await advertise(port)) }),
    });
  });
  return Promise.all(nodes);
}

/** Free ones, each with that 1,000 above it. */
async function serverPorts(count: number): Promise<readonly number[]> {
  const ports = new Set<number>();
  while (ports.size < count) {
    const port = await freePort();
    try {
      await freePort(port + 1000);
      ports.add(port);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    }
  }
  return [...ports];
}

/** The stand-in as a node: one process after the other over the same file. */
class StandInNode implements ServerNode {
  server: StandIn | undefined;
  #running = false;

  constructor(private readonly args: Partial<ServerArguments> & { readonly file: string }) {}

  get data(): string {
    return this.args.file;
  }

  get port(): number {
    return this.server!.port;
  }

  async start(): Promise<void> {
    if (this.#running) return;
    this.server = await (this.server?.again() ?? StandIn.start(this.args));
    this.#running = true;
  }

  async kill(): Promise<void> {
    this.#running = false;
    await this.server?.kill();
  }

  async freeze(): Promise<void> {
    this.server!.freeze();
  }

  async thaw(): Promise<void> {
    this.server!.thaw();
  }
}
