import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Cluster } from '../distributed/cluster.js';
import type { Node } from '../distributed/node.js';
import { ADVERTISES, FORMS } from '../kurrentdb/forms.js';
import { KurrentDB } from '../kurrentdb/kurrentdb.js';
import { Proxy } from '../proxy.js';
import { hasRedisServer } from '../redis.js';

/** One rule, so that each account that floods is blocked once, and nothing else trips. */
const RULES = `version: 1
mode: enforce
maxAutomaticBlocks: 20 in 10m
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 100, then: block, for: 1h }
`;

/** One thing that can fail, and heal. */
export interface Fault {
  readonly name: string;
  readonly begin: () => unknown;
  readonly end: () => unknown;
}

export type Target = 'server' | 'role' | 'Redis';

/** Two SMTP nodes, two detectors with an API, a worker, a KurrentDB and a Redis, with a wire that can be broken to each. */
export class Scene {
  readonly smtp: Node[] = [];
  readonly apis: Node[] = [];
  readonly faults: Record<Target, Fault[]> = { server: [], role: [], Redis: [] };
  readonly #proxies: Proxy[] = [];

  private constructor(readonly cluster: Cluster) {}

  static async start(accounts: readonly string[]): Promise<Scene> {
    const wires: Proxy[] = [];
    const store = await KurrentDB.start({
      form: FORMS.at(-1)!,
      async advertise(port) {
        const wire = await Proxy.to(port);
        wires.push(wire);
        return wire.port;
      },
    });
    const scene = new Scene(await Cluster.start({ accounts, redis: await hasRedisServer(), store }));
    scene.#proxies.push(...wires);
    try {
      await scene.#populate(wires);
    } catch (error) {
      await scene.stop();
      throw error;
    }
    return scene;
  }

  /** The processes of Stopgap. */
  get nodes(): readonly Node[] {
    return this.cluster.nodes;
  }

  async stop(): Promise<void> {
    // A frozen process would not notice that its wire is gone.
    await this.cluster.stop();
    await Promise.all(this.#proxies.map((proxy) => proxy.close()));
  }

  /** @param wires of the cluster's nodes, where clients learn of nodes from the cluster itself */
  async #populate(wires: readonly Proxy[]): Promise<void> {
    const { store, redis, dir } = this.cluster;
    await writeFile(path.join(dir, 'rules.yaml'), RULES);
    const toStore: Proxy[] = [...wires];
    const start = async (name: string, roles: string): Promise<Node> => {
      const own: Proxy[] = [];
      const env: Record<string, string> = {};
      if (store.nodes.length === 1) {
        const wire = await this.#wire(store.nodes[0]!.port);
        toStore.push(wire);
        own.push(wire);
        env['STOPGAP_STORE'] = store.urlAt([wire.port]);
      } else if (ADVERTISES) env['STOPGAP_STORE'] = store.urlAt(wires.map(({ port }) => port));
      if (roles === 'worker' && redis !== undefined) {
        const wire = await this.#wire(redis.port);
        own.push(wire);
        env['STOPGAP_REDIS'] = `redis://127.0.0.1:${wire.port}`;
        this.faults.Redis.push(...breaks('Redis', [wire]));
      }
      const node = await this.cluster.node(name, roles, env);
      this.faults.role.push(
        { name: `kill ${name}`, begin: () => node.kill(), end: () => node.start() },
        { name: `freeze ${name}`, begin: () => node.signal('SIGSTOP'), end: () => node.signal('SIGCONT') },
        ...breaks(name, own),
      );
      return node;
    };
    // The first detector puts the rules in force.
    for (const name of ['center-1', 'center-2']) this.apis.push(await start(name, 'detector,api'));
    for (const name of ['smtp-1', 'smtp-2']) this.smtp.push(await start(name, 'smtp'));
    await start('worker', 'worker');

    for (const [index, node] of store.nodes.entries()) {
      const name = store.nodes.length === 1 ? 'server' : `server ${index + 1}`;
      const own = store.nodes.length === 1 ? toStore : ADVERTISES ? [wires[index]!] : [];
      this.faults.server.push(
        { name: `kill ${name}`, begin: () => node.kill(), end: () => store.restart() },
        { name: `freeze ${name}`, begin: () => node.freeze(), end: () => node.thaw() },
        ...breaks(name, own),
      );
    }
    if (store.nodes.length > 1)
      this.faults.server.push(
        { name: 'kill all servers', begin: () => store.kill(), end: () => store.restart() },
        { name: 'freeze all servers', begin: () => store.freeze(), end: () => store.thaw() },
      );
    if (redis !== undefined)
      this.faults.Redis.push(
        { name: 'kill Redis', begin: () => redis.kill(), end: () => redis.restart() },
        { name: 'freeze Redis', begin: () => redis.signal('SIGSTOP'), end: () => redis.signal('SIGCONT') },
      );
  }

  async #wire(port: number): Promise<Proxy> {
    const wire = await Proxy.to(port);
    this.#proxies.push(wire);
    return wire;
  }
}

/** What can happen on the way to a thing. */
function breaks(name: string, wires: readonly Proxy[]): Fault[] {
  if (wires.length === 0) return [];
  const heal = (): void => wires.forEach((wire) => wire.heal());
  return [
    { name: `mute ${name}`, begin: () => wires.forEach((wire) => wire.mute()), end: heal },
    {
      name: `hold back answers at ${name}`,
      begin: () => wires.forEach((wire) => wire.muteAnswers()),
      end: heal,
    },
    { name: `cut off ${name}`, begin: () => wires.forEach((wire) => wire.cut()), end: heal },
  ];
}
