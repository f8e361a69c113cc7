import { fileURLToPath } from 'node:url';
import { ActiveBlocks } from '../projections/blocks/active-blocks.js';
import { matches } from '../src/sending/identity.js';
import type { BlockEvent } from '../src/blocks/events.js';
import { DIRECTIONS, directionsMeet, parseSubject, senderIdentity } from '../src/sending/subjects.js';
import type { SenderIdentity, Subject, SubjectType } from '../src/sending/subjects.js';
import { inOwnProcess, memory } from './child.js';
import { isMain, median, print } from './report.js';
import type { Report } from './report.js';

const NOW = Date.UTC(2026, 0, 1);
const KINDS = 10;

/** The subject of the n-th block: of ten, three accounts, two addresses, and one each of the other kinds. */
function subject(n: number): Subject {
  const user = `user${n}@customer${n % 50_000}.example.com`;
  const ip = `${11 + (n >> 24)}.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`;
  const raw: readonly (readonly [SubjectType, string])[] = [
    ['account', user],
    ['account', user],
    ['account', user],
    ['address', user],
    ['address', user],
    ['address', n % 100 < 50 ? `*@wild${n}.example.net` : `bulk-${n % 7}-*@lists${n}.example.net`],
    ['domain', `shop${n}.example.org`],
    ['ehlo', n % 1000 < 10 ? `*.pool${n}.example.net` : `host${n}.example.net`],
    ['ip', ip],
    [
      'ip',
      n % 100 < 50
        ? `${ip}/${24 + (n % 7)}`
        : `2001:db8:${(n >> 16).toString(16)}:${(n & 65535).toString(16)}::/64`,
    ],
  ];
  const [type, value] = raw[n % KINDS]!;
  return parseSubject(type, value);
}

/** As the store hands it over: parsed from JSON. */
function imposed(n: number): BlockEvent {
  const id = `0198${(n >>> 16).toString(16).padStart(4, '0')}-${(n & 65535).toString(16).padStart(4, '0')}-7000-8000-${n.toString(16).padStart(12, '0')}`;
  const data = {
    block: id,
    subject: subject(n),
    direction: DIRECTIONS[n % 3],
    description: 'Too many recipients',
    refusal: 'soft',
    until: NOW + 3_600_000 + n * 7,
    origin: 'rule',
    rule: 'burst',
    renewWhileTrying: false,
  };
  const envelope = { id: `e-${id}`, type: 'BlockImposed', at: NOW, by: 'rule:burst@1', position: n + 1 };
  return JSON.parse(JSON.stringify({ ...envelope, data })) as BlockEvent;
}

/** Senders as a server sees them: one in a hundred is blocked, most use their own address, a few come by IPv6. */
function senders(blocks: number): readonly SenderIdentity[] {
  return Array.from({ length: 5_000 }, (_, index) => {
    const n = index % 100 === 0 ? (index * 37) % blocks : 20_000_000 + index * 7919;
    const account = `user${n}@customer${n % 50_000}.example.com`;
    return senderIdentity({
      account,
      returnPath: index % 4 === 0 ? `bulk-3-${n}@lists${n}.example.net` : account,
      ehlo: `host${n}.example.net`,
      ip:
        index % 5 === 0 ? `2001:db8:ffff:${(n & 65535).toString(16)}::17` : `203.${n & 127}.${index & 255}.9`,
      direction: index % 3 === 0 ? 'inbound' : 'outbound',
    });
  });
}

interface Measured {
  /** Nanoseconds a verdict: the median over rounds of 5,000. */
  readonly verdict: number;
  /** Nanoseconds a bare Map.get of the same accounts in a map as large. */
  readonly mapGet: number;
  readonly bytes: number;
  readonly refused: number;
}

function measure(blocks: number): Measured {
  const asked = senders(blocks);
  const before = memory();
  const active = new ActiveBlocks();
  for (let n = 0; n < blocks; n++) active.apply(imposed(n));
  const bytes = (memory().used - before.used) / blocks;
  if (active.size < blocks * 0.99) throw new Error(`only ${active.size} blocks stand`);
  let refused = 0;
  const ask = (): number => {
    let found = 0;
    for (const sender of asked) if (active.find(sender, NOW) !== undefined) found++;
    return (refused = found);
  };
  const verdict = rounds(ask, asked.length);
  const map = new Map<string, number>();
  for (let n = 0; n < blocks; n++) map.set(`user${n}@customer${n % 50_000}.example.com`, n);
  const get = (): number => {
    let found = 0;
    for (const { account } of asked) if (map.get(account!) !== undefined) found++;
    return found;
  };
  return { verdict, mapGet: rounds(get, asked.length), bytes, refused };
}

function rounds(once: () => number, size: number): number {
  for (let warm = 0; warm < 10; warm++) once();
  const times: number[] = [];
  for (let round = 0; round < 60; round++) {
    const start = process.hrtime.bigint();
    once();
    times.push(Number(process.hrtime.bigint() - start) / size);
  }
  return median(times);
}

/** The yardstick: each of 1,000 blocks looked at in turn. */
function scan(): number {
  const blocks = Array.from({ length: 1_000 }, (_, n) => imposed(n)).map(({ data }) => data) as readonly {
    subject: Subject;
    direction: (typeof DIRECTIONS)[number];
    until: number;
  }[];
  const covers = ({ type, value }: Subject, { account, address, ehlo, ip }: SenderIdentity): boolean => {
    switch (type) {
      case 'account':
        return account === value;
      case 'address':
        return address !== undefined && (value.includes('*') ? matches(value, address) : value === address);
      case 'domain':
        return [account, address].some((each) => each?.endsWith(`@${value}`) || each?.endsWith(`.${value}`));
      case 'ehlo':
        return ehlo !== undefined && (value.includes('*') ? matches(value, ehlo) : value === ehlo);
      case 'ip':
        return value === ip;
    }
  };
  const asked = senders(1_000).slice(0, 200);
  const once = (): number =>
    asked.filter((sender) =>
      blocks.some(
        (block) =>
          block.until > NOW &&
          directionsMeet(block.direction, sender.direction) &&
          covers(block.subject, sender),
      ),
    ).length;
  return rounds(once, asked.length);
}

export async function run(): Promise<Report> {
  const script = fileURLToPath(import.meta.url);
  const inChild = (blocks: number) => inOwnProcess<Measured>(script, ['measure', String(blocks)]);
  const linear = await inOwnProcess<number>(script, ['scan']);
  const small = await inChild(10_000);
  const large = await inChild(1_000_000);
  const micro = (nanoseconds: number) => `${(nanoseconds / 1000).toFixed(2)} µs`;
  return {
    name: 'A verdict: is this sender refused? Blocks of all kinds, one sender in a hundred blocked',
    rows: [
      { label: 'naive scan over 1,000 blocks (yardstick)', value: micro(linear) },
      {
        label: '10,000 blocks',
        value: micro(small.verdict),
        target: 'at most 2 µs',
        ok: small.verdict <= 2000,
      },
      { label: '  the naive scan takes', value: `${(linear / small.verdict).toFixed(0)} times as long` },
      { label: '  a bare Map.get takes', value: micro(small.mapGet) },
      {
        label: '1,000,000 blocks',
        value: micro(large.verdict),
        target: 'at most 5 µs',
        ok: large.verdict <= 5000,
      },
      { label: '  a bare Map.get takes', value: micro(large.mapGet) },
      {
        label: 'heap a block, of 1,000,000',
        value: `${Math.round(large.bytes)} bytes`,
        target: 'at most 300',
        ok: large.bytes <= 300,
      },
      { label: 'heap a block, of 10,000', value: `${Math.round(small.bytes)} bytes` },
    ],
  };
}

if (isMain(import.meta.url)) {
  const [mode, blocks] = process.argv.slice(2);
  if (mode === 'measure') process.stdout.write(JSON.stringify(measure(Number(blocks))));
  else if (mode === 'scan') process.stdout.write(JSON.stringify(scan()));
  else print(await run());
}
