import type {
  AllStreamResolvedEvent,
  KurrentDBClient,
  Position,
  ReadPosition,
} from '@kurrent/kurrentdb-client';
import { START } from '@kurrent/kurrentdb-client';
import type { Milliseconds } from '../../kernel/time.js';
import type { Selection } from './envelope.js';
import { NoAnswer } from './errors.js';

/** Events kept ready for the handler. Beyond them the connection's own flow control holds the server back. */
const BUFFER = 256;

export type FeedItem =
  | { readonly event: AllStreamResolvedEvent }
  /** Everything up to `position` has been given; it may be unknown. Servers before 25.0 do not say where `caughtUp` is. */
  | { readonly position: Position | undefined; readonly caughtUp: boolean };

interface Mark {
  /** How many events go before it. */
  readonly after: number;
  readonly item: FeedItem;
}

/**
 * What a server says for the position of a checkpoint if it has found nothing to name: -1, as a number without sign.
 */
const NOWHERE = 2n ** 64n - 1n;

/** One subscription to $all as the client has it: it ends with the connection, and then says why. */
export class Feed {
  readonly #source;
  readonly #marks: Mark[] = [];
  /** How many events were taken. */
  #taken = 0;
  #wake: (() => void) | undefined;
  readonly #timer: NodeJS.Timeout;
  #isConfirmed = false;
  #loss: Error | undefined;

  constructor(
    client: KurrentDBClient,
    after: Position | undefined,
    selection: Selection,
    confirmWithin: Milliseconds,
  ) {
    const filter = selection.filter((position) => {
      if (position.commit !== NOWHERE) this.#mark({ position, caughtUp: false });
    });
    // A follower, or a node that has lost its cluster, may have nothing new to give for long.
    const fromPosition: ReadPosition = after ?? START;
    const options = { fromPosition, filter, requiresLeader: true };
    this.#source = client.subscribeToAll(options, { highWaterMark: BUFFER });
    this.#timer = setTimeout(() => this.lose(new NoAnswer(confirmWithin)), confirmWithin);
    this.#source
      .on('confirmation', () => {
        clearTimeout(this.#timer);
        this.#isConfirmed = true;
      })
      .on('caughtUp', (info: unknown) => {
        this.#mark({ position: (info as { position?: Position }).position, caughtUp: true });
      })
      .on('readable', () => this.#wake?.())
      // One that ends without an error was dropped by the server.
      .on('end', () => this.lose(new Error('the server ended the subscription')))
      .on('close', () => this.lose(new Error('the subscription was closed')))
      .on('error', (error: Error) => this.lose(error));
  }

  /** The server has taken it. */
  get confirmed(): boolean {
    return this.#isConfirmed;
  }

  /** Why nothing more will come. */
  get lost(): Error | undefined {
    return this.#loss;
  }

  /** What comes next, as far as it is there. */
  take(): FeedItem | undefined {
    if (this.#loss) return undefined;
    const [mark] = this.#marks;
    if (mark && mark.after <= this.#taken) {
      this.#marks.shift();
      return mark.item;
    }
    const event = this.#source.read() as AllStreamResolvedEvent | null;
    if (!event) return undefined;
    this.#taken++;
    return { event };
  }

  /** Resolves when there may be something to take, or it is lost. */
  async more(): Promise<void> {
    if (this.#loss) return;
    await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#wake = undefined;
  }

  close(): void {
    this.lose(new Error('closed'));
    // Rejects if it was never established.
    void this.#source.unsubscribe().catch(() => undefined);
    this.#source.destroy();
  }

  /** The client tells of a mark as it comes in, before the events that came earlier have been read. */
  #mark(item: FeedItem): void {
    this.#marks.push({ after: this.#taken + this.#source.readableLength, item });
    this.#wake?.();
  }

  /** Ends it for a reason that only the reader knows. */
  lose(reason: Error): void {
    clearTimeout(this.#timer);
    this.#loss ??= reason;
    this.#wake?.();
  }
}

/** A head that is not announced within this time is requested again, from another node if there is one. */
const PATIENCE: Milliseconds = 2000;

/** Pause after a question without an answer. */
const AGAIN: Milliseconds = 500;

interface PulseTools {
  /** How often the leader is asked. */
  readonly interval: Milliseconds;
  /** How far the log goes, from the leader; rejects if it is not told in time. */
  readonly head: (timeout: Milliseconds) => Promise<number>;
  /** The leader answers again. */
  readonly back: () => void;
  readonly report: (problem: string, error: unknown) => void;
}

/** Wants to know how far the log goes, and whether the leader answers. */
export interface Listener {
  /** The log went as far as `head` at the time `asked`, which is by `performance.now`. */
  reached(head: number, asked: number): void;
  /** The leader has not answered. */
  lost(): void;
  /** It answers again. */
  back(): void;
}

/** Asks the leader again and again how far the log goes, as long as there is a listener. */
export class Pulse {
  readonly #tools: PulseTools;
  readonly #listeners = new Set<Listener>();
  #timer: NodeJS.Timeout | undefined;
  #asking = false;
  #isLost = false;

  constructor(tools: PulseTools) {
    this.#tools = tools;
  }

  join(listener: Listener): void {
    this.#listeners.add(listener);
    if (this.#timer === undefined && !this.#asking) this.#askIn(this.#tools.interval);
  }

  leave(listener: Listener): void {
    this.#listeners.delete(listener);
    if (this.#listeners.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#isLost = false;
  }

  #askIn(pause: Milliseconds): void {
    if (this.#listeners.size === 0) return;
    this.#timer = setTimeout(() => void this.#ask(), pause).unref();
  }

  async #ask(): Promise<void> {
    const { interval, head, back, report } = this.#tools;
    this.#timer = undefined;
    this.#asking = true;
    const asked = performance.now();
    try {
      const position = await head(PATIENCE);
      if (this.#isLost) {
        this.#isLost = false;
        back();
        for (const listener of this.#listeners) listener.back();
      }
      for (const listener of this.#listeners) listener.reached(position, asked);
    } catch (error) {
      if (!this.#isLost && this.#listeners.size > 0) {
        this.#isLost = true;
        report('the head could not be asked for', error);
        for (const listener of this.#listeners) listener.lost();
      }
    }
    this.#asking = false;
    this.#askIn(this.#isLost ? Math.min(AGAIN, interval) : interval);
  }
}
