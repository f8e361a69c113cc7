import { setTimeout as pause } from 'node:timers/promises';
import {
  ANY,
  NO_STREAM,
  NotLeaderError,
  WrongExpectedVersionError,
  type AppendResult,
  type AppendStreamState,
  type EventData,
} from '@kurrent/kurrentdb-client';
import { LRUCache } from 'lru-cache';
import { StopgapError } from '../../kernel/errors.js';
import type { NewEvent, RecordedEvent } from '../../kernel/events.js';
import type { Milliseconds } from '../../kernel/time.js';
import type { Health } from '../health.js';
import { StoreUnavailable, WrongExpectedRevision, type Appended, type ExpectedRevision } from '../port.js';
import type { Connection } from './connection.js';
import { safeNumber, toEventData } from './envelope.js';
import { isAnswer, NoAnswer, portError, spoilsClient, within } from './errors.js';
import { Gate } from './gate.js';

/** Appends that may wait for their answer; more would only wait longer than they are willing to. */
const QUEUE_LIMIT = 20_000;

/** An answer that takes longer is a sign of an ailing server. */
const HEALTHY_WAIT: Milliseconds = 1000;

/** How far back a stream is searched for the events of an append that was refused. */
const READ_BACK = 1000;

/** Bound on the appends that are remembered as possibly written. */
const REMEMBERED_DOUBTS = 20_000;

/** The client learns who leads from the refusal itself, a turn or two of the event loop later. */
const LEADER_PAUSE: Milliseconds = 20;

export interface AppenderTools {
  readonly connection: Connection;
  readonly health: Health;
  readonly timeout: Milliseconds;
  /** The newest events of a stream, the last one first. */
  readonly newest: (stream: string, limit: number) => AsyncIterable<RecordedEvent>;
  /** A stream was written to. */
  readonly written: (stream: string) => void;
}

interface Request {
  readonly stream: string;
  readonly events: readonly NewEvent[];
  readonly expected: ExpectedRevision;
  readonly since: number;
}

/** Sends appends, many at a time over one BatchAppend stream, and makes of the answers what the port promises. */
export class Appender {
  /** Held while an append must not overtake: the first on a connection, the place of a subscription at the end. */
  readonly gate = new Gate();
  private readonly pending = new Set<Request>();
  /** Appends under way, by the id of their first event. */
  private readonly underWay = new Map<string, Promise<unknown>>();
  /** Appends that were sent and not answered, by the id of their first event. */
  private readonly doubtful = new LRUCache<string, true>({ max: REMEMBERED_DOUBTS });
  /** The client that has answered an append. */
  private warm: unknown;
  private lastAnswer = 0;
  private idle: (() => void)[] = [];

  /** Highest position known to be written. */
  private head = 0;

  constructor(private readonly tools: AppenderTools) {}

  get healthy(): boolean {
    const [oldest] = this.pending;
    return this.tools.health.good && (!oldest || performance.now() - oldest.since <= HEALTHY_WAIT);
  }

  /** Somebody has seen the log reach as far as this. */
  sawHead(position: number): void {
    if (position > this.head) this.head = position;
  }

  /** How far the log is known to reach. */
  get knownHead(): number {
    return this.head;
  }

  /** The log does not reach as far: it is another one. */
  forgetHead(): void {
    this.head = 0;
  }

  async append(stream: string, events: readonly NewEvent[], expected: ExpectedRevision): Promise<Appended> {
    if (this.pending.size >= QUEUE_LIMIT) {
      this.tools.health.fail();
      throw new StoreUnavailable(`${QUEUE_LIMIT} appends are waiting for the store already`);
    }
    const request = { stream, events, expected, since: performance.now() };
    this.pending.add(request);
    const first = events[0]!.id;
    // The same append, made again before the first was answered, goes when it has been: the server could not tell
    // which of the two was first.
    const before = this.underWay.get(first);
    const result = before ? before.then(() => this.enter(request)) : this.enter(request);
    const settled = result.catch(() => undefined);
    this.underWay.set(first, settled);
    try {
      return await result;
    } finally {
      if (this.underWay.get(first) === settled) this.underWay.delete(first);
      this.pending.delete(request);
      if (this.pending.size === 0) for (const wake of this.idle.splice(0)) wake();
    }
  }

  /** Resolves once no append is unanswered, which is by its time-out at the latest. */
  async drained(): Promise<void> {
    while (this.pending.size > 0) await new Promise<void>((resolve) => this.idle.push(resolve));
  }

  private enter(request: Request): Promise<Appended> {
    return new Promise((resolve, reject) => {
      this.gate.pass(() => {
        if (performance.now() - request.since >= this.tools.timeout) {
          this.tools.health.fail();
          reject(new StoreUnavailable(`append to ${request.stream}: it could not be sent in time`));
          return;
        }
        const { client } = this.tools.connection;
        let release = (): void => undefined;
        if (this.warm !== client) {
          // Until the stream of appends stands, the client does not keep their order.
          release = this.gate.hold();
        }
        this.perform(request)
          .finally(() => release())
          .then(resolve, reject);
      });
    });
  }

  private async perform(request: Request): Promise<Appended> {
    const { stream, events, expected } = request;
    const what = `append to ${stream}`;
    const first = events[0]!.id;
    const known = this.head;
    const state = expected === 'any' ? ANY : expected === 'none' ? NO_STREAM : BigInt(expected);
    try {
      if (expected === 'any' && this.doubtful.has(first)) {
        // The server may have been started anew since, and then knows nothing of the first attempt.
        const { found } = await this.lookBack(request);
        if (found.length === events.length) return duplicateOf(found);
      }
      const result = await this.send(request, events.map(toEventData), state);
      const position = result.position && safeNumber(result.position.commit);
      this.tools.health.succeed();
      this.doubtful.delete(first);
      this.tools.written(stream);
      if (position === undefined) return await this.recall(request);
      this.sawHead(position);
      // What is written now stands behind all that was known before.
      return { revision: safeNumber(result.nextExpectedRevision), position, duplicate: position <= known };
    } catch (error) {
      if (error instanceof WrongExpectedVersionError) {
        this.tools.health.succeed();
        return await this.refused(request, error);
      }
      if (!isAnswer(error)) {
        this.tools.health.fail();
        this.doubtful.set(first, true);
      }
      throw portError(error, what);
    }
  }

  private async send(
    request: Request,
    data: EventData[],
    streamState: AppendStreamState,
  ): Promise<AppendResult> {
    for (let attempt = 1; ; attempt++) {
      const { client } = this.tools.connection;
      const sent = performance.now();
      try {
        const answer = client.appendToStream(request.stream, data, { streamState, requiresLeader: true });
        const result = await within(this.deadline(request), answer);
        this.answered(client);
        return result;
      } catch (error) {
        if (isAnswer(error)) this.answered(client);
        // One that is late among others that are not says nothing about the connection.
        else if (spoilsClient(error) && !(error instanceof NoAnswer && this.lastAnswer > sent))
          this.tools.connection.renew(client);
        // Whoever does not lead has written nothing.
        if (!(error instanceof NotLeaderError) || attempt === 2) throw error;
        await pause(LEADER_PAUSE);
      }
    }
  }

  /** An append on this client, or a probe, has its answer: the stream of appends stands. */
  answered(client: unknown): void {
    this.warm = client;
    this.lastAnswer = performance.now();
  }

  /** Milliseconds left for the request. */
  private deadline({ since }: Request): Milliseconds {
    return Math.max(1, this.tools.timeout - (performance.now() - since));
  }

  /**
   * The server's revision did not fit. It may be that very append that moved it, or retention may have taken all
   * events, which leaves the revision where it was but makes the stream one without events.
   */
  private async refused(request: Request, wrong: WrongExpectedVersionError): Promise<Appended> {
    const { stream, events, expected } = request;
    const { found, last } = await this.lookBack(request);
    if (found.length === events.length) return duplicateOf(found);
    if (found.length > 0 || expected === 'any') {
      throw new StopgapError(
        'conflict',
        `append to ${stream}: some of these ${events.length} events were written before, the others not`,
      );
    }
    const { actualState } = wrong;
    if (!last && expected === 'none' && typeof actualState === 'bigint') {
      return this.afterLast(request, actualState);
    }
    const actual = last && typeof actualState === 'bigint' ? safeNumber(actualState) : 'none';
    throw new WrongExpectedRevision(stream, expected, actual);
  }

  private async afterLast(request: Request, revision: bigint): Promise<Appended> {
    const { stream, events } = request;
    try {
      const result = await this.send(request, events.map(toEventData), revision);
      this.tools.written(stream);
      const position = safeNumber(result.position!.commit);
      this.sawHead(position);
      return { revision: safeNumber(result.nextExpectedRevision), position, duplicate: false };
    } catch (error) {
      if (!(error instanceof WrongExpectedVersionError)) throw portError(error, `append to ${stream}`);
      const actual = typeof error.actualState === 'bigint' ? safeNumber(error.actualState) : 'none';
      throw new WrongExpectedRevision(stream, 'none', actual);
    }
  }

  /** Where an append went whose answer names no position. */
  private async recall(request: Request): Promise<Appended> {
    const { found } = await this.lookBack(request);
    if (found.length > 0) return duplicateOf(found);
    throw new StoreUnavailable(`append to ${request.stream}: written, but not found again`);
  }

  /** Those of the request's events that the stream holds, as far back as is searched, and its last event. */
  private async lookBack({
    stream,
    events,
  }: Request): Promise<{ found: RecordedEvent[]; last: RecordedEvent | undefined }> {
    const ids = new Set(events.map(({ id }) => id.toLowerCase()));
    const found = new Map<string, RecordedEvent>();
    let last: RecordedEvent | undefined;
    for await (const event of this.tools.newest(stream, READ_BACK)) {
      last ??= event;
      if (ids.has(event.id)) found.set(event.id, event);
      if (found.size === ids.size) break;
    }
    return { found: [...found.values()], last };
  }
}

function duplicateOf(events: readonly RecordedEvent[]): Appended {
  return {
    revision: Math.max(...events.map(({ revision }) => revision)),
    position: Math.max(...events.map(({ position }) => position)),
    duplicate: true,
  };
}
