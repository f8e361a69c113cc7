import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { NoAnswer, answered } from '../../../src/store/kurrentdb/errors.js';
import { PASSWORD } from '../distributed/accounts.js';
import type { BlockView, Node } from '../distributed/node.js';
import { sendOne } from '../distributed/sends.js';
import { Tally } from '../gate.js';
import { Dialogue } from '../smtp/dialogue.js';

/** Milliseconds between two steps of one worker: enough to keep every process busy, and few enough to read it all again. */
const PACE = 20;
/** Milliseconds after which a request is made again, under the same key. */
const PATIENCE = 10_000;
const MESSAGES_A_SESSION = 20;

/** What was answered as done, to be looked for in the log. */
export interface Acknowledged {
  /** Recipient domains, one of each message. */
  readonly sends: string[];
  /** Ids of blocks: those that end by themselves, and those that do not. */
  readonly blocks: { readonly timed: Set<string>; readonly lasting: Set<string> };
  readonly releases: Set<string>;
}

export interface LoadOptions {
  readonly smtp: readonly Node[];
  readonly apis: readonly Node[];
  readonly token: string;
  /** Send a little, all the time: each at one node, in two sessions. */
  readonly steady: readonly string[];
  /** Flood one after the other, each until it is refused. */
  readonly floods: readonly string[];
  readonly random: () => number;
}

/** Mail and decisions without end, at every process at once, through all faults. */
export class Load {
  readonly acknowledged: Acknowledged = {
    sends: [],
    blocks: { timed: new Set(), lasting: new Set() },
    releases: new Set(),
  };
  /** Steps made, each of which was answered or failed. */
  readonly steps = new Tally();
  /** Answers that no request should get, under any fault. */
  readonly failures: unknown[] = [];
  readonly #options: LoadOptions;
  readonly #workers: Promise<unknown>[];
  /** Requests that have no answer yet, with the last that was said to them. */
  readonly #pending = new Map<string, string>();
  #stopping = false;
  #subjects = 0;

  constructor(options: LoadOptions) {
    this.#options = options;
    const { smtp, steady } = options;
    const workers = [
      // Twice each, so that what waits of one account is more than one message.
      ...[...steady.entries(), ...steady.entries()].map(([n, from]) =>
        this.#send(smtp[n % smtp.length]!, from),
      ),
      this.#flood(),
      ...options.apis.map(() => this.#decide()),
    ];
    this.#workers = workers.map((worker) => worker.catch((error: unknown) => this.failures.push(error)));
  }

  /** No new step. @throws Error if what is under way is not answered within so many seconds */
  async stop(seconds: number): Promise<void> {
    this.#stopping = true;
    const still = (): Error =>
      new Error(`not answered within ${seconds} s: ${[...this.#pending.values()].join('; ')}`);
    await answered(seconds * 1000, Promise.all(this.#workers)).catch((error: unknown) => {
      throw error instanceof NoAnswer ? still() : error;
    });
  }

  async #send(node: Node, from: string): Promise<void> {
    while (!this.#stopping) await this.#session(node, from, MESSAGES_A_SESSION, 1);
  }

  async #flood(): Promise<void> {
    for (const from of this.#options.floods) {
      const until = this.steps.count + 300;
      while (
        !this.#stopping &&
        (await this.#session(this.#pick(this.#options.smtp), from, 30, 5)) !== 'refused'
      );
      // Apart from each other, so that each fault has a flood of its own.
      while (!this.#stopping && this.steps.count < until) await pause(PACE);
    }
  }

  /** So many messages in a session of its own; it may be cut off at any place. */
  async #session(
    node: Node,
    from: string,
    messages: number,
    recipients: number,
  ): Promise<'refused' | 'sent' | 'broken'> {
    let session: Dialogue | undefined;
    try {
      session = await Dialogue.hello(node.smtp);
      if (!(await session.login(from, PASSWORD)).startsWith('235')) return 'refused';
      for (let n = 0; n < messages && !this.#stopping; n++) {
        const reply = await sendOne(session, from, this.acknowledged.sends, recipients);
        if (!reply.startsWith('250')) return 'refused';
        await this.#step();
      }
      return 'sent';
    } catch {
      // Killed, or not there: what counts is what it had answered before.
      return 'broken';
    } finally {
      session?.vanish();
      await this.#step();
    }
  }

  async #decide(): Promise<void> {
    while (!this.#stopping) {
      const subject = { type: 'account', value: `decided-${++this.#subjects}@example.com` };
      const timed = this.#options.random() < 0.4;
      const wish = { subject, direction: 'all', description: 'by a test', duration: timed ? '2s' : '1h' };
      const made = await this.#insist<BlockView>('/api/v1/blocks', wish);
      if (made === undefined) continue;
      const { id } = made;
      this.acknowledged.blocks[timed ? 'timed' : 'lasting'].add(id);
      if (!timed && this.#options.random() < 0.6) {
        await this.#insist(`/api/v1/blocks/${id}/release`, { note: 'by a test' });
        this.acknowledged.releases.add(id);
      }
    }
  }

  /**
   * Makes a request at one API or another until it is answered, under one key; undefined if so long a time has passed
   * meanwhile that it asks for nothing any more.
   *
   * @throws Error if it is refused for another reason
   */
  async #insist<T>(resource: string, body: unknown): Promise<T | undefined> {
    const key = randomUUID();
    try {
      for (;;) {
        const node = this.#pick(this.#options.apis);
        const { status, text } = await this.#post(node, resource, body, key);
        await this.#step(5);
        this.#pending.set(key, `${resource} at ${node.name}: ${status} ${text}`);
        if (status >= 200 && status < 300) return JSON.parse(text) as T;
        if (text.includes('until: must lie in the future')) return undefined;
        if (!TRANSIENT.some((one) => one.status === status && text.includes(one.text)))
          throw new Error(this.#pending.get(key));
      }
    } finally {
      this.#pending.delete(key);
    }
  }

  /** A status of 0 where no answer came. */
  async #post(
    node: Node,
    resource: string,
    body: unknown,
    key: string,
  ): Promise<{ readonly status: number; readonly text: string }> {
    try {
      const answer = await fetch(`http://127.0.0.1:${node.http}${resource}`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${this.#options.token}`,
          'content-type': 'application/json',
          'idempotency-key': key,
        },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(PATIENCE),
      });
      return { status: answer.status, text: await answer.text() };
    } catch (error) {
      return { status: 0, text: String(error) };
    }
  }

  async #step(paces = 1): Promise<void> {
    this.steps.add();
    await pause(PACE * paces);
  }

  #pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.#options.random() * list.length)]!;
  }
}

/** Answers after which the same request is made again. */
const TRANSIENT = [
  { status: 0, text: '' },
  { status: 503, text: '' },
  // An API that lags does not know yet what another has made.
  { status: 404, text: 'there is no block' },
  // The first request with this key goes on at that API.
  { status: 409, text: 'Idempotency-Key is still under way' },
];
