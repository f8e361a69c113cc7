import { on } from 'node:events';
import { Worker } from 'node:worker_threads';
import { DamagedFile } from '../../import/postfix-log/files.js';
import type { LogFile } from '../../import/postfix-log/files.js';
import type { ErrorCode } from '../../kernel/errors.js';
import { StopgapError } from '../../kernel/errors.js';
import type { Batch, Source } from '../world.js';
import type { Columns } from './columns.js';
import { Unpacker } from './columns.js';
import { damaged, noMessage } from './trace.js';

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

  /** The thread begins at once, so that it is ready by the time that everything else is. */
  constructor(file: LogFile) {
    this.#file = file;
    this.#thread = new Worker(SCRIPT, { workerData: file.name });
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
