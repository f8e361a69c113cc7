import { fileURLToPath } from 'node:url';
import { SendVolume } from '../projections/volume/send-volume.js';
import { DAY } from '../src/kernel/time.js';
import { DEFAULT_RULES } from '../src/rules/defaults.js';
import type { SenderDaySummarised } from '../src/sending/day-summary.js';
import type { RecordedEvent } from '../src/kernel/events.js';
import { parseRules } from '../src/rules/parse.js';
import type { MessageAccepted } from '../src/sending/events.js';
import { inOwnProcess, memory } from './child.js';
import type { Memory } from './child.js';
import { isMain, median, print } from './report.js';
import type { Report } from './report.js';

export const RULES = `version: 1
rules:
  - { id: burst,   per: account, count: recipients, window: 10m, limit: 100,  then: block,   for: 1h }
  - { id: day,     per: account, count: recipients, window: 24h, limit: 1000, then: propose, for: 24h }
  - { id: quality, per: account, count: refusedRecipients, window: 1h, limit: 50, then: block, for: 4h }
  - { id: path,    per: address, count: messages,   window: 1h,  limit: 500,  then: propose, for: 4h }
  - { id: domain,  per: domain,  count: recipients, window: 1h,  limit: 20000, then: propose, for: 4h }
  - { id: network, per: ip,      count: messages,   window: 10m, limit: 1000, then: observe }
`;
export const START = Date.UTC(2026, 0, 1);
const PER_DOMAIN = 100;

/** A send as the store hands it over: parsed from JSON, every string its own. */
export function send(sender: number, position: number, at: number): RecordedEvent {
  const address = `user${sender}@customer${Math.floor(sender / PER_DOMAIN)}.example.com`;
  const ip = `198.${(sender >> 16) & 255}.${(sender >> 8) & 255}.${sender & 255}`;
  const data = {
    account: address,
    returnPath: address,
    ehlo: `pc${sender % 5000}.example.net`,
    ip,
    direction: 'outbound',
    transaction: `t${position}`,
    recipients: 1 + (position % 3),
    size: 20_000,
    recipientDomains: ['example.org'],
    entitled: true,
  };
  const event = { id: `e${position}`, type: 'MessageAccepted', at, recordedAt: at, by: 'smtp:bench', data };
  return JSON.parse(
    JSON.stringify({ ...event, stream: `send-${address}`, revision: 0, position }),
  ) as RecordedEvent;
}

/** The rules that a run is told to use. */
const RULE_SETS = { six: RULES, defaults: DEFAULT_RULES } as const;
type RuleSetName = keyof typeof RULE_SETS;

export function detector(source: string = RULES): SendVolume {
  const volume = new SendVolume();
  const data = { version: 1, rules: parseRules(source), source, origin: 'file' };
  volume.apply({
    id: 'rules',
    type: 'RulesChanged',
    at: START,
    recordedAt: START,
    by: 'system:rules',
    data,
    stream: 'rules',
    revision: 0,
    position: 1,
  });
  return volume;
}

/** The summary of a working day of a sender, as the store hands it over. */
function summary(sender: number, day: number, position: number, peaks: readonly string[]): RecordedEvent {
  const { account, ehlo, ip } = send(sender, position, START).data as MessageAccepted;
  const data: SenderDaySummarised = {
    subject: { type: 'account', value: account! },
    day,
    messages: 20,
    recipients: 31,
    refusedRecipients: 1,
    bounces: 0,
    largest: 6,
    peaks: Object.fromEntries(peaks.map((name, index) => [name, 1 + ((day + index) % 20)])),
    networks: [ip!],
    ehlos: [ehlo!],
    hours: 0x3ff00,
    contained: [],
  };
  const at = (day + 1) * DAY;
  const event = { type: 'SenderDaySummarised', at, recordedAt: at, by: 'system:profiles', data };
  return JSON.parse(
    JSON.stringify({ ...event, id: `s${position}`, stream: `profile-${account}`, revision: 0, position }),
  ) as RecordedEvent;
}

/** A sender's place in a round: each round is the same shuffle (the step is coprime to every size used). */
const shuffled = (index: number, senders: number): number => (index * 7919) % senders;

interface Speed {
  /** Sends a second, the median over slices. */
  readonly rate: number;
  /** The same for nothing but four look-ups in maps: account, return path, domain, network. */
  readonly lookups: number;
  readonly verdicts: number;
}

/** Folds `sends` sends of `senders` senders, after each has sent once; only the folding is timed. */
function measure(senders: number, sends: number, rules: RuleSetName): Speed {
  const volume = detector(RULE_SETS[rules]);
  // Few events at a time: a store hands them over one by one, and what lies about makes work for the collector.
  const slice = 1_000;
  const maps = [new Map<string, number>(), new Map<string, number>(), new Map<string, number>()] as const;
  const domains = new Map<string, number>();
  let position = 2;
  let verdicts = 0;
  const batch = (): RecordedEvent[] =>
    Array.from({ length: slice }, () => {
      position++;
      // A sender sends once in 100 seconds, however many there are.
      return send(shuffled(position, senders), position, START + Math.floor((position * 100_000) / senders));
    });
  const rateOf = (work: () => void): number => {
    const start = process.hrtime.bigint();
    work();
    return slice / (Number(process.hrtime.bigint() - start) / 1e9);
  };
  const rates: number[] = [];
  const lookups: number[] = [];
  for (let done = 0; done < senders + sends; done += slice) {
    // Either gets events of its own: a string that was looked up once knows its hash.
    const folded = batch();
    const rate = rateOf(() => {
      for (const event of folded) verdicts += volume.apply(event).length;
    });
    position -= slice;
    const looked = batch().map(({ data }) => data as MessageAccepted);
    const lookup = rateOf(() => {
      for (const { account, returnPath, ip } of looked) {
        bump(maps[0], account!);
        bump(maps[1], returnPath!);
        bump(maps[2], ip!);
        bump(domains, account!.slice(account!.lastIndexOf('@') + 1));
      }
    });
    if (done < senders) continue;
    rates.push(rate);
    lookups.push(lookup);
  }
  return { rate: median(rates), lookups: median(lookups), verdicts };
}

function bump(map: Map<string, number>, key: string): void {
  const before = map.get(key);
  // Written once only, as a row is.
  if (before === undefined) map.set(key, map.size);
}

/** Bytes a sender, of the heap and of buffers, maps and keys included. */
interface Footprint {
  /** Its windows, every one of which has been written. */
  readonly windows: number;
  /** What is gathered of the day that it is in. */
  readonly day: number;
  /** Both, resident. */
  readonly resident: number;
}

const per = (senders: number, before: Memory, after: Memory): { used: number; resident: number } => ({
  used: (after.used - before.used) / senders,
  resident: (after.resident - before.resident) / senders,
});

function footprint(senders: number, rules: RuleSetName): Footprint {
  const sendAll = (volume: SendVolume): { used: number; resident: number } => {
    const before = memory();
    for (let sender = 0; sender < senders; sender++) {
      volume.apply(send(sender, senders + sender + 2, START + sender));
    }
    const after = memory();
    if (volume.sizes().account !== senders) throw new Error('not every sender has a row');
    return per(senders, before, after);
  };
  const whole = sendAll(detector(RULE_SETS[rules]));
  // A day that is summarised is closed: what comes late is counted by windows alone.
  const volume = detector(RULE_SETS[rules]);
  for (let sender = 0; sender < senders; sender++) {
    volume.apply(summary(sender, START / DAY, sender + 2, []));
  }
  const windows = sendAll(volume).used;
  return { windows, day: whole.used - windows, resident: whole.resident };
}

/** Bytes of what is known of a sender that worked on forty days of eight weeks. */
function knowledge(senders: number): number {
  const volume = detector(DEFAULT_RULES);
  const { names } = volume.profiles.peaks;
  const before = memory();
  let position = 2;
  for (let sender = 0; sender < senders; sender++) {
    for (let day = 0; day < 56; day++) {
      if (day % 7 < 5) volume.apply(summary(sender, START / DAY - 56 + day, position++, names));
    }
  }
  const { used } = per(senders, before, memory());
  if (volume.profiles.sizes.profiles !== senders) throw new Error('not every sender has a profile');
  return used;
}

export async function run(): Promise<Report> {
  const script = fileURLToPath(import.meta.url);
  const speed = (senders: number, sends: number, rules: RuleSetName = 'six') =>
    inOwnProcess<Speed>(script, ['speed', String(senders), String(sends), rules]);
  const bytes = (senders: number, rules: RuleSetName) =>
    inOwnProcess<Footprint>(script, ['memory', String(senders), rules]);
  const few = await speed(1_000, 600_000);
  const many = await speed(100_000, 600_000);
  const most = await speed(1_000_000, 600_000);
  const shipped = await speed(100_000, 600_000, 'defaults');
  const six = await bytes(500_000, 'six');
  const defaults = await bytes(200_000, 'defaults');
  const known = await inOwnProcess<number>(script, ['knowledge', '20000']);
  const kilo = (rate: number) => `${Math.round(rate / 1000)},000 sends/s`;
  const whole = (count: number) => `${Math.round(count)} bytes`;
  const ratio = few.rate / most.rate;
  return {
    name: 'The detector: 6 rules over 4 subject types, and the rules that ship',
    rows: [
      { label: '1,000 senders', value: kilo(few.rate) },
      {
        label: '100,000 senders',
        value: kilo(many.rate),
        target: 'at least 300,000 sends/s',
        ok: many.rate >= 300_000,
      },
      {
        label: '  four bare look-ups in maps of that size (yardstick)',
        value: `${kilo(many.lookups)}: the whole detector takes ${(many.lookups / many.rate).toFixed(1)} times as long`,
      },
      { label: '1,000,000 senders', value: kilo(most.rate) },
      {
        label: 'cost a send, 1,000,000 senders against 1,000',
        value: `${ratio.toFixed(2)} times`,
        target: 'at most 5',
        ok: ratio <= 5,
      },
      {
        label: '100,000 senders, the rules that ship',
        value: `${kilo(shipped.rate)}: ${(shipped.lookups / shipped.rate).toFixed(1)} times as long as the look-ups`,
      },
      {
        label: 'memory a sender: windows of the 6 rules, heap and buffers, maps and keys included',
        value: whole(six.windows),
        target: 'at most 1,024',
        ok: six.windows <= 1024,
      },
      { label: '  and of the day that it is in, until it is summarised', value: whole(six.day) },
      { label: '  both, resident', value: whole(six.resident) },
      {
        label: 'memory a sender, the rules that ship: windows, day',
        value: `${whole(defaults.windows)}, ${whole(defaults.day)}`,
      },
      { label: 'memory a sender that is known: forty days of eight weeks', value: whole(known) },
    ],
  };
}

if (isMain(import.meta.url)) {
  const [mode, senders, sends = ''] = process.argv.slice(2);
  const named = process.argv.at(-1) === 'defaults' ? 'defaults' : 'six';
  const answers: Readonly<Record<string, () => unknown>> = {
    speed: () => measure(Number(senders), Number(sends), named),
    memory: () => footprint(Number(senders), named),
    knowledge: () => knowledge(Number(senders)),
  };
  const answer = answers[mode ?? ''];
  if (answer === undefined) print(await run());
  else process.stdout.write(JSON.stringify(answer()));
}
