import { randomUUID } from 'node:crypto';
import http2 from 'node:http2';
import net from 'node:net';
import tls from 'node:tls';
import type { BasicCredentials } from '@kurrent/kurrentdb-client';
import {
  DeadlineExceededError,
  jsonEvent,
  KurrentDBClient,
  WrongExpectedVersionError,
} from '@kurrent/kurrentdb-client';
import { messageOf } from '../../kernel/errors.js';
import type { Milliseconds } from '../../kernel/time.js';
import { DAY, SECOND } from '../../kernel/time.js';
import { StoreRefused } from '../port.js';
import { APPEND_DEADLINE, sending } from './envelope.js';
import { answered, atLeader, portError, spoilsClient } from './errors.js';

/**
 * A client costs some milliseconds, and its reads fail for good once they have found no server. So it is replaced, but no
 * sooner than after this.
 */
const SETTLING: Milliseconds = 1000;

/**
 * Holds the client, and replaces it if it can no longer be trusted: it never drops a request that is not answered, and
 * keeps for ever the failure of its first question to a server.
 */
export class Connection {
  readonly #nodes: Nodes;
  #node: string;
  readonly #cuts: boolean;
  readonly #report: (problem: string, error: unknown) => void;
  #current: KurrentDBClient;
  #since = performance.now();
  #renewing: Promise<void> | undefined;
  /** The last attempt at a new client failed, and that was reported. */
  #told = false;
  #closed = false;
  readonly #watching = new Set<() => void>();

  /**
   * @param node where the first client begins
   * @param cuts whether what is still under way on a client that is replaced ends with it
   * @param report told once when no other client can be made
   * @throws what `Nodes.client` does
   */
  constructor(nodes: Nodes, node: string, cuts: boolean, report: (problem: string, error: unknown) => void) {
    this.#nodes = nodes;
    this.#node = node;
    this.#cuts = cuts;
    this.#report = report;
    this.#current = nodes.client(node);
  }

  get client(): KurrentDBClient {
    return this.#current;
  }

  /** Takes a new client where `failed` is still the one in use, and has had its time; soon, for it looks who answers. */
  renew(failed: KurrentDBClient): void {
    if (failed !== this.#current || this.#renewing || performance.now() - this.#since < SETTLING) return;
    this.#renewing = this.#replace(failed).finally(() => (this.#renewing = undefined));
  }

  /** Calls back when the client of now has been replaced, until the result is called. */
  onReplaced(callback: () => void): () => void {
    this.#watching.add(callback);
    return () => this.#watching.delete(callback);
  }

  /** Resolves when no client is being replaced. */
  async settled(): Promise<void> {
    await this.#renewing;
  }

  close(): void {
    this.#closed = true;
    this.#dispose(this.#current);
  }

  /** Never rejects: nobody has to wait for it. */
  async #replace(failed: KurrentDBClient): Promise<void> {
    try {
      const node = await this.#nodes.answering(this.#node);
      if (this.#closed) return;
      this.#current = this.#nodes.client(node);
      this.#node = node;
      this.#told = false;
    } catch (error) {
      // A file of the certificates is gone for a moment, or there is one open file too many. The next failure tries again.
      if (!this.#told)
        this.#report('the connection could not be made anew; it is tried again', firstLine(error));
      this.#told = true;
      return;
    } finally {
      this.#since = performance.now();
    }
    if (this.#cuts) this.#dispose(failed);
    for (const callback of this.#watching) callback();
    this.#watching.clear();
  }

  #dispose(client: KurrentDBClient): void {
    // Settles only when the last stream has; nothing depends on that.
    void client.dispose().catch(() => undefined);
  }
}

/** Schemes that are read as they are in KurrentDB's own documents, and the former names of the same. */
const SCHEME = /^(kurrentdb|esdb)(\+discover)?:\/\//;

/** User and password; nodes; settings. */
const PARTS = /^[^:]+:\/\/(?:([^/?#]*)@)?([^/?#@]+)\/*(?:\?(.*))?$/;

/** In lower case. Of others the client says on the console that it ignores them, and prints the URL with its password. */
const SETTINGS: ReadonlySet<string> = new Set([
  'connectionname',
  'defaultdeadline',
  'discoveryinterval',
  'gossiptimeout',
  'keepaliveinterval',
  'keepalivetimeout',
  'maxdiscoverattempts',
  'nodepreference',
  'tls',
  'tlscafile',
  'tlsverifycert',
  'usercertfile',
  'userkeyfile',
]);

const DEFAULT_PORT = '2113';

/** A node that is well accepts a connection within this time. */
const GREETING: Milliseconds = 1000;

/** The client's own, and least, time-out of a connection's keepalive. */
const KEEPALIVE_TIMEOUT: Milliseconds = 10_000;

/** How long the client's reads wait before they connect: half a second unless told otherwise. */
const DISCOVERY_INTERVAL: Milliseconds = 50;

/**
 * The nodes that a URL names. A client is made for one of them, and that node sends it on to the leader. So the client
 * never asks the nodes who leads: it would ask one after the other, and wait 5 s for each that does not answer.
 */
export class Nodes {
  /** As the URL has them, decoded; for reads, whose connection does not decode them. None without TLS. */
  readonly credentials: BasicCredentials | undefined;
  readonly #nodes: readonly string[];
  readonly #user: string;
  readonly #settings: ReadonlyMap<string, string>;
  #clients = 0;

  /** @throws StoreRefused if the URL cannot be used */
  constructor(url: string) {
    const refuse = (reason: string) => new StoreRefused(`the KurrentDB URL ${redacted(url)} ${reason}`);
    if (!SCHEME.test(url)) {
      throw new StoreRefused(
        `a KurrentDB store is kurrentdb://, kurrentdb+discover:// or esdb://, not ${redacted(url)}`,
      );
    }
    const [, user, nodes = '', settings = ''] = PARTS.exec(url.trim()) ?? [];
    this.#nodes = nodes.split(',').filter((node) => node !== '');
    if (this.#nodes.length === 0) throw refuse('names no node');
    const pairs = settings.split('&').filter((pair) => pair !== '');
    this.#settings = new Map(pairs.map((pair) => [flat(pair.split('=')[0]!), pair.replace(/^[^=]*=?/, '')]));
    const unknown = [...this.#settings.keys()].find((name) => !SETTINGS.has(name));
    if (unknown !== undefined) throw refuse(`has a setting that is not known: ${unknown}`);
    let credentials: BasicCredentials | undefined;
    if (user !== undefined) {
      try {
        const [name = '', ...password] = user.split(':').map(decodeURIComponent);
        credentials = { username: name, password: password.join(':') };
      } catch {
        throw refuse('cannot be used: in its user and password a % is written %25');
      }
    }
    this.#user = credentials
      ? `${encodeURIComponent(credentials.username)}:${encodeURIComponent(credentials.password)}@`
      : '';
    if (this.#settings.get('tls') !== 'false') this.credentials = credentials;
    try {
      for (const node of this.#nodes) this.client(node);
    } catch (error) {
      throw refuse(`cannot be used: ${firstLine(error)}`);
    }
  }

  /** One that answers, and another than `failed` if there is one; `failed`, or any, if none does. */
  async answering(failed?: string): Promise<string> {
    const others = this.#nodes.filter((node) => node !== failed);
    if (this.#nodes.length === 1 || others.length === 0) return this.#nodes[0]!;
    return await Promise.any(others.map((node) => this.#greet(node))).catch(() => failed ?? others[0]!);
  }

  /**
   * A client with a connection of its own. Clients with equal settings share one below, and with it what holds it up: the
   * growing pauses of the system between its attempts to connect.
   *
   * @throws the client's error: it reads the files of its certificates anew
   */
  client(node: string): KurrentDBClient {
    const timeout = Number(this.#settings.get('keepalivetimeout') ?? KEEPALIVE_TIMEOUT);
    const settings = new Map([
      ['discoveryinterval', String(DISCOVERY_INTERVAL)],
      ...this.#settings,
      ['keepalivetimeout', String(timeout < 0 ? timeout : timeout + (this.#clients++ % 1000))],
    ]);
    const query = [...settings].map(([name, value]) => `${name}=${value}`).join('&');
    return KurrentDBClient.connectionString(`kurrentdb://${this.#user}${node}?${query}`);
  }

  /** Resolves with the node once it speaks the protocol: one that is stopped takes connections, and says nothing. */
  #greet(node: string): Promise<string> {
    const [host, port = DEFAULT_PORT] = node.split(':');
    const to = { host, port: Number(port) };
    // Only whether it answers is looked at: nothing is sent that needs trust.
    const socket =
      this.#settings.get('tls') === 'false'
        ? net.connect(to)
        : tls.connect({ ...to, ALPNProtocols: ['h2'], rejectUnauthorized: false });
    const session = http2.connect(`http://${node}`, { createConnection: () => socket });
    const greeted = new Promise<string>((resolve, reject) => {
      session.once('remoteSettings', () => resolve(node));
      session.on('error', reject);
      session.once('close', () => reject(new Error(`${node} closed the connection`)));
    });
    return answered(GREETING, greeted).finally(() => {
      session.destroy();
      // A session that is not connected yet waits for it.
      socket.destroy();
    });
  }
}

/** As the client compares names of settings. */
function flat(name: string): string {
  return name.toLowerCase().replace(/[-_\s]/g, '');
}

/** Without user and password. */
export function redacted(url: string): string {
  return url.replace(/\/\/[^/?]*@/, '//…@');
}

/** The client's parser draws the whole URL, password and all, below its first line. */
function firstLine(error: unknown): string {
  return redacted(messageOf(error).split('\n')[0]!);
}

/** Never written: the probe's stream stays empty. */
const PROBE_STREAM = 'stopgap-probe';

/** No stream is ever there. */
const IMPOSSIBLE_REVISION = BigInt(Number.MAX_SAFE_INTEGER);

/** How exactly the skew of the clocks is found, apart from the time that a probe is under way. */
const NEAR: Milliseconds = 100;

/** A skew is looked for up to here; the client knows no deadline beyond a year. */
const FAR: Milliseconds = 30 * DAY;

/** A probe that is under way for longer says nothing about a clock. */
const SLOW: Milliseconds = SECOND;

/**
 * An append that cannot succeed: it goes all the way to the leader's writer, and writes nothing.
 *
 * @returns the client that was answered
 * @throws StoreUnavailable if it is not answered in time
 */
export async function probe(connection: Connection, timeout: Milliseconds): Promise<KurrentDBClient> {
  let { client } = connection;
  try {
    await answered(
      timeout,
      atLeader(() => attempt((client = connection.client), APPEND_DEADLINE)),
    );
  } catch (error) {
    if (!(error instanceof WrongExpectedVersionError)) {
      if (spoilsClient(error)) connection.renew(client);
      throw portError(error, 'a probe');
    }
  }
  return client;
}

function attempt(client: KurrentDBClient, deadline: Milliseconds): Promise<unknown> {
  const event = jsonEvent({ id: randomUUID(), type: 'Probe', data: {} });
  const state = sending(IMPOSSIBLE_REVISION, deadline);
  return client.appendToStream(PROBE_STREAM, event, state);
}

/**
 * Measures how far the leader's clock goes before ours. The client sends the deadline of an append as an instant by our
 * clock, and the server refuses what is past by its own: so a few probes with nearer and nearer deadlines tell. That
 * needs no other connection, no other right and no other address than appends do, and asks the clock that matters.
 *
 * @returns undefined if the server looks at no deadline, is too far away or too slow to say
 * @throws StoreUnavailable if a probe is not answered in time
 */
export async function measureSkew(
  { client }: Connection,
  timeout: Milliseconds,
): Promise<Milliseconds | undefined> {
  /** The quickest way there: what the server's clock went on meanwhile is no part of the skew. */
  let way: Milliseconds = SLOW;
  let slow = false;
  const isPast = async (deadline: Milliseconds): Promise<boolean> => {
    const began = performance.now();
    const error: unknown = await answered(timeout, attempt(client, deadline)).catch(
      (reason: unknown) => reason,
    );
    const took = performance.now() - began;
    way = Math.min(way, took / 2);
    slow ||= took > SLOW;
    if (error instanceof DeadlineExceededError) return true;
    if (error instanceof WrongExpectedVersionError) return false;
    throw portError(error, 'a probe');
  };
  let [low, high] = [-SECOND, SECOND];
  while (!slow && (await isPast(high))) {
    if (high > FAR) return undefined;
    [low, high] = [high, high * 8];
  }
  while (!slow && !(await isPast(low))) {
    if (low < -FAR) return undefined;
    [low, high] = [low * 8, low];
  }
  while (!slow && high - low > NEAR) {
    const middle = (low + high) / 2;
    if (await isPast(middle)) low = middle;
    else high = middle;
  }
  return slow ? undefined : Math.round((low + high) / 2 - way);
}

/** Lets work through in the order of its coming, unless something holds it. */
export class Gate {
  #holds = 0;
  #waiting: (() => void)[] = [];

  /** Whether work would go through at once. */
  get open(): boolean {
    return this.#holds === 0 && this.#waiting.length === 0;
  }

  /** New requests wait until the result is called. */
  hold(): () => void {
    this.#holds++;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#holds--;
      this.#flush();
    };
  }

  /** Runs it now, or in its turn. */
  pass(work: () => void): void {
    if (this.open) work();
    else this.#waiting.push(work);
  }

  #flush(): void {
    // Each may hold the gate again.
    while (this.#holds === 0 && this.#waiting.length > 0) this.#waiting.shift()!();
  }
}
