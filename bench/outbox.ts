import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pino } from 'pino';
import { v7 } from 'uuid';
import type { NewEvent } from '../src/kernel/events.js';
import { openKurrentStore } from '../src/store/kurrentdb/index.js';
import { OutboxedStore } from '../src/store/outboxed.js';
import type { EventStore } from '../src/store/port.js';
import { StoreUnavailable } from '../src/store/port.js';
import { openSqliteStore } from '../src/store/sqlite/index.js';
import { systemClock } from '../src/runtime/clock.js';
import { StandIn } from '../test/support/kurrentdb/stand-in.js';
import { changed } from '../test/support/store/changed.js';
import { isMain, median, print } from './report.js';
import type { Report, Row } from './report.js';

const ROUNDS = 3;
const EVENTS = 20_000;
/** One event each: nothing is gained by delivering several at once. */
const STREAMS = EVENTS;
/** Appends under way, of those who append directly. */
const APPENDERS = 128;
const TARGET = 0.5;
const OPENED = 100_000;

/** What an outbox needs, with a store that is away while `away` says so. */
interface Scene {
  readonly remote: EventStore;
  readonly folder: string;
  away: boolean;
}

/**
 * How fast an outbox delivers what waited, beside the same events appended directly: to the KurrentDB that KURRENTDB_URL
 * names, or to the stand-in. Both write to one server in turns, since only their ratio means anything on a shared machine.
 */
export async function run(): Promise<Report> {
  const url = process.env['KURRENTDB_URL'] ?? '';
  const folder = await mkdtemp(path.join(tmpdir(), 'stopgap-bench-outbox-'));
  const standIn = url === '' ? await StandIn.start() : undefined;
  const store = await openKurrentStore({ url: standIn?.url ?? url, clock: systemClock });
  const scene: Scene = { away: false, folder, remote: store };
  try {
    await direct(store, EVENTS / 4);
    const rates = { direct: [] as number[], many: [] as number[], one: [] as number[] };
    for (let round = 0; round < ROUNDS; round++) {
      rates.direct.push(await direct(store, EVENTS));
      rates.many.push(await delivered(scene, EVENTS, STREAMS));
      rates.one.push(await delivered(scene, EVENTS, 1));
    }
    const ratio = median(rates.many.map((rate, round) => rate / rates.direct[round]!));
    const rows: Row[] = [
      { label: `direct, ${APPENDERS} at once, ${STREAMS} streams`, value: perSecond(median(rates.direct)) },
      { label: `delivered, ${STREAMS} streams`, value: perSecond(median(rates.many)) },
      {
        label: 'delivered / direct',
        value: ratio.toFixed(2),
        target: `>= ${TARGET}`,
        ok: ratio >= TARGET,
      },
      { label: 'delivered, one stream', value: perSecond(median(rates.one)) },
      ...(await opening(scene)),
    ];
    return { name: `outbox (${url === '' ? 'stand-in' : 'KURRENTDB_URL'})`, rows };
  } finally {
    await store.close();
    await standIn?.kill();
    await rm(folder, { recursive: true });
  }
}

let serial = 0;

function sent(): NewEvent {
  const account = `user${serial % STREAMS}@example.com`;
  const data = {
    direction: 'outbound',
    account,
    returnPath: account,
    ehlo: 'client.example.com',
    ip: '192.0.2.17',
    transaction: `${serial++}.1`,
    recipients: 1,
    size: 2048,
    recipientDomains: ['example.org'],
    entitled: true,
  };
  return { id: v7(), type: 'MessageAccepted', at: Date.now(), by: 'smtp:mx.example.com', data };
}

/** Events a second. */
async function direct(store: EventStore, events: number): Promise<number> {
  const began = performance.now();
  let begun = 0;
  const appender = async (): Promise<void> => {
    while (begun < events) await store.append(`send-direct-${begun++ % STREAMS}`, [sent()], 'any');
  };
  await Promise.all(Array.from({ length: APPENDERS }, appender));
  return (events / (performance.now() - began)) * 1000;
}

function openOutbox(scene: Scene, remote: EventStore): Promise<OutboxedStore> {
  const file = path.join(scene.folder, 'outbox.db');
  const log = pino({ level: 'silent' });
  const options = { remote, clock: systemClock, log, maxEvents: 10_000_000, whenFull: 'defer' } as const;
  return openSqliteStore({ file, clock: systemClock }).then((local) =>
    OutboxedStore.open({ ...options, local }),
  );
}

function faltering(scene: Scene): EventStore {
  return changed(scene.remote, {
    get healthy() {
      return !scene.away;
    },
    append: (...call) =>
      scene.away ? Promise.reject(new StoreUnavailable('away')) : scene.remote.append(...call),
    close: () => Promise.resolve(),
  });
}

/** Lets events wait; gives how many a second are delivered once the store is there. */
async function delivered(scene: Scene, events: number, streams: number): Promise<number> {
  scene.away = true;
  const outbox = await openOutbox(scene, faltering(scene));
  try {
    await fill(outbox, events, streams);
    scene.away = false;
    const began = performance.now();
    await emptied(outbox);
    return (events / (performance.now() - began)) * 1000;
  } finally {
    await outbox.close();
  }
}

async function fill(outbox: OutboxedStore, events: number, streams: number): Promise<void> {
  let begun = 0;
  const keeper = async (): Promise<void> => {
    while (begun < events) await outbox.append(`send-waits-${begun++ % streams}`, [sent()], 'any');
  };
  await Promise.all(Array.from({ length: 1024 }, keeper));
}

function emptied(outbox: OutboxedStore): Promise<void> {
  return new Promise((resolve) => {
    const look = setInterval(() => {
      if (outbox.waiting > 0) return;
      clearInterval(look);
      resolve();
    }, 5);
  });
}

/** How long a process waits for an outbox that an earlier one left full. */
async function opening(scene: Scene): Promise<Row[]> {
  scene.away = true;
  const before = await openOutbox(scene, faltering(scene));
  await fill(before, OPENED, OPENED / 10);
  await before.close();
  const began = performance.now();
  const outbox = await openOutbox(scene, faltering(scene));
  const took = performance.now() - began;
  await outbox.close();
  return [{ label: `opened with ${OPENED} events waiting`, value: `${Math.round(took)} ms` }];
}

const perSecond = (rate: number): string => `${Math.round(rate).toLocaleString('en')}/s`;

if (isMain(import.meta.url)) print(await run());
