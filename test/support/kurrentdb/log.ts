import fs from 'node:fs';

/** What a writer hands over. */
export interface Proposed {
  readonly id: string;
  readonly type: string;
  readonly contentType: string;
  readonly data: Buffer;
  readonly metadata: Buffer;
}

export interface Stored extends Proposed {
  readonly stream: string;
  readonly revision: number;
  /** Commit and prepare position alike. */
  readonly position: number;
  /** Milliseconds since the Unix epoch. */
  readonly created: number;
}

export type Expected = 'any' | 'none' | 'exists' | number;

export type Verdict =
  | { readonly kind: 'written'; readonly last: Stored }
  | { readonly kind: 'idempotent'; readonly last: Stored }
  | { readonly kind: 'wrong'; readonly current: number | undefined }
  | { readonly kind: 'deleted' };

interface Stream {
  readonly events: Stored[];
  /** How many of them can be read: the server's writer knows of an event before its readers do. */
  readable: number;
  /** Events before it are gone; Infinity after a soft delete, until the next append. */
  truncateBefore: number;
  maxAge: number | undefined;
  maxCount: number | undefined;
  tombstone: boolean;
}

/** The server's log, its checks of expected versions and its cache of event ids, as KurrentDB 26.1 has them. */
export class Log {
  readonly all: Stored[] = [];
  /** The time by the server's clock. */
  now: () => number = Date.now;
  /** What is written can be read so many milliseconds later. */
  indexing = 0;
  /** Events in the order in which they were written, that cannot be read yet. */
  private unread: Stored[] = [];
  private readonly streams = new Map<string, Stream>();
  /** Ids that the server still has in memory: what idempotence without an expected revision rests on. */
  private readonly committed = new Map<string, Stored>();
  private readonly waiting = new Set<() => void>();
  private end = 1024;
  private fd: number | undefined;
  private replica: fs.FSWatcher | undefined;

  /** @param file keeps what was acknowledged over a kill: JSON lines */
  constructor(private readonly file?: string) {
    if (file !== undefined) this.reload();
    // A server is never empty: a read of everything meets its own events first.
    if (this.all.length === 0) this.append('$settings', 'any', [systemEvent('$settings', {})]);
  }

  /** Reads the file anew. */
  private reload(): void {
    this.all.length = 0;
    this.unread = [];
    this.streams.clear();
    this.committed.clear();
    this.end = 1024;
    const text = fs.existsSync(this.file!) ? fs.readFileSync(this.file!, 'utf8') : '';
    for (const line of text.split('\n').slice(0, -1)) {
      const { data, metadata, ...rest } = JSON.parse(line) as Stored & { data: string; metadata: string };
      this.keep({ ...rest, data: Buffer.from(data, 'base64'), metadata: Buffer.from(metadata, 'base64') });
    }
    this.show(Infinity);
    // The cache does not outlive the process, nor does another node have it.
    this.committed.clear();
    this.fd ??= fs.openSync(this.file!, 'a');
  }

  /** Takes in what the leader writes, as its replica; until it leads itself. */
  replicate(): void {
    this.replica ??= fs.watch(this.file!, () => this.reload());
    this.reload();
  }

  lead(): void {
    this.isolate();
    this.reload();
  }

  /** Takes in nothing more of what another writes. */
  isolate(): void {
    this.replica?.close();
    this.replica = undefined;
  }

  append(stream: string, expected: Expected, events: readonly Proposed[]): Verdict {
    if (this.streams.get(stream)?.tombstone) return { kind: 'deleted' };
    const verdict = this.check(stream, expected, events);
    return verdict ?? { kind: 'written', last: this.write(stream, events) };
  }

  /** Forgets which ids were written lately, as a restart makes the server do. */
  forget(): void {
    this.committed.clear();
  }

  /** @returns the revision of its last event, if that is not the expected one: then nothing is deleted */
  delete(stream: string, expected?: number): number | undefined {
    const current = this.streams.get(stream)?.events.at(-1)?.revision ?? -1;
    if (expected !== undefined && current !== expected) return current;
    this.append(`$$${stream}`, 'any', [systemEvent('$metadata', { $tb: Number.MAX_SAFE_INTEGER })]);
    return undefined;
  }

  tombstone(stream: string): void {
    this.write(stream, [systemEvent('$streamDeleted', {})]);
    this.show(Infinity);
  }

  /** Resolves when the event can be read, which is when its append is answered. */
  async readable({ position }: Stored): Promise<void> {
    while (this.unread.length > 0 && this.unread[0]!.position <= position) {
      await new Promise<void>((resolve) => {
        const forget = this.onChange(() => {
          forget();
          resolve();
        });
      });
    }
  }

  /** What a reader of the stream gets to see; undefined if there is no such stream. */
  visible(name: string): readonly Stored[] | 'deleted' | undefined {
    const stream = this.streams.get(name);
    if (!stream || stream.truncateBefore === Infinity) return undefined;
    if (stream.tombstone) return 'deleted';
    const { maxAge, maxCount, truncateBefore } = stream;
    const events = stream.events.slice(0, stream.readable);
    if (events.length === 0) return undefined;
    const oldest = maxAge === undefined ? -Infinity : this.now() - maxAge * 1000;
    const seen = events.filter(({ created, revision }) => created >= oldest && revision >= truncateBefore);
    return maxCount === undefined ? seen : seen.slice(-maxCount);
  }

  /** Index in `all` of the event at exactly this position; undefined if none begins there. */
  indexOf(position: number): number | undefined {
    let low = 0;
    let high = this.all.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const found = this.all[middle]!.position;
      if (found === position) return middle;
      if (found < position) low = middle + 1;
      else high = middle - 1;
    }
    return undefined;
  }

  /** Calls back at every change, until the result is called. */
  onChange(callback: () => void): () => void {
    this.waiting.add(callback);
    return () => this.waiting.delete(callback);
  }

  private wake(): void {
    for (const callback of this.waiting) callback();
  }

  /** The server's rule; undefined means: write. */
  private check(stream: string, expected: Expected, events: readonly Proposed[]): Verdict | undefined {
    const state = this.streams.get(stream);
    const current = state && state.events.length > 0 ? state.events.at(-1)!.revision : undefined;
    const wrong: Verdict = { kind: 'wrong', current };
    if (expected === 'any' || expected === 'exists') {
      if (expected === 'exists' && current === undefined) return wrong;
      let last: Stored | undefined;
      for (const [index, { id }] of events.entries()) {
        const known = this.committed.get(id);
        if (known?.stream !== stream) return index === 0 ? undefined : wrong;
        last = known;
      }
      return last && { kind: 'idempotent', last };
    }
    const at = expected === 'none' ? -1 : expected;
    const now = current ?? -1;
    if (at === now) return undefined;
    if (at > now) return wrong;
    let last: Stored | undefined;
    for (const [index, { id }] of events.entries()) {
      const there = state!.events[at + 1 + index];
      if (there?.id !== id) {
        return index === 0 && at === -1 && state!.truncateBefore === Infinity ? undefined : wrong;
      }
      last = there;
    }
    return last ? { kind: 'idempotent', last } : wrong;
  }

  private write(stream: string, events: readonly Proposed[]): Stored {
    const before = this.streams.get(stream)?.events.length ?? 0;
    const created = this.now();
    let lines = '';
    let last: Stored | undefined;
    for (const [index, event] of events.entries()) {
      last = { ...event, stream, revision: before + index, position: this.end, created };
      this.keep(last);
      if (this.fd !== undefined) {
        const { data, metadata } = event;
        const line = { ...last, data: data.toString('base64'), metadata: metadata.toString('base64') };
        lines += `${JSON.stringify(line)}\n`;
      }
    }
    // Handed to the system before it is acknowledged: a kill loses nothing.
    if (this.fd !== undefined) fs.writeSync(this.fd, lines);
    if (this.indexing === 0) this.show(Infinity);
    else setTimeout(() => this.show(last!.position), this.indexing);
    return last!;
  }

  /** Lets readers see what was written up to this position. */
  private show(position: number): void {
    const later = this.unread.findIndex((event) => event.position > position);
    for (const event of this.unread.splice(0, later < 0 ? Infinity : later)) {
      this.all.push(event);
      this.streams.get(event.stream)!.readable++;
    }
    this.wake();
  }

  private keep(event: Stored): void {
    const { stream, type, data } = event;
    const state = this.stream(stream);
    if (state.truncateBefore === Infinity) state.truncateBefore = event.revision;
    state.events.push(event);
    if (type === '$streamDeleted') state.tombstone = true;
    this.unread.push(event);
    this.committed.set(event.id, event);
    // Like the real log, positions are places in a file.
    this.end = event.position + 120 + data.length + event.metadata.length;
    if (stream.startsWith('$$')) this.takeMetadata(stream.slice(2), data);
  }

  private stream(name: string): Stream {
    let state = this.streams.get(name);
    if (!state) this.streams.set(name, (state = emptyStream()));
    return state;
  }

  private takeMetadata(name: string, data: Buffer): void {
    const metadata = JSON.parse(data.toString()) as Record<string, number | undefined>;
    const state = this.stream(name);
    const before = metadata.$tb ?? 0;
    state.truncateBefore = before === Number.MAX_SAFE_INTEGER ? Infinity : before;
    state.maxAge = metadata.$maxAge;
    state.maxCount = metadata.$maxCount;
  }
}

function emptyStream(): Stream {
  return {
    events: [],
    readable: 0,
    truncateBefore: 0,
    maxAge: undefined,
    maxCount: undefined,
    tombstone: false,
  };
}

function systemEvent(type: string, data: unknown): Proposed {
  const id = crypto.randomUUID();
  return {
    id,
    type,
    contentType: 'application/json',
    data: Buffer.from(JSON.stringify(data)),
    metadata: Buffer.alloc(0),
  };
}
