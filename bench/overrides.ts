import { fileURLToPath } from 'node:url';
import { Overrides } from '../projections/volume/overrides.js';
import type { OverrideEvent } from '../src/overrides/events.js';
import type { OverrideSubject, Terms } from '../src/overrides/model.js';
import { inOwnProcess, memory } from './child.js';
import { isMain, median, print } from './report.js';
import type { Report } from './report.js';

const NOW = Date.UTC(2026, 0, 1);
const OVERRIDES = 100_000;
const SENDERS = 2_000;
const ROUNDS = 30;
const RULES = ['minute', 'hour', 'day', 'addresses', 'list-quality', 'backscatter'];
const PLANS: readonly Terms[] = [
  { limits: { hour: 200, day: 2000 }, plan: 'pro' },
  { factor: 2, plan: 'double' },
  { limits: { day: 'off' }, factor: 5, plan: 'newsletter' },
];

/** As the store hands it over: parsed from JSON. */
function set(subject: OverrideSubject, terms: Terms, position: number): OverrideEvent {
  const data = { subject, origin: 'api', until: null, ...terms, reason: `order ${position}` };
  const event = { type: 'OverrideSet', data, at: NOW + position, by: 'admin:panel', position };
  return JSON.parse(JSON.stringify(event)) as OverrideEvent;
}

const account = (n: number): string => `user${n}@customer${n % 1000}.example.com`;

function filled(): Overrides {
  const overrides = new Overrides();
  for (let n = 0; n < OVERRIDES; n++) {
    overrides.apply(set({ type: 'account', value: account(n) }, PLANS[n % PLANS.length]!, n + 1));
  }
  return overrides;
}

/** Nanoseconds of each of several things, in turns, so that none has the better moments of the machine. */
function timed<Name extends string>(
  things: Readonly<Record<Name, () => unknown>>,
  each: number,
): Readonly<Record<Name, number>> {
  const names = Object.keys(things) as Name[];
  const took = new Map<Name, number[]>(names.map((name) => [name, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const name of names) {
      const start = process.hrtime.bigint();
      things[name]();
      took.get(name)!.push(Number(process.hrtime.bigint() - start) / each);
    }
  }
  return Object.fromEntries(names.map((name) => [name, median(took.get(name)!.slice(ROUNDS / 3))])) as Record<
    Name,
    number
  >;
}

export async function run(): Promise<Report> {
  const { bytes } = await inOwnProcess<{ bytes: number }>(fileURLToPath(import.meta.url), ['memory']);
  const [some, none] = [filled(), new Overrides()];
  const names = new Map(Array.from({ length: OVERRIDES }, (_, n) => [account(n), n]));
  const known = Array.from({ length: SENDERS }, (_, n) => account((n * 7919) % OVERRIDES));
  const strangers = Array.from({ length: SENDERS }, (_, n) => `person${n}@elsewhere${n % 1000}.example.org`);
  const ask = (overrides: Overrides, senders: readonly string[], rules: readonly string[]): number => {
    let sum = 0;
    for (const sender of senders)
      for (const rule of rules) sum += overrides.limit(rule, 'account', sender, 100, NOW) ?? 0;
    return sum;
  };
  const took = timed(
    {
      map: () => known.reduce((sum, name) => sum + names.get(name)!, 0),
      empty: () => ask(none, known, RULES),
      strangers: () => ask(some, strangers, RULES),
      known: () => ask(some, known, RULES),
    },
    SENDERS,
  );
  const row = (label: string, name: keyof typeof took, most: number) => {
    const ratio = took[name] / took.map;
    const value = `${Math.round(took[name])} ns, ${ratio.toFixed(1)} look-ups`;
    return { label, value, target: `at most ${most}`, ok: ratio <= most };
  };
  return {
    name: `Overrides: ${OVERRIDES.toLocaleString('en')} accounts; the limits of ${RULES.length} rules for one message`,
    rows: [
      { label: 'one look-up of the account in a map', value: `${Math.round(took.map)} ns` },
      row('nobody has an override', 'empty', 2),
      row('the sender has none', 'strangers', 4),
      row('the sender has one', 'known', 8),
      { label: 'memory of an override', value: `${bytes} bytes`, target: 'at most 260', ok: bytes <= 260 },
    ],
  };
}

if (process.argv[2] === 'memory') {
  const before = memory().used;
  const overrides = filled();
  const bytes = Math.round((memory().used - before) / overrides.size);
  process.stdout.write(JSON.stringify({ bytes }));
} else if (isMain(import.meta.url)) print(await run());
