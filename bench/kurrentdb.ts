import {
  jsonEvent,
  KurrentDBClient,
  START,
  streamNameFilter,
  type AllStreamResolvedEvent,
} from '@kurrent/kurrentdb-client';
import { v7 } from 'uuid';
import { openKurrentStore } from '../src/store/kurrentdb/index.js';
import type { EventStore } from '../src/store/port.js';
import { SERVING } from '../test/support/kurrentdb/forms.js';
import { KurrentDB } from '../test/support/kurrentdb/kurrentdb.js';
import { isMain, median, print } from './report.js';
import type { Report, Row } from './report.js';

/**
 * The store in KurrentDB beside the bare client, each in turn in one process, on the server that
 * STOPGAP_TEST_KURRENTDB starts, else on the stand-in: what the adapter costs.
 */
const ROUNDS = 7;
const STREAMS = 2_000;
const APPENDS = [
  { atOnce: 1, appends: 400 },
  { atOnce: 64, appends: 4_000, aim: 0.9 },
  { atOnce: 1024, appends: 8_000, aim: 0.9 },
] as const;
const READ = 40_000;
const READ_AIM = 0.8;

/** Events that both sides read: those of applications. */
const OURS = { regex: '^[^$]' };

/** Both sides of one comparison; each resolves when it is done with the same work. */
interface Pair {
  readonly label: string;
  readonly events: number;
  readonly aim?: number;
  readonly store: () => Promise<void>;
  readonly bare: () => Promise<void>;
}

export async function run(): Promise<Report> {
  const server = await KurrentDB.start();
  const store = await openKurrentStore({
    url: server.url,
    clock: { now: Date.now },
    appendTimeout: 60_000,
  });
  const client = KurrentDBClient.connectionString(server.url);
  try {
    const rows: Row[] = [];
    const appends = APPENDS.map((load) => appending(store, client, load));
    for (const pair of [...appends, readingAll(store, client), subscribing(store, client)])
      rows.push(...(await compare(pair)));
    return { name: `KurrentDB (${SERVING}): the store beside the bare client, median of ${ROUNDS}`, rows };
  } finally {
    await store.close();
    await client.dispose();
    await server.stop();
  }
}

async function compare({ label, events, aim, store, bare }: Pair): Promise<Row[]> {
  const rates: Record<'store' | 'bare', number[]> = { store: [], bare: [] };
  const sides = [['store', store] as const, ['bare', bare] as const];
  for (const [, work] of sides) await work(); // warm
  for (let round = 0; round < ROUNDS; round++) {
    for (const [side, work] of sides) {
      const began = performance.now();
      await work();
      rates[side].push((events / (performance.now() - began)) * 1000);
    }
    // What the first leaves for the second falls on both alike.
    sides.reverse();
  }
  const ratio = median(rates.store.map((rate, round) => rate / rates.bare[round]!));
  const perSecond = (side: 'store' | 'bare'): string =>
    `${Math.round(median(rates[side])).toLocaleString('en')}/s`;
  return [
    { label: `${label}: store`, value: perSecond('store') },
    { label: `${label}: bare client`, value: perSecond('bare') },
    {
      label: `${label}: ratio`,
      value: ratio.toFixed(2),
      ...(aim === undefined ? {} : { target: `>= ${aim}`, ok: ratio >= aim }),
    },
  ];
}

/** Closed loop: each appender goes on when its append was answered. */
function appending(
  store: EventStore,
  client: KurrentDBClient,
  { atOnce, appends, aim }: { atOnce: number; appends: number; aim?: number },
): Pair {
  const loop = async (append: (n: number) => Promise<unknown>): Promise<void> => {
    let begun = 0;
    const appender = async (): Promise<void> => {
      while (begun < appends) await append(begun++);
    };
    await Promise.all(Array.from({ length: atOnce }, appender));
  };
  const stream = (side: string, n: number): string => `${side}-user${(n * 7919) % STREAMS}@example.com`;
  const by = 'smtp:mx.example.com';
  return {
    label: `append, ${atOnce.toLocaleString('en')} at once`,
    events: appends,
    ...(aim === undefined ? {} : { aim }),
    store: () =>
      loop((n) => {
        const event = { id: v7(), type: 'MessageAccepted', at: Date.now(), by, data: payload(n) };
        return store.append(stream('store', n), [event], 'any');
      }),
    bare: () =>
      loop((n) => {
        const metadata = { at: Date.now(), by };
        const event = jsonEvent({ id: v7(), type: 'MessageAccepted', data: payload(n), metadata });
        return client.appendToStream(stream('bare', n), event, { streamState: 'any', requiresLeader: true });
      }),
  };
}

function readingAll(store: EventStore, client: KurrentDBClient): Pair {
  return {
    label: 'readAll',
    events: READ,
    aim: READ_AIM,
    store: () => drained(store.readAll({ limit: READ })),
    bare: () =>
      drained(
        client.readAll({
          fromPosition: START,
          maxCount: READ,
          filter: streamNameFilter(OURS),
          requiresLeader: true,
        }),
      ),
  };
}

async function drained(events: AsyncIterable<unknown>): Promise<void> {
  let count = 0;
  for await (const _event of events) count++;
  if (count !== READ) throw new Error(`read ${count} events instead of ${READ}`);
}

function subscribing(store: EventStore, client: KurrentDBClient): Pair {
  return {
    label: 'subscription',
    events: READ,
    async store() {
      let left = READ;
      const subscription = store.subscribe({ after: 0 }, () => {
        if (--left === 0) void subscription.stop();
      });
      await subscription.ended;
    },
    async bare() {
      let left = READ;
      const subscription = client.subscribeToAll({
        fromPosition: START,
        filter: streamNameFilter({ ...OURS, maxSearchWindow: 256 }),
      });
      await new Promise<void>((resolve, reject) => {
        subscription.on('error', reject).on('data', (_event: AllStreamResolvedEvent) => {
          if (--left === 0) resolve();
        });
      });
      await subscription.unsubscribe();
    },
  };
}

/** About 300 bytes as JSON, shaped like a recorded send. */
function payload(n: number): Record<string, unknown> {
  const account = `user${n % STREAMS}@example.com`;
  return {
    account,
    returnPath: account,
    recipients: 1,
    recipientDomains: ['example.org'],
    bytes: 1024 + (n % 4096),
    ip: '192.0.2.17',
    ehlo: 'client.example.com',
    tls: true,
    note: 'x'.repeat(100),
  };
}

if (isMain(import.meta.url)) print(await run());
