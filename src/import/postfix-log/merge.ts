import type { Instant } from '../../kernel/time.js';
import type { LogFile } from './files.js';
import type { LogRecord, ReaderOptions, Survey } from './reader.js';
import { LogReader, survey } from './reader.js';
import type { Said } from './message.js';

/**
 * Reads files of any number and order as one log: hands over what was written at one time, then what came next. A line
 * that stands in several files (they overlap, or one was given twice) counts once.
 *
 * A file is opened only when its time has come: of a year of rotated ones hardly more than two are open at once.
 *
 * @param onGroup where it returns a promise, the next group waits for it
 */
export async function readMerged(
  files: readonly LogFile[],
  options: ReaderOptions,
  onGroup: (records: readonly LogRecord[]) => void | Promise<void>,
): Promise<void> {
  const waiting: { file: LogFile; found: Survey }[] = [];
  for (const file of files) waiting.push({ file, found: await survey(file, options) });
  const firstOf = ({ found }: { found: Survey }): Instant => found.firstAt ?? -Infinity;
  waiting.sort((a, b) => firstOf(a) - firstOf(b));
  let open: Source[] = [];
  for (;;) {
    let next = Math.min(...open.map(({ order }) => order));
    while (waiting.length > 0 && firstOf(waiting[0]!) <= next) {
      const { file, found } = waiting.shift()!;
      const source = new Source(new LogReader(file, found, options).batches());
      if (await source.advance()) open.push(source);
      next = Math.min(next, source.order);
    }
    if (open.length === 0) return;
    const groups: LogRecord[][] = [];
    let ended = false;
    for (const source of open) {
      if (source.order !== next) continue;
      const group: LogRecord[] = [];
      groups.push(group);
      do group.push(source.take());
      while ((source.ready || (await source.advance())) && source.order === next);
      ended ||= !source.ready;
    }
    if (ended) open = open.filter(({ ready }) => ready);
    const wait = onGroup(groups.length === 1 ? groups[0]! : united(groups));
    if (wait !== undefined) await wait;
  }
}

/** One file that is being read. */
class Source {
  readonly #batches: AsyncIterator<readonly LogRecord[]>;
  #batch: readonly LogRecord[] = [];
  #index = 0;

  constructor(batches: AsyncIterator<readonly LogRecord[]>) {
    this.#batches = batches;
  }

  /** Whether the next record is at hand. */
  get ready(): boolean {
    return this.#index < this.#batch.length;
  }

  /** That of the next record; infinite where none is at hand. */
  get order(): Instant {
    return this.#batch[this.#index]?.order ?? Infinity;
  }

  take(): LogRecord {
    return this.#batch[this.#index++]!;
  }

  /** Gets more where none is at hand; false at the end. */
  async advance(): Promise<boolean> {
    while (!this.ready) {
      const next = await this.#batches.next();
      if (next.done === true) return false;
      this.#batch = next.value;
      this.#index = 0;
    }
    return true;
  }
}

/** In the order in which Postfix does things: lines of one second from several files have no other. */
const PHASES: Readonly<Record<Said['kind'], number>> = {
  passed: 0,
  taken: 1,
  picked: 1,
  identified: 2,
  proxied: 3,
  queued: 4,
  loginFailed: 5,
  refused: 5,
  tried: 6,
  bounced: 7,
  removed: 8,
};

/** What stands in any of the groups, as often as in that which has it most often. */
function united(groups: readonly (readonly LogRecord[])[]): readonly LogRecord[] {
  const taken = new Map<string, number>();
  const all: LogRecord[] = [];
  for (const group of groups) {
    const own = new Map<string, number>();
    for (const record of group) {
      const times = (own.get(record.text) ?? 0) + 1;
      own.set(record.text, times);
      if (times <= (taken.get(record.text) ?? 0)) continue;
      taken.set(record.text, times);
      all.push(record);
    }
  }
  return all.sort((a, b) => PHASES[a.said.kind] - PHASES[b.said.kind] || compare(a.text, b.text));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a === b ? 0 : 1;
}
