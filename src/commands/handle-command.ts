import { setTimeout } from 'node:timers/promises';
import { SeenIds } from '../../projections/blocks/effective-blocks.js';
import { envelope, haveSameMark, markedId, newId } from '../runtime/ids.js';
import { StopgapError } from '../kernel/errors.js';
import type { Fact, NewEvent, RecordedEvent } from '../kernel/events.js';
import type { Clock, Instant, Milliseconds } from '../kernel/time.js';
import { Backoff } from '../runtime/backoff.js';
import type { EventStore } from '../store/port.js';
import { StoreUnavailable } from '../store/port.js';

export interface CommandContext {
  /** Who: `admin:<name>`, `rule:<id>@<version>`, `system:<part>`. */
  readonly by: string;
  readonly correlation?: string | undefined;
  /** The traceparent of the span that gives the command, where that is traced. */
  readonly trace?: string | undefined;
  /** What the command's events are recognised by: with the same seed it is carried out once, wherever and however often. */
  readonly seed?: string | undefined;
}

/** A stream, and what it is folded into. */
export interface Folding<State> {
  readonly stream: string;
  readonly initial: State;
  readonly evolve: (state: State, event: RecordedEvent) => State;
}

/** What a stream says, each event counted once under its id. */
export interface History<State> {
  readonly state: State;
  readonly revision: number | 'none';
  /** Position of the last event; 0 where there is none. */
  readonly position: number;
  /** The traceparent that was recorded last. */
  readonly trace: string | undefined;
}

export interface Handled<State, F extends Fact> {
  /** What came of it; empty where there was nothing left to do. */
  readonly facts: readonly (F & NewEvent)[];
  /** The state that it was decided on. */
  readonly before: State;
  /** Position of the stream's last event, those of the command included; 0 where there is none. */
  readonly position: number;
  /** True where the same request had been carried out before: nothing was written now. */
  readonly repeated: boolean;
}

/** Somebody else was faster this many times in a row. Thirty rivals that each want something else need about ten. */
const ATTEMPTS = 20;
/** Milliseconds. A store may refuse an append before the event that it lost to can be read. */
const PAUSES = { first: 5, most: 250 };

/** Reads a stream. @throws StoreUnavailable */
export async function readHistory<State>(
  store: Pick<EventStore, 'readStream'>,
  { stream, initial, evolve }: Folding<State>,
  watch?: (event: RecordedEvent, before: State) => void,
): Promise<History<State>> {
  const seen = new SeenIds();
  let history: History<State> = { state: initial, revision: 'none', position: 0, trace: undefined };
  for await (const event of store.readStream(stream)) {
    let { state } = history;
    if (seen.isNew(event.id)) {
      watch?.(event, state);
      state = evolve(state, event);
    }
    const { revision, position, trace = history.trace } = event;
    history = { state, revision, position, trace };
  }
  return history;
}

/**
 * Carries out a command on one stream: reads it, decides, appends at the revision that was read. A writer that loses a
 * race reads and decides again, and first looks for the events of its own command: two that carry out the same request
 * both get the result of the first.
 *
 * @param decide what the command brings about; what it throws ends the command
 * @param context where `trace` is a function, it is asked once it has been decided
 * @param wait how it waits for so many milliseconds after a lost race
 * @throws what `decide` throws; StoreUnavailable, also after too many lost races
 */
export async function handleCommand<State, F extends Fact>(
  store: Pick<EventStore, 'append' | 'readStream'>,
  clock: Clock,
  folding: Folding<State>,
  decide: (history: History<State>, now: Instant) => readonly F[],
  context: Omit<CommandContext, 'trace'> & {
    readonly trace?: string | (() => string | undefined) | undefined;
  },
  wait: (span: Milliseconds) => Promise<unknown> = setTimeout,
): Promise<Handled<State, F>> {
  const { seed, trace } = context;
  // The same in each attempt: one that was written although it seemed to be lost is recognised.
  const ids: string[] = [];
  const idAt = (index: number): string =>
    (ids[index] ??= seed === undefined ? newId() : markedId(`${seed}/${index}`));
  const isOwn = (id: string, index: number): boolean =>
    seed === undefined ? id === idAt(index) : haveSameMark(id, idAt(index));
  const pauses = new Backoff(PAUSES);
  for (let attempt = 1; ; attempt++) {
    const own: { event: F & RecordedEvent; before: State }[] = [];
    const history = await readHistory(store, folding, (event, before) => {
      if (isOwn(event.id, own.length)) own.push({ event: event as F & RecordedEvent, before });
    });
    const { state: before, position } = history;
    if (own.length > 0) {
      const facts = own.map(({ event }) => event);
      return { facts, before: own[0]!.before, position, repeated: facts[0]!.id !== idAt(0) };
    }
    const now = clock.now();
    const facts = decide(history, now);
    if (facts.length === 0) return { facts: [], before, position, repeated: false };
    const traced = { ...context, trace: typeof trace === 'function' ? trace() : trace };
    const events = envelope(facts, { ...traced, idAt }, now);
    try {
      const appended = await store.append(folding.stream, events, history.revision);
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
