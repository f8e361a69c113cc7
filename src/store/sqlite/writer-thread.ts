import { Worker } from 'node:worker_threads';
import { messageOf } from '../../kernel/errors.js';
import type { Milliseconds } from '../../kernel/time.js';
import type { FromWriter, ToWriter, WriterOptions } from './wire.js';
import { Backoff } from '../../runtime/backoff.js';

const FIRST_PAUSE: Milliseconds = 50;
const LONGEST_PAUSE: Milliseconds = 5000;

/** How long a writer that was told to close may take before it is ended. */
const CLOSING_TIME: Milliseconds = 3000;

export interface ThreadEvents {
  /** A writer is ready; the last position in the file is `head`. */
  ready(head: number): void;
  message(message: Exclude<FromWriter, { kind: 'ready' }>): void;
  /** The writer is gone and whatever it had not answered is lost; another follows after a pause. */
  died(reason: string): void;
}

/** Keeps one writer's thread alive: starts another, after a growing pause, where one dies. */
export class WriterThread {
  private worker: Worker | undefined;
  private up = false;
  private closing = false;
  private readonly backoff = new Backoff({ first: FIRST_PAUSE, most: LONGEST_PAUSE });
  private timer: NodeJS.Timeout | undefined;
  private gone: () => void = () => undefined;

  constructor(
    private readonly options: WriterOptions,
    private readonly events: ThreadEvents,
  ) {}

  /** True while a writer takes messages. */
  get ready(): boolean {
    return this.up;
  }

  start(): void {
    let reason = 'it ended without a reason';
    const worker = new Worker(new URL('./writer.js', import.meta.url), {
      workerData: this.options,
      name: 'store-writer',
    });
    this.worker = worker;
    worker.on('message', (message: FromWriter) => {
      if (message.kind === 'ready') {
        this.up = true;
        this.events.ready(message.head);
      } else {
        this.backoff.reset();
        this.events.message(message);
      }
    });
    worker.on('error', (error) => (reason = messageOf(error)));
    worker.on('exit', () => {
      this.up = false;
      this.worker = undefined;
      this.events.died(reason);
      if (this.closing) {
        this.gone();
        return;
      }
      this.timer = setTimeout(() => this.start(), this.backoff.next());
    });
  }

  post(message: ToWriter): void {
    this.worker?.postMessage(message);
  }

  /** Ends the thread at once, as a crash would. */
  async kill(): Promise<void> {
    await this.worker?.terminate();
  }

  /** Lets the writer close its file, and ends it where it does not. */
  async close(): Promise<void> {
    this.closing = true;
    clearTimeout(this.timer);
    const { worker } = this;
    if (!worker) return;
    const gone = new Promise<void>((resolve) => (this.gone = resolve));
    const timer = setTimeout(() => void worker.terminate(), CLOSING_TIME);
    this.post({ kind: 'close' });
    await gone;
    clearTimeout(timer);
  }
}
