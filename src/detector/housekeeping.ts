import { open } from 'node:fs/promises';
import os from 'node:os';
import type { Logger } from 'pino';
import { stateAt } from '../../projections/blocks/block-entry.js';
import { exemptNote } from '../blocks/decide.js';
import type { BlockCommandHandler } from '../commands/block-commands.js';
import type { ErrorCode } from '../kernel/errors.js';
import { messageOf, StopgapError } from '../kernel/errors.js';
import type { AlarmClock, Clock, Milliseconds } from '../kernel/time.js';
import { HOUR, MINUTE, SECOND } from '../kernel/time.js';
import { decisionFields } from '../log/decisions.js';
import { Trouble } from '../log/trouble.js';
import { TimeSlice } from '../runtime/clock.js';
import type { OutboxedStore } from '../store/outboxed.js';
import type { EventStore } from '../store/port.js';
import type { LocalContainment } from './containment.js';
import type { ReadModels } from './read-models.js';

/** Once the outbox is delivered and what came of it is folded, the detectors' word holds again. */
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
    // Between two looks the detectors have had their time to act on what was delivered.
    if (isBack && back) containment.letGo();
    back = isBack;
    cancel = clock.after(10 * SECOND, look);
  };
  look();
  return () => cancel();
}

/** A store that nobody appends to is known to be away after two rounds, and the time that an append may take. */
const PROBE_PAUSE: Milliseconds = 3 * SECOND;
/** Descriptors run out for as long as somebody holds connections open. */
const DESCRIPTOR_PAUSE: Milliseconds = 5 * SECOND;

/** Probes the store for as long as this runs, so that health tells that it is away before somebody needs it. */
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

/** Tells when no file can be opened any more: the system then closes connections before anybody here hears of them. */
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

/** Looks again and again whether something works, until it is told to stop. */
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

/** Deletes what has outlived its retention: soon after the start, then every hour. */
export function keepSwept(
  sweep: (now: number) => Promise<number>,
  clock: AlarmClock,
  log: Logger,
): () => void {
  let cancel = (): void => undefined;
  const plan = (after: number): void => {
    cancel = clock.after(after, () => {
      sweep(clock.now()).then(
        (gone) => gone > 0 && log.info({ events: gone }, 'events beyond their retention were deleted'),
        (error: unknown) =>
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
 * Dismisses the proposals whose subjects have become exempt: by the rules, or by an exemption of a domain or network that
 * they lie in. One of the subject itself is granted and the proposal dismissed at once, by `decide`.
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
      // Somebody else has answered it meanwhile, or it was one of a log that is gone.
      if (!(error instanceof StopgapError) || !GONE.includes(error.code)) throw error;
    }
  }
}
