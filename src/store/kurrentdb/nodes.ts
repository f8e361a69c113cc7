import http2 from 'node:http2';
import net from 'node:net';
import tls from 'node:tls';
import { KurrentDBClient, type BasicCredentials } from '@kurrent/kurrentdb-client';
import { messageOf } from '../../kernel/errors.js';
import type { Milliseconds } from '../../kernel/time.js';
import { StoreRefused } from '../port.js';
import { NoAnswer } from './errors.js';

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

  /** @throws StoreRefused where the URL cannot be used */
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

  /** One that answers, and another than `failed` where there is one; `failed`, or any, where none does. */
  async answering(failed?: string): Promise<string> {
    const others = this.#nodes.filter((node) => node !== failed);
    if (this.#nodes.length === 1 || others.length === 0) return this.#nodes[0]!;
    return await Promise.any(others.map((node) => this.#greet(node))).catch(() => failed ?? others[0]!);
  }

  /**
   * A client with a connection of its own. Clients with equal settings share one below, and with it what holds it up: the
   * growing pauses of the system between its attempts to connect.
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
    return new Promise<string>((resolve, reject) => {
      const timer = setTimeout(() => reject(new NoAnswer(GREETING)), GREETING);
      session.once('remoteSettings', () => resolve(node));
      session.on('error', reject);
      session.once('close', () => {
        clearTimeout(timer);
        reject(new Error(`${node} closed the connection`));
      });
    }).finally(() => {
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
