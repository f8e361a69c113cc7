import {
  START,
  type AllStreamResolvedEvent,
  type KurrentDBClient,
  type Position,
  type ReadPosition,
} from '@kurrent/kurrentdb-client';
import type { Milliseconds } from '../../kernel/time.js';
import { NoAnswer } from './errors.js';
import type { Selection } from './selection.js';

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

/** What a server says for the position of a checkpoint where it has found nothing to name: -1, as a number without sign. */
const NOWHERE = 2n ** 64n - 1n;

/** One subscription to $all as the client has it: it ends with the connection, and then says why. */
export class Feed {
  private readonly source;
  private readonly marks: Mark[] = [];
  /** How many events were taken. */
  private taken = 0;
  private wake: (() => void) | undefined;
  private readonly timer: NodeJS.Timeout;
  private isConfirmed = false;
  private loss: Error | undefined;

  constructor(
    client: KurrentDBClient,
    after: Position | undefined,
    selection: Selection,
    confirmWithin: Milliseconds,
  ) {
    const filter = selection.filter((position) => {
      if (position.commit !== NOWHERE) this.mark({ position, caughtUp: false });
    });
    // A follower, or a node that has lost its cluster, may have nothing new to give for long.
    const fromPosition: ReadPosition = after ?? START;
    const options = { fromPosition, filter, requiresLeader: true };
    this.source = client.subscribeToAll(options, { highWaterMark: BUFFER });
    this.timer = setTimeout(() => this.lose(new NoAnswer(confirmWithin)), confirmWithin);
    this.source
      .on('confirmation', () => {
        clearTimeout(this.timer);
        this.isConfirmed = true;
      })
      .on('caughtUp', (info: unknown) => {
        this.mark({ position: (info as { position?: Position }).position, caughtUp: true });
      })
      .on('readable', () => this.wake?.())
      // One that ends without an error was dropped by the server.
      .on('end', () => this.lose(new Error('the server ended the subscription')))
      .on('close', () => this.lose(new Error('the subscription was closed')))
      .on('error', (error: Error) => this.lose(error));
  }

  /** The server has taken it. */
  get confirmed(): boolean {
    return this.isConfirmed;
  }

  /** Why nothing more will come. */
  get lost(): Error | undefined {
    return this.loss;
  }

  /** What comes next, as far as it is there. */
  take(): FeedItem | undefined {
    if (this.loss) return undefined;
    const [mark] = this.marks;
    if (mark && mark.after <= this.taken) {
      this.marks.shift();
      return mark.item;
    }
    const event = this.source.read() as AllStreamResolvedEvent | null;
    if (!event) return undefined;
    this.taken++;
    return { event };
  }

  /** Resolves when there may be something to take, or it is lost. */
  async more(): Promise<void> {
    if (this.loss) return;
    await new Promise<void>((resolve) => (this.wake = resolve));
    this.wake = undefined;
  }

  close(): void {
    this.lose(new Error('closed'));
    // Rejects where it never came to be.
    void this.source.unsubscribe().catch(() => undefined);
    this.source.destroy();
  }

  /** The client tells of a mark as it comes in, before the events that came earlier have been read. */
  private mark(item: FeedItem): void {
    this.marks.push({ after: this.taken + this.source.readableLength, item });
    this.wake?.();
  }

  /** Ends it for a reason that only the reader knows. */
  lose(reason: Error): void {
    clearTimeout(this.timer);
    this.loss ??= reason;
    this.wake?.();
  }
}
