import { on } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { LogFile } from '../../import/postfix-log/files.js';
import { DamagedFile } from '../../import/postfix-log/files.js';
import type { ErrorCode } from '../../kernel/errors.js';
import { StopgapError } from '../../kernel/errors.js';
import type { Instant } from '../../kernel/time.js';
import type { MessageAccepted } from '../../sending/events.js';
import type { ActivityEvent, Batch, Source } from '../world.js';
import { accepted, damaged, noMessage } from './trace.js';

/** What the thread is told: some bytes of the trace, or that nothing more comes. */
export type Piece = Uint8Array | 'end';

/** What it answers, once for each piece and in the same order. */
export type Answer =
  | { readonly columns: Columns; readonly line: number }
  | {
      readonly fault: {
        readonly code: ErrorCode;
        readonly message: string;
        readonly details: Readonly<Record<string, unknown>>;
      };
    };

const SCRIPT = new URL('./thread-script.js', import.meta.url);
/** Pieces that are read ahead of the back-test: the thread must not wait for it, nor memory hold much of the trace. */
const AHEAD = 4;

/** A {@link Trace} that is parsed in a thread of its own, beside the back-test. */
export class TraceThread implements Source {
  readonly #file: LogFile;
  readonly #thread: Worker;
  /** Why it ended before it was asked anything. */
  #fault: Error | undefined;

  /** The thread begins at once, so that it is ready by the time that everything else is. */
  constructor(file: LogFile) {
    this.#file = file;
    this.#thread = new Worker(SCRIPT, { workerData: file.name });
    // It may find no descriptor: an error that nobody hears ends the process.
    this.#thread.once('error', (error) => (this.#fault = error));
    // Should nobody ever ask it anything, it must not keep the process.
    this.#thread.unref();
  }

  get name(): string {
    return this.#file.name;
  }

  /** @throws StopgapError naming file, line and what would be right */
  async *batches(): AsyncGenerator<Batch> {
    const { name, bytes: total } = this.#file;
    const thread = this.#thread;
    if (this.#fault !== undefined) throw this.#fault;
    thread.ref();
    const answers = on(thread, 'message', { close: ['exit'] });
    const texts = new Unpacker();
    /** How far the file was read with each piece that is not answered. */
    const asked: number[] = [];
    let [done, line, messages] = [0, 0, 0];
    const ask = (piece: Piece): void => {
      asked.push(done);
      thread.postMessage(piece, piece === 'end' ? [] : [piece.buffer as ArrayBuffer]);
    };
    const answered = async (): Promise<Batch> => {
      const next = (await answers.next()) as IteratorResult<readonly [Answer]>;
      if (next.done === true) throw new Error('the thread that parses the trace has ended');
      const [answer] = next.value;
      if ('fault' in answer)
        throw new StopgapError(answer.fault.code, answer.fault.message, answer.fault.details);
      const activities = texts.unpack(answer.columns);
      line = answer.line;
      messages += activities.length;
      return { activities, done: asked.shift()!, total };
    };
    try {
      let damage: DamagedFile | undefined;
      try {
        for await (const chunk of this.#file.chunks((bytes) => (done += bytes))) {
          // A copy: what is handed over is gone here, and others may share its memory.
          ask(new Uint8Array(chunk));
          if (asked.length >= AHEAD) yield await answered();
        }
        ask('end');
      } catch (error) {
        if (!(error instanceof DamagedFile)) throw error;
        damage = error;
      }
      while (asked.length > 0) yield await answered();
      if (damage !== undefined) throw damaged(name, line, damage);
      if (messages === 0) throw noMessage(name);
    } finally {
      await thread.terminate();
    }
  }
}

/** How many texts both ends know; beyond that both start over, so that memory does not grow with the trace. */
const MOST_TEXTS = 10_000;
/** Account, return path, client address, EHLO name, country. */
const TEXTS = 5;
const NO_TEXT = -1;
/** Recipients, bytes, number of the autonomous system. */
const AMOUNTS = 3;
/** No autonomous system has it. */
const NO_ASN = 0;
const [OUTBOUND, ENTITLED] = [1, 2];

/**
 * Messages as they go from thread to thread: numbers in columns, which change hands without a copy, and each text once.
 * As objects they would cost more to hand over than to parse.
 */
interface Columns {
  /** When each happened, and the latest so far. */
  readonly times: Float64Array<ArrayBuffer>;
  /** {@link AMOUNTS} a message. */
  readonly amounts: Float64Array<ArrayBuffer>;
  /** Numbers of texts, {@link TEXTS} a message. */
  readonly texts: Int32Array<ArrayBuffer>;
  /** {@link OUTBOUND} and {@link ENTITLED}. */
  readonly flags: Uint8Array<ArrayBuffer>;
  /** For each message how many recipient domains it names, and the numbers of these. */
  readonly domains: Int32Array<ArrayBuffer>;
  /** Texts that come for the first time: their numbers go on from those before. */
  readonly fresh: readonly string[];
  /** Whether both ends start over with these texts. */
  readonly anew: boolean;
}

export function transfersOf({ times, amounts, texts, flags, domains }: Columns): readonly ArrayBuffer[] {
  return [times.buffer, amounts.buffer, texts.buffer, flags.buffer, domains.buffer];
}

/** One end: makes columns. */
export class Packer {
  readonly #numbers = new Map<string, number>();
  #fresh: string[] = [];

  pack(activities: readonly ActivityEvent[]): Columns {
    const anew = this.#numbers.size > MOST_TEXTS;
    if (anew) this.#numbers.clear();
    this.#fresh = [];
    const count = activities.length;
    const times = new Float64Array(2 * count);
    const amounts = new Float64Array(AMOUNTS * count);
    const texts = new Int32Array(TEXTS * count);
    const flags = new Uint8Array(count);
    const domains: number[] = [];
    activities.forEach(({ at, recordedAt, data }, index) => {
      const message = data as MessageAccepted;
      times[2 * index] = at;
      times[2 * index + 1] = recordedAt;
      amounts[AMOUNTS * index] = message.recipients;
      amounts[AMOUNTS * index + 1] = message.size;
      amounts[AMOUNTS * index + 2] = message.asn ?? NO_ASN;
      texts[TEXTS * index] = this.#number(message.account);
      texts[TEXTS * index + 1] = this.#number(message.returnPath);
      texts[TEXTS * index + 2] = this.#number(message.ip);
      texts[TEXTS * index + 3] = this.#number(message.ehlo);
      texts[TEXTS * index + 4] = this.#number(message.country);
      flags[index] = (message.direction === 'outbound' ? OUTBOUND : 0) | (message.entitled ? ENTITLED : 0);
      domains.push(message.recipientDomains.length);
      for (const domain of message.recipientDomains) domains.push(this.#number(domain));
    });
    return { times, amounts, texts, flags, domains: Int32Array.from(domains), fresh: this.#fresh, anew };
  }

  #number(text: string | undefined): number {
    if (text === undefined) return NO_TEXT;
    const known = this.#numbers.get(text);
    if (known !== undefined) return known;
    const number = this.#numbers.size;
    this.#numbers.set(text, number);
    this.#fresh.push(text);
    return number;
  }
}

/** The other end: makes messages of them again. Must see all columns, in their order. */
class Unpacker {
  #texts: string[] = [];

  unpack({ times, amounts, texts, flags, domains, fresh, anew }: Columns): readonly ActivityEvent[] {
    if (anew) this.#texts = [];
    for (const text of fresh) this.#texts.push(text);
    const activities: ActivityEvent[] = [];
    let place = 0;
    for (let index = 0; index < flags.length; index++) {
      const named = domains[place++]!;
      const at: Instant = times[2 * index]!;
      const asn = amounts[AMOUNTS * index + 2]!;
      const data: MessageAccepted = {
        account: this.#text(texts[TEXTS * index]!),
        returnPath: this.#text(texts[TEXTS * index + 1]!),
        ehlo: this.#text(texts[TEXTS * index + 3]!),
        ip: this.#text(texts[TEXTS * index + 2]!),
        country: this.#text(texts[TEXTS * index + 4]!),
        asn: asn === NO_ASN ? undefined : asn,
        direction: (flags[index]! & OUTBOUND) === 0 ? 'inbound' : 'outbound',
        transaction: '',
        recipients: amounts[AMOUNTS * index]!,
        size: amounts[AMOUNTS * index + 1]!,
        recipientDomains:
          named === 0
            ? NO_DOMAINS
            : Array.from(domains.subarray(place, place + named), (each) => this.#texts[each]!),
        entitled: (flags[index]! & ENTITLED) !== 0,
      };
      place += named;
      activities.push(accepted(at, times[2 * index + 1]!, data));
    }
    return activities;
  }

  #text(number: number): string | undefined {
    return number === NO_TEXT ? undefined : this.#texts[number]!;
  }
}

const NO_DOMAINS: readonly string[] = [];
