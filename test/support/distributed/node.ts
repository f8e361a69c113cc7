import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { systemClock } from '../../../src/runtime/clock.js';
import { withCertificate } from '../smtp/certificate.js';
import type { Served } from '../smtp/served.js';
import { Dialogue } from '../smtp/dialogue.js';
import { PASSWORD } from './accounts.js';

/** What a client of the API sees of a block. */
export interface BlockView {
  readonly id: string;
  readonly state: string;
  readonly subject: { readonly type: string; readonly value: string };
  readonly until: string | null;
  readonly origin?: string;
}

/** One process of a cluster: its directory outlives it, so that it can be started again on what it left. */
export class Node {
  served!: Served;
  /** Its HTTP port. */
  http!: number;

  constructor(
    readonly name: string,
    readonly dir: string,
    private readonly spawn: () => Served,
    private readonly token: string,
    /** Its configuration, as the environment has it. */
    readonly settings: Readonly<Record<string, string>>,
  ) {}

  /** Starts it; resolves when it has caught up and listens. */
  async start(): Promise<void> {
    await this.begin();
    await this.served.announced();
  }

  /** Starts it; resolves when its HTTP port is open. */
  async begin(): Promise<void> {
    const data = path.join(this.dir, 'data');
    await mkdir(data, { recursive: true });
    const { STOPGAP_ROLES: roles, STOPGAP_SMTP_HOSTNAME: hostname } = this.settings;
    if (roles?.includes('smtp') === true && hostname !== undefined && !existsSync(path.join(data, 'tls')))
      await withCertificate(data, hostname, systemClock);
    this.served = this.spawn();
    this.http = await this.served.httpPort();
  }

  get smtp(): number {
    return this.served.port('submission');
  }

  kill(): Promise<void> {
    return this.served.kill();
  }

  /** SIGSTOP stops it where it is, with its connections open; SIGCONT lets it go on. */
  signal(name: 'SIGSTOP' | 'SIGCONT'): void {
    this.served.child.kill(name);
  }

  /** A session of an account that is logged in. */
  async session(account: string): Promise<Dialogue> {
    const dialogue = await Dialogue.hello(this.smtp);
    const reply = await dialogue.login(account, PASSWORD);
    assert.match(reply, /^235 /, `${account} at ${this.name}: ${reply}`);
    return dialogue;
  }

  /** What RCPT TO answers to this account just now, at this node, in a session of its own. */
  async rcpt(account: string): Promise<string> {
    const dialogue = await Dialogue.hello(this.smtp);
    try {
      const login = await dialogue.login(account, PASSWORD);
      if (!login.startsWith('235')) return login;
      await dialogue.say(`MAIL FROM:<${account}>`);
      return await dialogue.say('RCPT TO:<someone@elsewhere.test>');
    } finally {
      dialogue.vanish();
    }
  }

  async refuses(account: string): Promise<boolean> {
    return !(await this.rcpt(account)).startsWith('250');
  }

  api(method: string, resource: string, body?: unknown): Promise<Response> {
    return this.served.api(method, resource, this.token, body, this.http);
  }

  /** As {@link api}, where it must succeed. */
  async json<T>(method: string, resource: string, body?: unknown): Promise<T> {
    const answer = await this.api(method, resource, body);
    const text = await answer.text();
    assert.ok(answer.ok, `${method} ${resource} at ${this.name}: ${answer.status} ${text}`);
    return JSON.parse(text) as T;
  }

  /** All of them, page by page. */
  async blocks(): Promise<readonly BlockView[]> {
    const all: BlockView[] = [];
    for (let cursor: string | null = ''; cursor !== null;) {
      const page: { items: BlockView[]; next: string | null } = await this.json(
        'GET',
        `/api/v1/blocks?limit=200${cursor && `&cursor=${cursor}`}`,
      );
      all.push(...page.items);
      cursor = page.next;
    }
    return all;
  }

  /** Blocks of one account in any state. */
  async blocksOf(account: string): Promise<readonly BlockView[]> {
    return (await this.blocks()).filter(({ subject }) => subject.value === account);
  }

  /** Blocks an account by the API; gives the block's id. */
  async block(account: string, duration = '1h'): Promise<string> {
    const wish = { subject: { type: 'account', value: account }, direction: 'all', description: 'by a test' };
    const { id } = await this.json<{ id: string }>('POST', '/api/v1/blocks', { ...wish, duration });
    return id;
  }

  release(id: string): Promise<unknown> {
    return this.json('POST', `/api/v1/blocks/${id}/release`, { note: 'by a test' });
  }

  /** What an operator sees without a token. */
  async health(): Promise<Record<string, unknown>> {
    const answer = await fetch(`http://127.0.0.1:${this.http}/healthz`);
    return (await answer.json()) as Record<string, unknown>;
  }

  /** How far it is, and whether it says that it is ready. */
  async readiness(): Promise<{ readonly status: number } & Record<string, unknown>> {
    const answer = await fetch(`http://127.0.0.1:${this.http}/readyz`);
    return { ...((await answer.json()) as Record<string, unknown>), status: answer.status };
  }

  /** The sum of a metric over its labels. */
  async metric(name: string): Promise<number> {
    const answer = await fetch(`http://127.0.0.1:${this.http}/metrics`);
    const text = await answer.text();
    assert.equal(answer.status, 200, text);
    const values = [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'))];
    assert.ok(values.length > 0, `${this.name} has no metric ${name}`);
    return values.reduce((sum, [, value]) => sum + Number(value), 0);
  }
}
