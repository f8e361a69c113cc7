import {
  ANY,
  MaxAppendSizeExceededError,
  NO_STREAM,
  NotLeaderError,
  WrongExpectedVersionError,
  type AppendResult,
  type AppendStreamState,
  type KurrentDBClient,
} from '@kurrent/kurrentdb-client';
import { errorOf, StopgapError } from '../../kernel/errors.js';
import type { NewEvent, RecordedEvent } from '../../kernel/events.js';
import type { Milliseconds } from '../../kernel/time.js';
import type { Health } from '../health.js';
import { StoreUnavailable, WrongExpectedRevision, type Appended, type ExpectedRevision } from '../port.js';
import type { Connection } from './connection.js';
import { Gate } from './connection.js';
import { safeNumber, sending, toEventData } from './envelope.js';
import { atLeader, isAnswer, leaderLearnt, NoAnswer, portError, spoilsClient } from './errors.js';
import { recentlyUsed } from '../../runtime/recently-used.js';

/** Appends that may wait for their answer; more would only wait longer than they are willing to. */
const QUEUE_LIMIT = 20_000;

/** An answer that takes longer is a sign of an ailing server. */
const HEALTHY_WAIT: Milliseconds = 1000;

/** How far back a stream is searched for the events of an append that was refused. */
const READ_BACK = 1000;

/** Bound on the events that are remembered as possibly written. */
const REMEMBERED_DOUBTS = 20_000;

export interface AppenderTools {
  readonly connection: Connection;
  readonly health: Health;
  readonly timeout: Milliseconds;
  /** The newest events of a stream, the last one first. */
  readonly newest: (stream: string, limit: number) => AsyncIterable<RecordedEvent>;
  /** Whether all that a stream holds, up to a revision that a refusal has named, has outlived its retention. */
  readonly emptied: (stream: string, revision: number) => Promise<boolean>;
  /** Sets the retention of a stream, which is sent at once; undefined if it is known to be set. */
  readonly provide: (stream: string) => Promise<void> | undefined;
  /** The server takes less at once than was sent. */
  readonly limited: (error: MaxAppendSizeExceededError) => void;
}

interface Request {
  readonly stream: string;
  readonly events: readonly NewEvent[];
  readonly expected: ExpectedRevision;
  readonly since: number;
  readonly resolve: (appended: Appended) => void;
  readonly reject: (error: Error) => void;
  /** What it was last sent on, and when; undefined until then. */
  client: KurrentDBClient | undefined;
  sent: number;
  /** Highest position that was known when it was first sent. */
  known: number;
  /** The retention of its stream is being set. */
  provided: Promise<void> | undefined;
  /** Its caller has been answered. */
  over: boolean;
  /** Lets others pass the gate. */
  release: (() => void) | undefined;
  /** The same append, made again before this one was answered. */
  twin: Request | undefined;
}

/**
 * Sends appends, many at a time over one BatchAppend stream, and makes of the answers what the port promises. An append
 * that goes through costs two promises and no timer: how fast appends are beside the client's own depends on that.
 */
export class Appender {
  readonly #tools: AppenderTools;
  /** Held while an append must not overtake: the first on a connection, the place of a subscription at the end. */
  readonly gate = new Gate();
  /** What is not answered, the oldest first. */
  readonly #pending = new Set<Request>();
  /** The newest append under way for each id of a first event. */
  readonly #underWay = new Map<string, Request>();
  /** Events that were sent and not answered, by id. */
  readonly #doubtful = recentlyUsed<string, true>(REMEMBERED_DOUBTS);
  /** The client that has answered an append. */
  #warm: unknown;
  #lastAnswer = 0;
  #idle: (() => void)[] = [];
  /** Goes off when the oldest append has waited long enough, or after that. */
  #timer: NodeJS.Timeout | undefined;

  /** Highest position known to be written. */
  #head = 0;

  constructor(tools: AppenderTools) {
    this.#tools = tools;
  }

  get healthy(): boolean {
    const [oldest] = this.#pending;
    return this.#tools.health.good && (!oldest || performance.now() - oldest.since <= HEALTHY_WAIT);
  }

  /** Position of the last event that is known to be written. */
  get reached(): number {
    return this.#head;
  }

  /**
   * The log was read to its end.
   *
   * @param before {@link reached} when the reading began: a log that ends before it is a shorter one, such as a backup
   */
  sawHead(position: number, before: number): void {
    if (position > this.#head || position < before) this.#head = position;
  }

  /** Another log has taken the place of the one that was written to: what was known of it holds no longer. */
  logReplaced(): void {
    this.#head = 0;
  }

  append(stream: string, events: readonly NewEvent[], expected: ExpectedRevision): Promise<Appended> {
    if (this.#pending.size >= QUEUE_LIMIT) {
      this.#tools.health.fail();
      const error = new StoreUnavailable(`${QUEUE_LIMIT} appends are waiting for the store already`);
      return Promise.reject(error);
    }
    return new Promise((resolve, reject) => {
      const request: Request = {
        stream,
        events,
        expected,
        since: performance.now(),
        resolve,
        reject,
        client: undefined,
        sent: 0,
        known: 0,
        provided: undefined,
        over: false,
        release: undefined,
        twin: undefined,
      };
      this.#pending.add(request);
      if (!this.#timer) this.#wakeIn(this.#tools.timeout);
      else if (this.#pending.size === 1) this.#timer.ref();
      const first = events[0]!.id;
      const before = this.#underWay.get(first);
      this.#underWay.set(first, request);
      // It goes when the earlier one has been answered: the server could not tell which of the two was first.
      if (before) before.twin = request;
      else this.#enter(request);
    });
  }

  /** Resolves once no append is unanswered, which is by its time-out at the latest. */
  async drained(): Promise<void> {
    while (this.#pending.size > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #enter(request: Request): void {
    if (this.gate.open) this.#begin(request);
    else this.gate.pass(() => this.#begin(request));
  }

  #begin(request: Request): void {
    if (request.over) return;
    const { events, expected } = request;
    // Until the client has its stream of appends open, it does not keep their order.
    if (this.#warm !== this.#tools.connection.client) request.release = this.gate.hold();
    request.known = this.#head;
    // Ahead of the events, and not after them: a process that ends in between would leave them without it.
    request.provided = this.#tools.provide(request.stream);
    // The server may have been started again since, and then knows nothing of the first attempt.
    if (expected === 'any' && this.#doubtful.size > 0 && events.some(({ id }) => this.#doubtful.has(id))) {
      this.#finish(request, this.#piecemeal(request));
      return;
    }
    this.#send(request, events, stateOf(expected)).then(
      (result) => this.#take(request, result),
      (error: unknown) => this.#finish(request, this.#recover(request, error)),
    );
  }

  #send(
    request: Request,
    events: readonly NewEvent[],
    streamState: AppendStreamState,
  ): Promise<AppendResult> {
    const { client } = this.#tools.connection;
    request.client = client;
    request.sent = performance.now();
    return client.appendToStream(request.stream, events.map(toEventData), sending(streamState));
  }

  #ask(request: Request, events: readonly NewEvent[], state: AppendStreamState): Promise<AppendResult> {
    return atLeader(async () => {
      // Its caller knows of a failure, and may have made it again.
      if (request.over) throw new NoAnswer(this.#tools.timeout);
      try {
        const result = await this.#send(request, events, state);
        this.answered(request.client);
        return result;
      } catch (error) {
        this.#noticed(request, error);
        throw error;
      }
    });
  }

  /** What an error says about the connection. */
  #noticed({ client }: Request, error: unknown): void {
    if (error instanceof WrongExpectedVersionError) this.#tools.health.succeed();
    if (error instanceof MaxAppendSizeExceededError) this.#tools.limited(error);
    if (isAnswer(error)) this.answered(client);
    else if (client && spoilsClient(error)) this.#tools.connection.renew(client);
  }

  /** An append on this client, or a probe, has its answer: the stream of appends is open. */
  answered(client: unknown): void {
    this.#warm = client;
    this.#lastAnswer = performance.now();
  }

  /** What an answer says; undefined if it names no position. */
  #appended({ known }: Request, { position, nextExpectedRevision }: AppendResult): Appended | undefined {
    if (!position) return undefined;
    const at = safeNumber(position.commit);
    if (at > this.#head) this.#head = at;
    // What is written now comes after all that was known before.
    return { revision: safeNumber(nextExpectedRevision), position: at, duplicate: at <= known };
  }

  /** The first attempt was answered. */
  #take(request: Request, result: AppendResult): void {
    this.answered(request.client);
    try {
      const appended = this.#appended(request, result);
      if (appended) this.#succeed(request, appended);
      else this.#finish(request, this.#recall(request));
    } catch (error) {
      this.#finish(request, Promise.reject(errorOf(error)));
    }
  }

  #succeed(request: Request, appended: Appended): void {
    // Its caller knows of a failure: that a server answers too late does not make it a healthy one.
    if (request.over) return;
    const { provided, events } = request;
    if (provided !== undefined) {
      request.provided = undefined;
      this.#finish(
        request,
        provided.then(() => appended),
      );
      return;
    }
    this.#tools.health.succeed();
    if (this.#doubtful.size > 0) for (const { id } of events) this.#doubtful.delete(id);
    this.#end(request);
    request.resolve(appended);
  }

  /** Answers the caller with the result. */
  #finish(request: Request, outcome: Promise<Appended>): void {
    outcome.then(
      (appended) => this.#succeed(request, appended),
      (error: unknown) => {
        if (request.over) return;
        if (!isAnswer(error)) this.#doubt(request);
        this.#end(request);
        request.reject(portError(error, `append to ${request.stream}`));
      },
    );
  }

  #doubt({ client, events }: Request): void {
    this.#tools.health.fail();
    if (client) for (const { id } of events) this.#doubtful.set(id, true);
  }

  #end(request: Request): void {
    request.over = true;
    this.#pending.delete(request);
    request.release?.();
    if (request.twin) this.#enter(request.twin);
    else this.#underWay.delete(request.events[0]!.id);
    if (this.#pending.size === 0) {
      this.#timer?.unref();
      for (const wake of this.#idle.splice(0)) wake();
    }
  }

  #wakeIn(time: Milliseconds): void {
    // An answer that came while something else held the loop is taken first.
    this.#timer = setTimeout(() => setImmediate(() => this.#expire()), time);
  }

  /** Gives up what has waited long enough. All wait equally long, so that the oldest comes first. */
  #expire(): void {
    this.#timer = undefined;
    const { timeout, connection } = this.#tools;
    for (const request of this.#pending) {
      const left = timeout - (performance.now() - request.since);
      if (left > 0) {
        this.#wakeIn(Math.ceil(left));
        return;
      }
      const { client, sent, stream } = request;
      // One that is late among others that are not says nothing about the connection.
      if (client && this.#lastAnswer <= sent) connection.renew(client);
      this.#doubt(request);
      this.#end(request);
      const what = `append to ${stream}`;
      request.reject(
        client
          ? portError(new NoAnswer(timeout), what)
          : new StoreUnavailable(`${what}: it could not be sent in time`),
      );
    }
  }

  /** The first attempt has failed. */
  async #recover(request: Request, error: unknown): Promise<Appended> {
    this.#noticed(request, error);
    if (request.over) throw error;
    let reason = error;
    if (error instanceof NotLeaderError) {
      try {
        await leaderLearnt();
        const result = await this.#ask(request, request.events, stateOf(request.expected));
        return this.#appended(request, result) ?? (await this.#recall(request));
      } catch (last) {
        reason = last;
      }
    }
    if (!(reason instanceof WrongExpectedVersionError)) throw reason;
    return request.expected === 'any' ? this.#piecemeal(request) : this.#refused(request, reason);
  }

  /**
   * The server's revision did not fit. It may be that very append that moved it, or retention may have taken all
   * events, which leaves the revision where it was but makes the stream one without events.
   */
  async #refused(request: Request, wrong: WrongExpectedVersionError): Promise<Appended> {
    const { stream, events, expected } = request;
    const named = typeof wrong.actualState === 'bigint' ? safeNumber(wrong.actualState) : undefined;
    let held = await this.#lookBack(request);
    let empty = named === undefined;
    // The refusal may have come before that for which it refuses can be read.
    if (named !== undefined && !(held.last && held.last.revision >= named)) {
      empty = await this.#tools.emptied(stream, named);
      if (!empty) held = await this.#lookBack(request);
    }
    const { found, last } = held;
    if (found.length === events.length) return duplicateOf(found);
    if (found.length > 0) {
      throw new StopgapError(
        'conflict',
        `append to ${stream}: some of these ${events.length} events were written before, the others not`,
      );
    }
    if (empty && named !== undefined && expected === 'none') return this.#afterLast(request, named);
    const actual = empty ? 'none' : Math.max(named!, last?.revision ?? 0);
    throw new WrongExpectedRevision(stream, expected, actual);
  }

  /** Appends to a stream of which retention has taken all events: its revisions go on. */
  async #afterLast(request: Request, revision: number): Promise<Appended> {
    const { stream, events } = request;
    try {
      const result = await this.#ask(request, events, BigInt(revision));
      return this.#appended(request, result) ?? (await this.#recall(request));
    } catch (error) {
      if (!(error instanceof WrongExpectedVersionError)) throw error;
      const actual = typeof error.actualState === 'bigint' ? safeNumber(error.actualState) : 'none';
      // Another was faster. Who reads now must find its event.
      if (actual !== 'none') await this.#tools.emptied(stream, actual);
      throw new WrongExpectedRevision(stream, 'none', actual);
    }
  }

  /**
   * Writes under `any` what the stream does not hold. The server refuses an append of which it knows the first event
   * and not all others; and if it knows another than the first, it writes that again.
   */
  async #piecemeal(request: Request): Promise<Appended> {
    const { events } = request;
    const { found } = await this.#lookBack(request);
    if (found.length === events.length) return duplicateOf(found);
    const held = new Set(found.map(({ id }) => id));
    const rest = events.filter(({ id }) => !held.has(id.toLowerCase()));
    const results: AppendResult[] = [];
    try {
      results.push(await this.#ask(request, rest, ANY));
    } catch (error) {
      if (!(error instanceof WrongExpectedVersionError)) throw error;
      // It knows one that was not found. Alone, that one is answered like any that was written now.
      for (const event of rest) results.push(await this.#ask(request, [event], ANY));
    }
    const parts = results.map((result) => this.#appended(request, result));
    if (parts.includes(undefined)) return this.#recall(request);
    return parts.reduce((last, part) => (part!.position > last!.position ? part : last))!;
  }

  /** Finds the position of an append whose answer names none. */
  async #recall(request: Request): Promise<Appended> {
    const { found } = await this.#lookBack(request);
    if (found.length > 0) return duplicateOf(found);
    throw new StoreUnavailable(`append to ${request.stream}: written, but not found again`);
  }

  /** Those of the request's events that the stream holds, as far back as is searched, and its last event. */
  async #lookBack({
    stream,
    events,
  }: Request): Promise<{ found: RecordedEvent[]; last: RecordedEvent | undefined }> {
    const ids = new Set(events.map(({ id }) => id.toLowerCase()));
    const found = new Map<string, RecordedEvent>();
    let last: RecordedEvent | undefined;
    for await (const event of this.#tools.newest(stream, READ_BACK)) {
      last ??= event;
      if (ids.has(event.id)) found.set(event.id, event);
      if (found.size === ids.size) break;
    }
    return { found: [...found.values()], last };
  }
}

function stateOf(expected: ExpectedRevision): AppendStreamState {
  if (expected === 'any') return ANY;
  return expected === 'none' ? NO_STREAM : BigInt(expected);
}

function duplicateOf(events: readonly RecordedEvent[]): Appended {
  return {
    revision: Math.max(...events.map(({ revision }) => revision)),
    position: Math.max(...events.map(({ position }) => position)),
    duplicate: true,
  };
}
