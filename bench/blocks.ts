import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { v7 } from 'uuid';
import { BlockLedger } from '../projections/blocks/block-ledger.js';
import { blockListQuery, listBlocks } from '../src/api/block-list.js';
import type { BlockEvent } from '../src/blocks/events.js';
import { blockStream } from '../src/blocks/events.js';
import type { NewEvent } from '../src/kernel/events.js';
import { DAY, HOUR, SECOND } from '../src/kernel/time.js';
import { DECISIONS_ONLY } from '../src/detector/projector.js';
import { ReadModels } from '../src/detector/read-models.js';
import { openSqliteStore } from '../src/store/sqlite/index.js';
import { inOwnProcess, memory } from './child.js';
import { isMain, print } from './report.js';
import type { Report, Row } from './report.js';

const BLOCKS = 1_000_000;
/** One in so many has not ended. */
const STANDING = 100;
const FEW = 10_000;
const RULES = ['burst', 'minute', 'hour', 'day', 'start', 'spread', 'bounces', 'guessing'];
const ROUNDS = 40;
const FIRST = Date.UTC(2026, 0, 1);
const MOST = 20;
const HELD = 50;

/** Each filter alone, those that find nothing, and some together. */
const QUERIES: readonly (readonly [name: string, query: string])[] = [
  ['no filter', ''],
  ['oldest first', 'sort=oldest'],
  ['state=active', 'state=active'],
  ['state=released', 'state=released'],
  ['state=lapsed (none)', 'state=lapsed'],
  ['type=ip', 'type=ip'],
  ['type=ehlo (none)', 'type=ehlo'],
  ['value', 'value=user4711%40customer47.example.com'],
  ['q, many', 'q=customer99'],
  ['q, few', 'q=user765432%40'],
  ['q, none', 'q=nowhere'],
  ['q in descriptions', 'q=too%20many'],
  ['id, none', 'id=ffff'],
  ['rule', 'rule=spread'],
  ['rule, none', 'rule=unknown'],
  ['origin=admin', 'origin=admin'],
  ['direction=inbound (none)', 'direction=inbound'],
  ['since', `since=${new Date(FIRST + 200 * DAY).toISOString()}`],
  ['until', `until=${new Date(FIRST + DAY).toISOString()}`],
  ['at', `at=${new Date(FIRST + DAY).toISOString()}`],
  ['at, lately', `at=${new Date(FIRST + 231 * DAY).toISOString()}`],
  ['sort=since', 'sort=since'],
  ['sort=until', 'sort=until'],
  ['sort=refused', 'sort=refused'],
  ['sort=subject', 'sort=subject'],
  ['total', 'total=true'],
  ['all together', 'state=active&type=account&rule=hour&origin=rule&direction=outbound&q=customer7'],
];

function imposed(n: number): NewEvent {
  const type = n % 10 === 0 ? 'ip' : 'account';
  const value =
    type === 'ip'
      ? `198.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`
      : `user${n}@customer${n % 100}.example.com`;
  const rule = n % 20 === 0 ? undefined : RULES[n % RULES.length]!;
  const evidence = {
    rule,
    version: 1,
    count: 'recipients',
    window: 10 * SECOND,
    limit: 100,
    observed: 101,
    firstPosition: n,
    lastPosition: n + 1,
    lastAt: FIRST,
    sentence: `${type} ${value}: 101 recipients within 10s; rule "${rule}" allows 100.`,
  };
  const terms = { subject: { type, value }, direction: 'outbound', refusal: 'soft', renewWhileTrying: false };
  const asked =
    rule === undefined
      ? { origin: 'admin', description: `order ${n % 1000}` }
      : { origin: 'rule', rule, evidence, description: `${rule}: too many recipients` };
  const at = FIRST + n * 20 * SECOND;
  const data = { block: v7(), ...terms, ...asked, until: n % STANDING === 0 ? null : at + HOUR };
  return {
    id: v7(),
    type: 'BlockImposed',
    data,
    at,
    by: rule === undefined ? 'admin:bench' : `rule:${rule}@1`,
  };
}

function released(begin: NewEvent): NewEvent {
  const { block } = begin.data as { readonly block: string };
  const data = { block, falsePositive: false, note: 'the customer has changed the password' };
  return { id: v7(), type: 'BlockReleased', data, at: begin.at + HOUR / 2, by: 'admin:bench' };
}

const eventsOf = (n: number): readonly NewEvent[] => {
  const begin = imposed(n);
  return n % STANDING === 0 ? [begin] : [begin, released(begin)];
};

interface Measured {
  /** Milliseconds. */
  readonly pages: readonly { readonly name: string; readonly p50: number; readonly p95: number }[];
  /** The longest that the event loop was held, in milliseconds. */
  readonly held: number;
}

/** Fills a store, follows it, and lists. */
async function measured(directory: string, blocks: number): Promise<Measured> {
  const now = FIRST + 400 * DAY;
  const store = await openSqliteStore({
    file: path.join(directory, 'events.db'),
    clock: { now: () => now },
  });
  for (let first = 0; first < blocks; first += 1000) {
    const some = Array.from({ length: 1000 }, (_, n) => eventsOf(first + n));
    await Promise.all(
      some.map((events) => {
        const { subject } = events[0]!.data as { readonly subject: { type: 'account'; value: string } };
        return store.append(blockStream(subject), events, 'none');
      }),
    );
  }
  const models = new ReadModels({
    onVerdict: () => undefined,
    onBlockEvent: () => undefined,
    onRulesChanged: () => undefined,
    onSkipped: ({ position }, reason) => {
      throw new Error(`${position}: ${reason}`);
    },
  });
  const { ended } = await models.follow(store, DECISIONS_ONLY);
  if (models.ledger.size !== blocks) throw new Error(`${models.ledger.size} blocks, not ${blocks}`);
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const pages = [];
  for (const [name, text] of QUERIES) {
    const query = blockListQuery.parse(Object.fromEntries(new URLSearchParams(text)));
    const took: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const begun = performance.now();
      const { items } = await listBlocks({ models, store }, query, now, undefined, () => undefined);
      JSON.stringify(items);
      took.push(performance.now() - begun);
      await new Promise((resolve) => setImmediate(resolve));
    }
    took.sort((a, b) => a - b);
    pages.push({ name, p50: took[ROUNDS >> 1]!, p95: took[Math.floor(ROUNDS * 0.95)]! });
  }
  delay.disable();
  await models.stop();
  await ended;
  await store.close();
  return { pages, held: delay.max / 1e6 };
}

/** Bytes that a block which has ended takes in the ledger. @param kept how many whole ones it keeps */
function bytesOfEnded(kept: number): number {
  const blocks = 100_000;
  const ledger = new BlockLedger(kept);
  const before = memory().used;
  let position = 0;
  for (let n = 0; n < blocks; n++) {
    const begin = imposed(n);
    // As the store hands them over: parsed from JSON.
    for (const event of [begin, released(begin)]) {
      const text = JSON.stringify({ ...event, position: ++position, revision: 0 });
      ledger.apply(JSON.parse(text) as BlockEvent);
    }
  }
  const after = memory().used;
  if (ledger.size !== blocks) throw new Error('the ledger is not what it should be');
  return (after - before) / blocks;
}

export async function run(): Promise<Report> {
  const script = fileURLToPath(import.meta.url);
  const list = async (blocks: number): Promise<Measured> => {
    const directory = await mkdtemp(path.join(tmpdir(), 'stopgap-bench-'));
    try {
      return await inOwnProcess<Measured>(script, ['list', directory, String(blocks)]);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  };
  const [many, few] = [await list(BLOCKS), await list(FEW)];
  const row = await inOwnProcess<number>(script, ['memory', '0']);
  const whole = await inOwnProcess<number>(script, ['memory', 'all']);
  const rows = many.pages.map(({ name, p50, p95 }, index): Row => {
    const other = few.pages[index]!;
    return {
      label: `a page, ${name}`,
      value: `p50 ${p50.toFixed(1)} ms, p95 ${p95.toFixed(1)} ms; of ${FEW.toLocaleString('en')} blocks ${other.p50.toFixed(1)} and ${other.p95.toFixed(1)} ms`,
      target: `p95 at most ${MOST} ms`,
      ok: p95 <= MOST,
    };
  });
  return {
    name: `Lists of ${BLOCKS.toLocaleString('en')} blocks, all but one in ${STANDING} ended (SQLite)`,
    rows: [
      ...rows,
      {
        label: 'the event loop is held',
        value: `${many.held.toFixed(1)} ms at most`,
        target: `at most ${HELD} ms`,
        ok: many.held <= HELD,
      },
      {
        label: 'memory of a block that has ended',
        value: `${Math.round(row)} bytes, a whole one ${Math.round(whole)}: ${(row / whole).toFixed(2)} of it`,
      },
    ],
  };
}

if (process.argv[2] === 'list' && isMain(import.meta.url)) {
  process.stdout.write(JSON.stringify(await measured(process.argv[3]!, Number(process.argv[4]))));
} else if (process.argv[2] === 'memory' && isMain(import.meta.url)) {
  process.stdout.write(JSON.stringify(bytesOfEnded(process.argv[3] === 'all' ? Infinity : 0)));
} else if (isMain(import.meta.url)) print(await run());
