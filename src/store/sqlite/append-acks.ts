import { StopgapError } from '../../kernel/errors.js';
import type { RecordedEvent } from '../../kernel/events.js';
import { StoreUnavailable, WrongExpectedRevision } from '../port.js';
import { TimeSlice } from '../../runtime/time-slice.js';
import type { Health } from '../health.js';
import type { LiveFeed } from './live.js';
import { Fifo, type Pending } from './pending.js';
import { fromAppend } from './recorded.js';
import { WriteOutcome, type AppendedMessage } from './wire.js';

/**
 * Appends answered in one turn of the loop: whatever waits for them goes on in that same turn, and a thousand
 * continuations in a row would hold up everything else.
 */
const ANSWERS_A_TURN = 128;

/**
 * Answers the appends that the writer was handed, in order, as it decides on them: first whoever follows live gets the
 * events, then the append resolves.
 */
export class AppendAcks {
  /** What the writer was handed, in order, each until its answer. */
  readonly sent = new Fifo<Pending>();
  private readonly answers = new Fifo<{ message: AppendedMessage; next: number }>();
  private busy = false;

  /** @param onDone told whenever all that the writer has decided is answered */
  constructor(
    private readonly feed: LiveFeed,
    private readonly health: Health,
    private readonly onDone: () => void,
  ) {}

  /** What the writer made of the next batch. */
  take(message: AppendedMessage): void {
    this.answers.push({ message, next: 0 });
    if (!this.busy) this.answer(false);
  }

  /** Answers at once whatever the writer has decided. */
  finish(): void {
    this.answer(true);
  }

  /** A few milliseconds and so many at a time, unless it must be `all` at once. */
  private answer(all: boolean): void {
    this.busy = true;
    const share = new TimeSlice();
    let answered = 0;
    for (let batch = this.answers.peek(); batch; batch = this.answers.peek()) {
      const { outcomes, reasons, passedOver } = batch.message;
      while (batch.next * 3 < outcomes.length) {
        const i = batch.next++;
        this.settle(
          this.sent.shift()!,
          outcomes[i * 3]!,
          outcomes[i * 3 + 1]!,
          outcomes[i * 3 + 2]!,
          reasons.get(i),
          passedOver.get(i),
        );
        if (!all && (++answered >= ANSWERS_A_TURN || share.spent())) {
          setImmediate(() => this.answer(false));
          return;
        }
      }
      this.answers.shift();
    }
    this.busy = false;
    this.onDone();
  }

  private settle(
    pending: Pending,
    outcome: number,
    revision: number,
    position: number,
    reason?: string,
    passedOver?: readonly number[],
  ): void {
    switch (outcome) {
      case WriteOutcome.written:
        this.health.succeed();
        this.feed.committed(position, () => recordedEvents(pending, revision, position, passedOver));
        pending.resolve({ revision, position, duplicate: false });
        break;
      case WriteOutcome.duplicate:
        this.health.succeed();
        pending.resolve({ revision, position, duplicate: true });
        break;
      case WriteOutcome.wrongRevision:
        pending.reject(
          new WrongExpectedRevision(pending.stream, pending.expected, revision < 0 ? 'none' : revision),
        );
        break;
      case WriteOutcome.conflict:
        pending.reject(new StopgapError('conflict', `append to ${pending.stream}: ${reason}`));
        break;
      default:
        this.health.fail();
        pending.reject(
          new StoreUnavailable(`the store did not take an append to ${pending.stream}: ${reason}`),
        );
    }
    pending.settled = true;
  }
}

/** What was written of an append: all but what was passed over, the last of it at `revision` and `position`. */
function recordedEvents(
  { events, texts, stream, recordedAt }: Pending,
  revision: number,
  position: number,
  passedOver: readonly number[] = [],
): RecordedEvent[] {
  const count = events.length - passedOver.length;
  const written: RecordedEvent[] = [];
  events.forEach((event, i) => {
    if (passedOver.includes(i)) return;
    const back = count - 1 - written.length;
    written.push(fromAppend(event, texts[i]!, stream, revision - back, position - back, recordedAt));
  });
  return written;
}
