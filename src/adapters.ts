import path from 'node:path';
import { statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Config } from './config/schema.js';
import { seesSends } from './config/schema.js';
import type { ReadModels } from './detector/read-models.js';
import { timedTasks } from './detector/scheduled-jobs.js';
import type { BullWork } from './expiry/bullmq/work.js';
import { Timers } from './expiry/timers.js';
import { isDiskFull, messageOf } from './kernel/errors.js';
import type { AlarmClock } from './kernel/time.js';
import { SECOND, formatInstant } from './kernel/time.js';
import type { Metrics } from './metrics/metrics.js';
import { newestIn } from './snapshots/snapshot-file.js';
import { OutboxedStore } from './store/outboxed.js';
import type { EventStore } from './store/port.js';
import { StoreRefused } from './store/port.js';
import type { SqliteEventStore } from './store/sqlite/index.js';
import { openSqliteStore } from './store/sqlite/index.js';

/*
 * Chooses the adapter of each port from the configuration. Programs that only read use `store/open-for-reading.ts`
 * instead. The clients of KurrentDB and Redis are loaded where they are used: they take some 50 MB.
 */

interface Adapted {
  readonly config: Config;
  readonly clock: AlarmClock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/**
 * The store: a file, or a server, with an outbox before it on nodes that take mail.
 *
 * @throws StoreRefused
 */
export async function openStore({
  config,
  clock,
  log,
  metrics,
  isNew = false,
}: Adapted & {
  /** A store in a file may be empty although snapshots show that there was one. */
  readonly isNew?: boolean | undefined;
}): Promise<{ store: EventStore; outbox: OutboxedStore | undefined }> {
  const openFile = (file: string): Promise<SqliteEventStore> =>
    whenThereIsRoom(() => openSqliteStore({ file, clock }), log);
  if (config.store.kind === 'sqlite') {
    const { file } = config.store;
    const snapshots = path.join(config.data, 'snapshots');
    // Nothing may be put in the place of a file that somebody still has to bring back.
    const isThere = (statSync(file, { throwIfNoEntry: false })?.size ?? 0) > 0;
    if (!isThere && !isNew) await refuseLost(file, snapshots);
    const store = await openFile(file);
    if ((await store.head()) > 0) return { store, outbox: undefined };
    try {
      if (isNew) await rm(snapshots, { recursive: true, force: true });
      else await refuseLost(file, snapshots);
    } catch (error) {
      await store.close();
      throw error;
    }
    return { store, outbox: undefined };
  }
  const { openKurrentStore } = await import('./store/kurrentdb/index.js');
  const remote = await openKurrentStore({
    url: config.store.url,
    clock,
    report: (notice, error) => log.warn({ notice, error: messageOf(error) }, 'news of KurrentDB'),
  });
  if (!seesSends(config)) return { store: remote, outbox: undefined };
  const { file, maxEvents, whenFull } = config.outbox;
  const local = await openFile(file);
  const onLost = (events: number): void => metrics.store.outboxLost.inc(events);
  const waiting = { maxEvents, whenFull, onLost };
  const outbox = await OutboxedStore.open({ remote, local, clock, log, ...waiting });
  return { store: outbox, outbox };
}

/**
 * Without its events all that was decided would be forgotten without a word. @throws StoreRefused if a snapshot shows
 * that there were any
 */
async function refuseLost(file: string, snapshots: string): Promise<void> {
  const proof = await newestIn(snapshots);
  if (proof === undefined) return;
  const state = statSync(file, { throwIfNoEntry: false }) === undefined ? 'is missing' : 'holds no event';
  throw new StoreRefused(
    `${file} ${state}, but ${proof.file} of ${formatInstant(proof.madeAt)} was made from the events of one: ` +
      'see that the disk is mounted, put the file back, or restore it from a backup; ' +
      'to forget all blocks and counts and begin anew, start once with --new-store',
  );
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

/** Timed work: timers of this process, or jobs in Redis if one is configured. */
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
  const { openBullWork } = await import('./expiry/bullmq/work.js');
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
