import { setImmediate as turn } from 'node:timers/promises';
import type { operations } from '../api/openapi-types.js';
import type { LogFile, Zone } from '../import/postfix-log/index.js';
import { Assembler } from '../import/postfix-log/assembler.js';
import type { LogRecord } from '../import/postfix-log/reader.js';
import { LogReader } from '../import/postfix-log/reader.js';
import type { PastEvent } from '../import/sink.js';
import { messageOf, StopgapError } from '../kernel/errors.js';
import { FloodCoalescer } from '../kernel/flood-coalescer.js';
import type { AlarmClock, Instant, Milliseconds } from '../kernel/time.js';
import { formatInstant, MINUTE, SECOND } from '../kernel/time.js';
import { Trouble } from '../log/trouble.js';
import { Backoff } from '../runtime/clock.js';
import { idOf } from '../runtime/ids.js';

/** Some whole lines of a log, and where they end. */
export interface Piece<Place> {
  readonly bytes: Buffer;
  readonly end: Place;
}

/** A log that is written to. */
export interface LiveLog<Place> {
  /** What came shortly before a place, as far as it is still there. */
  before(place: Place): AsyncIterable<Buffer>;
  /**
   * All that comes after a place, in order; undefined whenever there is nothing for now. Without a place it begins at the end, with an
   * empty piece that tells where that is.
   */
  follow(from: Place | undefined): AsyncIterable<Piece<Place> | undefined>;
}

type Sends = operations['post_sends'];
/** What `POST /api/v1/sends` takes. */
export type Item = Sends['requestBody']['content']['application/json'][number];
type Answered = Sends['responses'][200]['content']['application/json'];
export type Outcome = { readonly results: readonly Pick<Answered['results'][number], 'result' | 'errors'>[] };

/** What is to be reported, and the mark of its oldest line. */
interface Found {
  readonly item: Item;
  readonly mark: number;
}

export interface FollowerOptions<Place> {
  readonly log: LiveLog<Place>;
  /** As the user named it. */
  readonly name: string;
  readonly load: () => Promise<Place | undefined>;
  /** Resolves when it is durable. */
  readonly save: (place: Place) => Promise<void>;
  /** @throws StopgapError where the server did not take all of it, with its `results` where it says what it took */
  readonly report: (items: Item[]) => Promise<Outcome>;
  readonly clock: AlarmClock;
  readonly zone: Zone;
  /** Whether a client may send without a login: the server's `mynetworks`. */
  readonly isOurs: (ip: string) => boolean;
  /** Whether mail from outside counts too, and recipients that were refused to it. */
  readonly inbound: boolean;
  /** Whether failed logins count. */
  readonly logins: boolean;
  /** Told what an administrator should know. */
  readonly tell: (text: string) => void;
}

/** How often a log is looked at that said nothing more. */
const PACE: Milliseconds = 250;
/** How often the place is written down, at most. */
const SAVE: Milliseconds = SECOND;
/** How often the server hears that the follower is there, whatever else it hears. */
const SIGN: Milliseconds = 5 * MINUTE;
/** Zones differ by a quarter of an hour at least, and no line takes that long to come. */
const LATE = 14 * MINUTE;
/**
 * Lines of one message come within milliseconds; a block should not wait for more. Where only deliveries tell how many recipients there
 * are, slow ones are waited for, but no longer: until then nothing of it counts.
 */
const HOLDING = { disorder: 2 * SECOND, patience: 10 * SECOND, patienceUncounted: 2 * MINUTE };
/** Items of one report, and characters of their JSON: the server takes 1,000 and 1 MiB. */
const MOST_ITEMS = 500;
const LARGEST = 256 * 1024;
/** Of one event the server takes no more. One line of rsyslog may stand for any number. */
const MOST_RECIPIENTS = 1_000_000;
const MOST_FAILED = 10_000;
const PAUSES = { first: SECOND, most: MINUTE };
/** What is read to know more of later lines, and was reported before. */
const CONTEXT = -1;

/**
 * Reports what a live log of Postfix says. The place that it keeps is that of the oldest line of which something has not been
 * acknowledged: after a restart the lines from there on are read and reported again, and the server knows what it has. Nothing is
 * lost while the server is away: the log is not read on.
 */
export class Follower<Place> {
  readonly #options: FollowerOptions<Place>;
  readonly #trouble: Trouble;
  /** What is told, once for many of the same. */
  readonly #odd: FloodCoalescer<string>;
  readonly #backoff = new Backoff(PAUSES);
  readonly #stop = new AbortController();
  #items: Found[] = [];
  /** What the server cannot take for now, though it goes on taking other events. */
  #putOff: readonly Found[] = [];
  #putOffAt: Milliseconds = -Infinity;
  /** Where the lines of each mark begin, of marks that are not done with. */
  #starts: { readonly mark: number; readonly place: Place }[] = [];
  #saved = '';
  #savedAt: Milliseconds = -Infinity;
  #signedAt: Milliseconds = -Infinity;
  /** When all that the log had was read: what it says after that is written later. */
  #emptyAt: Instant = -Infinity;

  constructor(options: FollowerOptions<Place>) {
    this.#options = options;
    const { clock, tell, name } = options;
    this.#trouble = new Trouble(clock, {
      began: (reason) => tell(`${name}: nothing is reported for now, and nothing is lost: ${reason}`),
      over: () => tell(`${name}: reported again`),
    });
    this.#odd = new FloodCoalescer(clock, (text, count) =>
      tell(`${name}: ${text}${count > 1 ? ` (${count} times)` : ''}`),
    );
  }

  /** Resolves after {@link stop}. Whatever else ends it is tried again. */
  async run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        await this.#session();
      } catch (error) {
        if (!signal.aborted) await this.#afterFailure(error);
      }
    }
  }

  stop(): void {
    this.#stop.abort(new Error('stopped'));
  }

  async #session(): Promise<void> {
    const { clock, zone, name, load, isOurs } = this.#options;
    this.#items = [];
    this.#putOff = [];
    this.#starts = [];
    this.#emptyAt = -Infinity;
    const from = await load();
    const assembler = new Assembler({
      isOurs,
      holding: HOLDING,
      accountOf: (login) => login,
      entitled: () => true,
      placeOf: () => ({}),
      onEvent: (event) => this.#take(event, event.mark),
    });
    const file: LogFile = {
      name,
      writtenAt: clock.now(),
      bytes: undefined,
      rereadable: false,
      chunks: () => this.#chunks(from, assembler),
    };
    const odd = this.#odd;
    const reader = new LogReader(
      file,
      { firstAt: undefined, firstYear: undefined },
      {
        zone,
        year: undefined,
        live: true,
        onLine: () => undefined,
        onBytes: () => undefined,
        get now() {
          return clock.now();
        },
        onBroken({ reason }) {
          odd.add(reason, `a line is not understood: ${reason}`);
        },
      },
    );
    for await (const records of reader.batches()) {
      if (records.some(({ at }) => at < this.#emptyAt - LATE))
        odd.add(
          'late',
          'lines that come now bear an earlier time, and count when that was: is --timezone right?',
        );
      for (const group of groupsOf(records)) assembler.take(group);
    }
  }

  /** Asked for more only when all of the last chunk has been taken. */
  async *#chunks(from: Place | undefined, assembler: Assembler): AsyncGenerator<Buffer> {
    const { log, clock } = this.#options;
    let place = from;
    let mark = 0;
    assembler.mark = CONTEXT;
    if (place !== undefined)
      for await (const bytes of log.before(place)) {
        yield bytes;
        await turn();
        this.#stop.signal.throwIfAborted();
      }
    // All of it was reported. What is told later of these messages comes beside that, under a mark of its own.
    while (assembler.finish(MOST_ITEMS)) await turn();
    for await (const piece of log.follow(place)) {
      this.#stop.signal.throwIfAborted();
      if (piece !== undefined) {
        assembler.mark = ++mark;
        if (place !== undefined) this.#starts.push({ mark, place });
        if (piece.bytes.length > 0) yield piece.bytes;
        // Where it has begun is known from then on, though nobody answers yet.
        if (place === undefined) await this.#save(Infinity, piece.end);
        place = piece.end;
        await turn();
      } else {
        this.#emptyAt = clock.now();
        while (assembler.release(clock.now(), MOST_ITEMS)) await turn();
      }
      const isDue = clock.monotonic() >= this.#savedAt + SAVE;
      if (piece === undefined || isDue || this.#items.length >= MOST_ITEMS) await this.#reportAll();
      const oldest = Math.min(assembler.oldestMark, ...this.#putOff.map(({ mark: of }) => of));
      if (place !== undefined && isDue) await this.#save(oldest, place);
      if (piece === undefined) await this.#pause(PACE);
    }
  }

  #take(past: PastEvent, mark: number): void {
    const { inbound, logins } = this.#options;
    if (mark === CONTEXT) return;
    const { event } = past;
    if (!inbound && 'direction' in event.data && event.data.direction === 'inbound') return;
    if (!logins && event.type === 'AuthenticationFailed') return;
    const item = itemOf(past);
    if (item !== undefined) this.#items.push({ item, mark });
  }

  async #reportAll(): Promise<void> {
    const { clock } = this.#options;
    while (this.#items.length > 0) {
      let characters = 0;
      const end = this.#items.findIndex(
        ({ item }, index) => index === MOST_ITEMS || (characters += JSON.stringify(item).length) > LARGEST,
      );
      const batch = this.#items.slice(0, end < 0 ? undefined : Math.max(1, end));
      this.#putOff = [...this.#putOff, ...(await this.#report(batch))];
      this.#items = this.#items.slice(batch.length);
    }
    if (this.#putOff.length > 0 && clock.monotonic() >= this.#putOffAt + PAUSES.most) {
      const again = this.#putOff;
      this.#putOff = [];
      this.#putOff = await this.#report(again);
    }
    // Events alone do not say that it is a follower who reports them, whose silence means something.
    if (clock.monotonic() < this.#signedAt + SIGN) return;
    await this.#report([]);
    this.#signedAt = clock.monotonic();
  }

  /**
   * Resolves when the server has acknowledged all of it but what is returned: the rest of messages that it cannot look up now. It
   * takes other events meanwhile, and a flood among these must not wait.
   */
  async #report(found: readonly Found[]): Promise<readonly Found[]> {
    const { report, clock } = this.#options;
    let left = found;
    for (;;) {
      try {
        const { results } = await this.#unlessStopped(report(left.map(({ item }) => item)));
        this.#answered(results);
        return this.#goOn([]);
      } catch (error) {
        this.#stop.signal.throwIfAborted();
        const results = resultsOf(error, left.length);
        if (results !== undefined) {
          this.#answered(results);
          left = left.filter((_, index) => results[index]!.result === 'unavailable');
          const isRest = left.every(({ item }) => 'further' in item && item.further === true);
          if (isRest && this.#putOff.length + left.length <= MOST_ITEMS) {
            this.#putOffAt = clock.monotonic();
            this.#odd.add(
              'put off',
              `recipients are reported later, and nothing is lost: ${messageOf(error)}`,
            );
            return this.#goOn(left);
          }
        }
        await this.#afterFailure(error);
        this.#stop.signal.throwIfAborted();
      }
    }
  }

  #goOn(left: readonly Found[]): readonly Found[] {
    this.#backoff.reset();
    this.#trouble.worked();
    return left;
  }

  /** Tells what the server refused. */
  #answered(results: Outcome['results']): void {
    for (const { result, errors } of results) {
      if (result !== 'refused') continue;
      const { field, message } = errors?.[0] ?? { field: 'item', message: 'the server does not say why' };
      this.#odd.add(`${field} ${message}`, `the server refused an event: ${field} ${message}`);
    }
  }

  /** Resolves when it is time to try again. @throws the error, if it is a fault of ours */
  async #afterFailure(error: unknown): Promise<void> {
    if (!isPassing(error)) throw error;
    // A server that was started anew has forgotten who was there.
    this.#signedAt = -Infinity;
    this.#trouble.failed(messageOf(error));
    await this.#pause(this.#backoff.next());
  }

  /** @param oldest the least mark that something is held back of */
  async #save(oldest: number, end: Place): Promise<void> {
    const first = this.#starts.findIndex(({ mark }) => mark >= oldest);
    this.#starts = first < 0 ? [] : this.#starts.slice(first);
    const place = this.#starts[0]?.place ?? end;
    const text = JSON.stringify(place);
    this.#savedAt = this.#options.clock.monotonic();
    if (text === this.#saved) return;
    await this.#options.save(place);
    this.#saved = text;
  }

  /** Ends early when the follower is to stop. */
  async #pause(span: Milliseconds): Promise<void> {
    let cancel = (): void => undefined;
    const over = new Promise<void>((resolve) => (cancel = this.#options.clock.after(span, resolve)));
    await this.#unlessStopped(over).catch(() => undefined);
    cancel();
  }

  async #unlessStopped<T>(work: Promise<T>): Promise<T> {
    const { signal } = this.#stop;
    let stop = (): void => undefined;
    const stopped = new Promise<never>((_, reject) => (stop = () => reject(signal.reason as Error)));
    signal.addEventListener('abort', stop);
    if (signal.aborted) stop();
    try {
      return await Promise.race([work, stopped]);
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }
}

/** What became of each item, where the server has not taken all of them. */
function resultsOf(error: unknown, items: number): Outcome['results'] | undefined {
  const results = error instanceof StopgapError ? error.details['results'] : undefined;
  return Array.isArray(results) && results.length === items ? (results as Outcome['results']) : undefined;
}

/** What may be otherwise in a minute: the disk, a program that ended. A fault of ours stays one. */
function isPassing(error: unknown): boolean {
  return error instanceof StopgapError || typeof (error as NodeJS.ErrnoException).syscall === 'string';
}

/** Those of one time together. */
function groupsOf(records: readonly LogRecord[]): readonly (readonly LogRecord[])[] {
  const groups: LogRecord[][] = [];
  for (const record of records) {
    const last = groups.at(-1);
    if (last?.[0]?.order === record.order) last.push(record);
    else groups.push([record]);
  }
  return groups;
}

function itemOf({ id: text, at: instant, event, login, total }: PastEvent): Item | undefined {
  const id = idOf(text);
  const at = formatInstant(instant);
  switch (event.type) {
    case 'MessageAccepted': {
      const {
        transaction: queueId,
        account,
        returnPath,
        ehlo,
        ip,
        direction,
        size,
        recipientDomains,
        further,
      } = event.data;
      const recipients = Math.min(Math.max(total ?? event.data.recipients, 1), MOST_RECIPIENTS);
      return {
        type: 'accepted',
        id,
        at,
        queueId,
        account,
        returnPath,
        ehlo,
        ip,
        direction,
        recipients,
        size,
        recipientDomains: [...recipientDomains],
        ...(further === true ? { further } : {}),
      };
    }
    case 'RecipientsRefused': {
      const { account, returnPath, ehlo, ip, direction, code } = event.data;
      const count = Math.min(event.data.count, MOST_RECIPIENTS);
      // Without any of these it says of nobody that they did it.
      if (account === undefined && returnPath === '' && ip === undefined) return undefined;
      return { type: 'recipients-refused', id, at, account, returnPath, ehlo, ip, direction, count, code };
    }
    case 'BounceReceived':
      return { type: 'bounce', id, at, ...event.data };
    case 'AuthenticationFailed': {
      const { network } = event.data;
      const count = Math.min(event.data.count, MOST_FAILED);
      // Of an IPv6 network any address will do: they count together.
      return { type: 'login-failed', id, at, account: login, ip: network.split('/')[0], count };
    }
    case 'MessageRefused':
      // Ours: no log of Postfix makes one.
      return undefined;
  }
}
