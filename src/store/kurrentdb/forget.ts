import { createHash } from 'node:crypto';
import { ownStreams, Rewriter } from '../../forgetting/person.js';
import type { OwnStream, Person } from '../../forgetting/person.js';
import type { NewEvent, RecordedEvent } from '../../kernel/events.js';
import { categoryOf } from '../../kernel/events.js';
import { newId, idOf } from '../../runtime/ids.js';
import type { Clock } from '../../kernel/time.js';
import type { Imported } from '../../sending/events.js';
import { StoreUnavailable, type EventStore, type Forgotten } from '../port.js';

/** Which streams were deleted, up to which revision. Other processes that read everything pass over what it names. */
const ERASED_STREAM = 'erased-streams';

interface StreamErased {
  /** Of its name, which must not be here. */
  readonly hash: string;
  readonly through: number;
}

const hashOf = (stream: string): string => createHash('sha256').update(stream).digest('base64url');

/**
 * Streams that were deleted. The server hides their events from reads of the stream at once, and from everything only
 * at its scavenge: until then they are passed over here.
 */
export class Erasures {
  readonly #read: () => AsyncIterable<RecordedEvent>;
  /** By hash, the last revision that is gone. */
  #through: ReadonlyMap<string, number> = new Map();
  /** Reads that have begun, and which of them gave what is known. */
  #begun = 0;
  #known = 0;
  /** The name that was asked for last: events of a stream come in runs. */
  #asked = { stream: '', through: -1 };

  constructor(read: () => AsyncIterable<RecordedEvent>) {
    this.#read = read;
  }

  static read(reader: Pick<EventStore, 'readStream'>): Erasures {
    return new Erasures(() => reader.readStream(ERASED_STREAM));
  }

  /**
   * Learns what any process has deleted so far; true if that is not what was known. Only what the log says now counts:
   * where an older or an empty one has taken its place, it may hold what the former one had deleted.
   *
   * @throws StoreUnavailable
   */
  async refresh(): Promise<boolean> {
    const begun = ++this.#begun;
    const found = new Map<string, number>();
    for await (const { data } of this.#read()) {
      const { hash, through } = data as Partial<StreamErased>;
      if (typeof hash !== 'string' || typeof through !== 'number') continue;
      if (through > (found.get(hash) ?? -1)) found.set(hash, through);
    }
    // A read that began later knows more.
    if (begun < this.#known) return false;
    this.#known = begun;
    const before = this.#through;
    this.#through = found;
    this.#asked = { stream: '', through: -1 };
    return found.size !== before.size || [...found].some(([hash, through]) => before.get(hash) !== through);
  }

  has({ stream, revision }: Pick<RecordedEvent, 'stream' | 'revision'>): boolean {
    if (this.#through.size === 0) return false;
    if (this.#asked.stream !== stream)
      this.#asked = { stream, through: this.#through.get(hashOf(stream)) ?? -1 };
    return revision <= this.#asked.through;
  }
}

export interface ForgettingTools {
  readonly store: Pick<EventStore, 'readStream' | 'readAll' | 'append'>;
  readonly clock: Clock;
  /** Deletes a stream, so that it can begin again; false if this is no longer the revision of its last event. */
  readonly deleteStream: (stream: string, last: number) => Promise<boolean>;
}

const BY = 'system:forgetting';
/** Events of one append: histories of blocks are short. */
const AT_ONCE = 50;

/**
 * What a log that is only ever appended to can do for somebody who is to be forgotten. The streams that are theirs are
 * deleted; the histories of their blocks are written once more under the pseudonym before that. What others share stays.
 */
export async function forgetIn(
  tools: ForgettingTools,
  person: Person,
  mayGoOn: () => void = () => undefined,
): Promise<Forgotten> {
  const { store } = tools;
  const rewriter = new Rewriter(person);
  let [erased, rewritten] = [0, 0];
  for (const own of ownStreams(person)) {
    // What others append meanwhile is read, and goes the same way, before the stream is deleted.
    for (let from = 0, isGone = false; !isGone;) {
      const events: RecordedEvent[] = [];
      let last = -1;
      let count = 0;
      let isTheirs = true;
      for await (const event of store.readStream(own.stream, { from })) {
        last = event.revision;
        count++;
        if (own.renamed !== undefined) events.push(event);
        if (own.isShared === true) isTheirs &&= rewriter.erases(event.type, event.data);
      }
      if (last < 0 && from > 0)
        throw new StoreUnavailable('others write to what is to be forgotten: try again');
      if (last < 0 || !isTheirs) break;
      mayGoOn();
      await copy(tools, rewriter, own, person, events);
      isGone = await erase(tools, own.stream, last);
      from = last + 1;
      if (own.renamed === undefined) erased += count;
      else rewritten += count;
    }
  }
  let [passing, staying] = [0, 0];
  for await (const { stream, type, by, data } of store.readAll()) {
    if (rewriter.rewrite({ type, by, data: JSON.stringify(data) }) === undefined) continue;
    if (PASSING.has(categoryOf(stream))) passing++;
    else staying++;
  }
  return { erased, rewritten, remains: [SCAVENGE, ...sharedSentence(passing, staying), OUTBOXES] };
}

/** Kept for a time only. */
const PASSING = new Set(['send', 'held', 'auth', 'notices', 'profile']);

const SCAVENGE =
  'KurrentDB hides what was erased at once, and removes it from the disk only by a scavenge on each node: POST /admin/scavenge (docs/run/deploy.md). The names of the streams stay in its metadata.';

const OUTBOXES =
  'Nodes that take mail keep outboxes of their own: what another node holds in quarantine (stopgap outbox show) is not reached from here, and what waits there for the store comes to it under the name: forget them once more when it is delivered.';

function sharedSentence(passing: number, staying: number): readonly string[] {
  const events = (count: number): string => `${count} ${count === 1 ? 'event' : 'events'}`;
  return [
    ...(passing === 0
      ? []
      : [
          `${events(passing)} in streams that others share still name them; KurrentDB cannot change these, and they go with their retention and the scavenge after it.`,
        ]),
    ...(staying === 0
      ? []
      : [
          `${events(staying)} in streams that others share and that are kept for ever still name them; KurrentDB cannot change these.`,
        ]),
  ];
}

async function copy(
  { store }: ForgettingTools,
  rewriter: Rewriter,
  { renamed }: OwnStream,
  { pseudonym }: Person,
  events: readonly RecordedEvent[],
): Promise<void> {
  if (renamed === undefined) return;
  for (let from = 0; from < events.length; from += AT_ONCE)
    await store.append(
      renamed,
      events.slice(from, from + AT_ONCE).map((event) => anew(event, rewriter, pseudonym)),
      'any',
    );
}

/** It happened long ago: nobody is told of it, and nothing is done, once more. */
const COPIED: Imported = { imported: 'forgetting' };

/** The same event under another id, which is the same at each try. */
function anew(event: RecordedEvent, rewriter: Rewriter, pseudonym: string): NewEvent {
  const { id, type, version, at, by, correlation, trace } = event;
  const data = rewriter.value(event.data) as object;
  return {
    id: idOf(`forgotten/${pseudonym}/${id}`),
    type,
    at,
    by,
    data: { ...COPIED, ...data },
    ...(version === undefined ? {} : { version }),
    ...(correlation === undefined ? {} : { correlation }),
    ...(trace === undefined ? {} : { trace }),
  };
}

async function erase(
  { store, clock, deleteStream }: ForgettingTools,
  stream: string,
  through: number,
): Promise<boolean> {
  const data: StreamErased = { hash: hashOf(stream), through };
  // First, so that no reader of everything finds the events of a stream that is gone.
  const event = { id: newId(), type: 'StreamErased', at: clock.now(), by: BY, data };
  await store.append(ERASED_STREAM, [event], 'any');
  return deleteStream(stream, through);
}
