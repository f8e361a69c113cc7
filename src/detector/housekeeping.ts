import { open } from 'node:fs/promises';
import os from 'node:os';
import type { Logger } from 'pino';
import { stateAt } from '../../projections/blocks/block-entry.js';
import { exemptNote } from '../blocks/decide.js';
import type { BlockCommandHandler } from '../commands/block-commands.js';
import type { ErrorCode } from '../kernel/errors.js';
import { messageOf, StopgapError } from '../kernel/errors.js';
import type { AlarmClock, Clock, Instant, Milliseconds } from '../kernel/time.js';
import { DAY, formatInstant, HOUR, MINUTE, SECOND } from '../kernel/time.js';
import { decisionFields } from '../log/decisions.js';
import { Trouble } from '../log/trouble.js';
import { TimeSlice } from '../runtime/clock.js';
import { PROFILE_CATEGORY } from '../sending/day-summary.js';
import { AUTH_CATEGORY, SEND_CATEGORY } from '../sending/events.js';
import type { OutboxedStore } from '../store/outboxed.js';
import type { EventStore } from '../store/port.js';
import type { LocalContainment } from './containment.js';
import type { ReadModels } from './read-models.js';

/** Ends local containment when the outbox is delivered and its results are folded: the detectors decide again. */
export function letGoWhenBack(
  containment: LocalContainment,
  outbox: OutboxedStore,
  models: ReadModels,
  store: EventStore,
  clock: AlarmClock,
): () => void {
  let cancel = (): void => undefined;
  let back = false;
  const look = (): void => {
    const isBack = !outbox.away && store.healthy && models.feedPosition > 0;
    // Between two checks the detectors have had time to act on what was delivered.
    if (isBack && back) containment.letGo();
    back = isBack;
    cancel = clock.after(10 * SECOND, look);
  };
  look();
  return () => cancel();
}

/** Without appends, an outage shows after two rounds plus the time that an append may take. */
const PROBE_PAUSE: Milliseconds = 3 * SECOND;
/** Descriptors run out for as long as somebody holds connections open. */
const DESCRIPTOR_PAUSE: Milliseconds = 5 * SECOND;

/** Probes the store while this runs, so that health shows an outage before anybody needs the store. */
export function keepProbed(
  store: Pick<EventStore, 'probe' | 'healthy'>,
  clock: AlarmClock,
  log: Logger,
): () => void {
  const trouble = new Trouble(clock, {
    began: (error) => log.warn({ error }, 'the store takes no events'),
    over: (count, spanMs) => log.warn({ count, spanMs }, 'the store takes events again'),
  });
  return every(
    PROBE_PAUSE,
    clock,
    async () => {
      await store.probe();
      if (!store.healthy) throw new Error('appends have failed');
    },
    trouble,
  );
}

/** Logs when no more files can be opened: the system then closes connections before the listeners see them. */
export function watchDescriptors(clock: AlarmClock, log: Logger, onShort: () => void): () => void {
  const trouble = new Trouble(clock, {
    began: (error) => log.error({ error }, 'connections are not taken'),
    over: (count, spanMs) => log.warn({ count, spanMs }, 'connections are taken again'),
  });
  return every(
    DESCRIPTOR_PAUSE,
    clock,
    async () => {
      try {
        await (await open(os.devNull)).close();
      } catch (error) {
        onShort();
        throw error;
      }
    },
    trouble,
  );
}

/** Checks repeatedly whether something works, until it is stopped. */
function every(
  pause: Milliseconds,
  clock: AlarmClock,
  look: () => Promise<void>,
  trouble: Trouble,
): () => void {
  let stopped = false;
  let cancel = (): void => undefined;
  const plan = (): void => {
    if (stopped) return;
    cancel = clock.after(pause, () => {
      look()
        .then(
          () => trouble.worked(),
          (error: unknown) => {
            if (!stopped) trouble.failed(messageOf(error));
          },
        )
        .then(plan, plan);
    });
  };
  plan();
  return () => {
    stopped = true;
    cancel();
  };
}

/**
 * Streams named by senders and networks, and appended to by no revision: with their last event their names go. What is
 * on hold is counted by revisions, and is named by blocks.
 */
const JOURNALS = [SEND_CATEGORY, AUTH_CATEGORY, PROFILE_CATEGORY];

/** For how long the clock must have gone as it goes now before anything is deleted by it. */
const PROVEN: Milliseconds = DAY;
/** How long nothing may have been written before that: a weekend. */
const SILENCE: Milliseconds = 2 * DAY;
/** By how much the clock is put right between two sweeps, at most, if it was as good as right. */
const PUT_RIGHT: Milliseconds = HOUR;

/** For how long nobody has set the clock, as far as this process saw it. */
class Steadiness {
  readonly #clock: AlarmClock;
  #since: Milliseconds;
  #looked: Milliseconds;
  #saw: Instant;

  constructor(clock: AlarmClock) {
    this.#clock = clock;
    this.#since = this.#looked = clock.monotonic();
    this.#saw = clock.now();
  }

  look(): Milliseconds {
    const [looked, saw] = [this.#clock.monotonic(), this.#clock.now()];
    if (Math.abs(saw - this.#saw - (looked - this.#looked)) > PUT_RIGHT) this.#since = looked;
    this.#looked = looked;
    this.#saw = saw;
    return looked - this.#since;
  }
}

/**
 * Deletes events older than their retention: soon after the start, then every hour. A clock that is years ahead would
 * have all of them deleted, for ever. So either the store holds what was written by the same clock a day ago, or this
 * process has seen it go for as long.
 */
export function keepSwept(
  store: Pick<EventStore, 'sweep' | 'lastWrittenBy'>,
  clock: AlarmClock,
  log: Logger,
): () => void {
  let cancel = (): void => undefined;
  const steadiness = new Steadiness(clock);
  let isHeldBack = false;
  const sweep = async (): Promise<void> => {
    const now = clock.now();
    const isProven = steadiness.look() >= PROVEN;
    const lastAt = await store.lastWrittenBy(now - PROVEN);
    if (!isProven && lastAt !== undefined && lastAt < now - PROVEN - SILENCE) {
      if (!isHeldBack)
        log.warn(
          { lastAt: formatInstant(lastAt) },
          'nothing is deleted for a day: the clock is ahead, or nothing was written for long',
        );
      isHeldBack = true;
      return;
    }
    isHeldBack = false;
    const events = await store.sweep(now, JOURNALS);
    if (events > 0) log.info({ events }, 'events beyond their retention were deleted');
  };
  const plan = (after: number): void => {
    cancel = clock.after(after, () => {
      sweep().catch((error: unknown) =>
        log.error({ error: messageOf(error) }, 'the sweep failed; it is tried again in an hour'),
      );
      plan(HOUR);
    });
  };
  plan(MINUTE);
  return () => cancel();
}

interface ExemptProposalsOptions {
  readonly blockCommands: BlockCommandHandler;
  readonly models: ReadModels;
  readonly clock: Clock;
  readonly log: Logger;
}

const BY = 'system:exemptions';
const GONE: readonly ErrorCode[] = ['conflict', 'not-found'];

/**
 * Dismisses the proposals whose subjects have become exempt: by the rules, or by an exemption of a domain or network
 * that contains them. For an exemption of the subject itself, `decide` dismisses the proposal at once.
 *
 * @param position of the event that made them exempt; undefined at a start
 * @throws StoreUnavailable
 */
export async function dismissExempt(
  { blockCommands, models, clock, log }: ExemptProposalsOptions,
  position?: number,
): Promise<void> {
  const correlation = position === undefined ? undefined : `event:${position}`;
  const share = new TimeSlice();
  for (const entry of [...models.ledger.pending()]) {
    if (share.spent()) await share.turn();
    const { id: block, subject } = entry;
    const now = clock.now();
    const exempted =
      stateAt(entry, now) === 'proposed' ? models.exemptions.covering(subject, now) : undefined;
    if (exempted === undefined) continue;
    try {
      const command = { kind: 'dismiss', block, note: exemptNote(exempted.reason) } as const;
      const executed = await blockCommands.execute(subject, command, { by: BY, correlation });
      log.info(
        decisionFields(BY, subject, executed, correlation),
        'a proposal of an exempt subject was dismissed',
      );
    } catch (error) {
      // Somebody else has answered it meanwhile, or it belongs to a former log.
      if (!(error instanceof StopgapError) || !GONE.includes(error.code)) throw error;
    }
  }
}
