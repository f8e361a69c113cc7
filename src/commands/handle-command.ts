import { setTimeout } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { SeenIds } from '../../projections/blocks/effective-blocks.js';
import { StopgapError } from '../kernel/errors.js';
import type { Fact, NewEvent, RecordedEvent } from '../kernel/events.js';
import type { Clock, Instant, Milliseconds } from '../kernel/time.js';
import { Backoff } from '../runtime/clock.js';
import { envelope, haveSameMark, markedId, newId } from '../runtime/ids.js';
import type { EventStore } from '../store/port.js';
import { StoreUnavailable } from '../store/port.js';

export interface CommandContext {
  /** The actor: `admin:<name>`, `rule:<id>@<version>`, `system:<part>`. */
  readonly by: string;
  readonly correlation?: string | undefined;
  /** The traceparent of the span that gives the command, if it is traced. */
  readonly trace?: string | undefined;
  /**
   * Identifies the command's events: with the same seed a command is carried out once, in any process and at any number
   * of tries.
   */
  readonly seed?: string | undefined;
  readonly precondition?: Precondition | undefined;
}

/** A version of what a command changes; null if there is nothing to change. */
type Version = number | string | null;

/** The command is carried out only on a version that matches. */
interface Precondition {
  /** The name of what must be unchanged, for the message. */
  readonly what: string;
  readonly matches: (version: number | string) => boolean;
}

/** A stream and its fold. */
interface Folding<State> {
  readonly stream: string;
  readonly initial: State;
  readonly evolve: (state: State, event: RecordedEvent) => State;
  /** Set if reading continues from an earlier read. Not for commands with a seed: their events may lie further back. */
  readonly kept?: KeptHistories<State> | undefined;
}

/** The state of long streams at their last read, by stream. */
export type KeptHistories<State> = LRUCache<string, Kept<State>>;

interface Kept<State> {
  readonly history: History<State>;
  readonly lastId: string;
  readonly seen: SeenIds;
}

/** What is specific to one kind of command; {@link handleCommand} does the rest. */
export interface Decider<Command, State, F extends Fact> extends Folding<State> {
  /** The facts that a command causes: none if there is nothing left to do. */
  readonly decide: (command: Command, state: State, now: Instant) => readonly F[];
  /**
   * The version that a precondition is compared with. Undefined if the command's change has been made already: then no
   * precondition fails (RFC 9110, 13.1.1).
   */
  readonly version: (command: Command, history: History<State>, now: Instant) => Version | undefined;
}

/** The content of a stream. An event that it holds twice counts once. */
export interface History<State> {
  readonly state: State;
  readonly revision: number | 'none';
  /** Position of the last event; 0 if there is none. */
  readonly position: number;
  /** The last recorded traceparent. */
  readonly trace: string | undefined;
}

export interface Handled<State, F extends Fact> {
  /** The resulting events; none if there was nothing left to do. */
  readonly facts: readonly (F & NewEvent)[];
  /** The state that it was decided on. */
  readonly before: State;
  /** Position of the stream's last event, including the command's; 0 if there is none. */
  readonly position: number;
  /** True if the same request had been carried out before: nothing was written now. */
  readonly repeated: boolean;
}

/** How often in a row another writer may win. Thirty rivals that each want something else need about ten tries. */
const ATTEMPTS = 20;
/** Milliseconds. A store may refuse an append before the event that it lost to can be read. */
const PAUSES = { first: 5, most: 250 };
/** The length from which a stream is kept, in events: a shorter one is read in a moment. */
const LONG = 100;
/** Ids that are kept with it: a retried append comes soon after the first. */
const IDS_KEPT = 10_000;

export function keptHistories<State>(): KeptHistories<State> {
  return new LRUCache({ max: 100 });
}

/** Reads a stream; continues from the last read if its state is kept. @throws StoreUnavailable */
export async function readHistory<State>(
  store: Pick<EventStore, 'readStream'>,
  folding: Folding<State>,
  watch?: (event: RecordedEvent, before: State) => void,
): Promise<History<State>> {
  const { stream, initial, evolve, kept } = folding;
  const known = kept?.get(stream);
  // A read that fails half-way is of no use, and nobody else may continue from it meanwhile.
  kept?.delete(stream);
  const seen = known?.seen ?? new SeenIds(kept && IDS_KEPT);
  const none: History<State> = { state: initial, revision: 'none', position: 0, trace: undefined };
  let history = known?.history ?? none;
  let { lastId = '' } = known ?? {};
  let isSame = known === undefined;
  const from = known === undefined ? {} : { from: known.history.revision as number };
  for await (const event of store.readStream(stream, from)) {
    if (!isSame) {
      if (event.id !== lastId) break;
      isSame = true;
      continue;
    }
    lastId = event.id;
    let { state } = history;
    if (seen.isNew(event.id)) {
      watch?.(event, state);
      state = evolve(state, event);
    }
    const { revision, position, trace = history.trace } = event;
    history = { state, revision, position, trace };
  }
  // The log that it was read from has been replaced.
  if (!isSame) return readHistory(store, folding, watch);
  if (history.revision !== 'none' && history.revision >= LONG) kept?.set(stream, { history, lastId, seen });
  return history;
}

/**
 * Carries out a command on one stream: reads it, decides, appends at the revision that was read. A writer that loses a
 * race reads and decides again, and first looks for the events of its own command: two that carry out the same request
 * both get the result of the first.
 *
 * @param context if `trace` is a function, it is called after each read of the stream, with the stream's last trace
 * @param wait waits for so many milliseconds after a lost race
 * @throws what `decide` throws; StopgapError `precondition-failed`; StoreUnavailable, also after too many lost races
 */
export async function handleCommand<Command, State, F extends Fact>(
  store: Pick<EventStore, 'append' | 'readStream'>,
  clock: Clock,
  decider: Decider<Command, State, F>,
  command: Command,
  context: Omit<CommandContext, 'trace'> & {
    readonly trace?: string | ((last: string | undefined) => string | undefined) | undefined;
  },
  wait: (span: Milliseconds) => Promise<unknown> = setTimeout,
): Promise<Handled<State, F>> {
  const { seed, trace, precondition } = context;
  // Each attempt uses the same ids, so that an append that was written although it seemed lost is recognised.
  const ids: string[] = [];
  const idAt = (index: number): string =>
    (ids[index] ??= seed === undefined ? newId() : markedId(`${seed}/${index}`));
  const isOwn = (id: string, index: number): boolean =>
    seed === undefined ? id === idAt(index) : haveSameMark(id, idAt(index));
  const pauses = new Backoff(PAUSES);
  for (let attempt = 1; ; attempt++) {
    const own: { event: F & RecordedEvent; before: State }[] = [];
    const history = await readHistory(store, decider, (event, before) => {
      if (isOwn(event.id, own.length)) own.push({ event: event as F & RecordedEvent, before });
    });
    const { state: before, position } = history;
    if (own.length > 0) {
      const facts = own.map(({ event }) => event);
      return { facts, before: own[0]!.before, position, repeated: facts[0]!.id !== idAt(0) };
    }
    const traced = { ...context, trace: typeof trace === 'function' ? trace(history.trace) : trace };
    const now = clock.now();
    if (precondition !== undefined) check(precondition, decider.version(command, history, now));
    const facts = decider.decide(command, before, now);
    if (facts.length === 0) return { facts: [], before, position, repeated: false };
    const events = envelope(facts, { ...traced, idAt }, now);
    try {
      const appended = await store.append(decider.stream, events, history.revision);
      return { facts: events, before, position: appended.position, repeated: false };
    } catch (error) {
      if (!(error instanceof StopgapError) || error.code !== 'conflict') throw error;
      if (attempt === ATTEMPTS)
        throw new StoreUnavailable('others are changing the same thing just now: try again', {
          cause: error,
        });
    }
    await wait(pauses.next());
  }
}

/** @throws StopgapError `precondition-failed`, which names the present version */
function check({ what, matches }: Precondition, version: Version | undefined): void {
  if (version === undefined || (version !== null && matches(version))) return;
  const state = version === null ? 'it is gone' : `it is at version ${version}`;
  throw new StopgapError('precondition-failed', `${what} has changed since it was read: ${state}`, {
    version,
  });
}
