import { setTimeout } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Config } from './config/types.js';
import type { BullWork } from './expiry/bullmq/index.js';
import { openBullWork } from './expiry/bullmq/index.js';
import { Timers } from './expiry/timers.js';
import { isDiskFull, messageOf } from './kernel/errors.js';
import type { NewEvent } from './kernel/events.js';
import type { AlarmClock } from './kernel/time.js';
import { SECOND } from './kernel/time.js';
import type { Metrics } from './metrics/metrics.js';
import { OutboxedStore } from './store/outboxed.js';
import type { ReadModels } from './read-models.js';
import { openKurrentStore } from './store/kurrentdb/index.js';
import type { EventStore } from './store/port.js';
import type { SqliteEventStore } from './store/sqlite/index.js';
import { openSqliteStore } from './store/sqlite/index.js';
import { timedTasks } from './response/timed-work.js';

/*
 * Which adapter stands behind which port, as the configuration says. For whoever only reads, `read-store.ts` is what
 * this is to the server.
 */

interface Adapted {
  readonly config: Config;
  readonly clock: AlarmClock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/**
 * The store: a file, or a server, which nodes that take mail have behind an outbox.
 *
 * @throws StoreRefused
 */
export async function openStore({
  config,
  clock,
  log,
  metrics,
  onTaken,
}: Adapted & {
  /** Told what the outbox keeps while the server is away. */
  readonly onTaken: (stream: string, events: readonly NewEvent[]) => void;
}): Promise<{ store: EventStore; outbox: OutboxedStore | undefined }> {
  const openFile = (file: string): Promise<SqliteEventStore> =>
    whenThereIsRoom(() => openSqliteStore({ file, clock }), log);
  if (config.store.kind === 'sqlite') return { store: await openFile(config.store.file), outbox: undefined };
  const remote = await openKurrentStore({
    url: config.store.url,
    clock,
    report: (notice, error) => log.warn({ notice, error: messageOf(error) }, 'news of KurrentDB'),
  });
  if (!config.roles.includes('smtp')) return { store: remote, outbox: undefined };
  const { file, maxEvents, whenFull } = config.outbox;
  const local = await openFile(file);
  const onLost = (events: number): void => metrics.store.outboxLost.inc(events);
  const waiting = { maxEvents, whenFull, onLost, onTaken };
  const outbox = await OutboxedStore.open({ remote, local, clock, log, ...waiting });
  return { store: outbox, outbox };
}

/** A start on a full disk goes on by itself once there is room: nobody has to look after it. */
async function whenThereIsRoom<T>(open: () => Promise<T>, log: Logger): Promise<T> {
  for (let told = false; ; told = true) {
    try {
      return await open();
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      if (!told) log.error({ error: messageOf(error) }, 'the start waits for room on the disk');
      await setTimeout(2 * SECOND);
    }
  }
}

/** Timed work: timers of this process, or jobs in Redis where one is configured. */
export async function openTimedWork({
  config,
  clock,
  log,
  metrics,
  models,
  onFatal,
}: Adapted & {
  readonly models: ReadModels;
  /** Redis is there, but cannot be used. */
  readonly onFatal: (error: unknown) => void;
}): Promise<Timers | BullWork> {
  const common = {
    clock,
    onDone: (_task: unknown, lateness: number) => metrics.timedWork.done(lateness),
    onFailed(task: unknown, error: unknown) {
      metrics.timedWork.failed();
      log.error({ task, error: messageOf(error) }, 'an expiry failed; it is tried again');
    },
  };
  if (config.redis === undefined) return new Timers(common);
  return openBullWork({
    ...common,
    redis: config.redis.url,
    planned: () => timedTasks(models.ledger),
    caughtUp: () => models.ready,
    onNotice: (notice) => log.warn({ notice }, 'news of Redis'),
    onHealed: ({ added, moved, removed }) =>
      log.warn({ added, moved, removed }, 'timed work in Redis was healed by the ledger'),
    onRefused: onFatal,
  });
}
