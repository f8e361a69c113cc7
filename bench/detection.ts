import { readFileSync } from 'node:fs';
import type { Score } from '../src/backtest/labels.js';
import { Labels } from '../src/backtest/labels.js';
import { runBacktest } from '../src/backtest/run.js';
import { Trace } from '../src/backtest/trace/trace.js';
import { openLogFile } from '../src/import/postfix-log/index.js';
import { DAY, HOUR, MINUTE } from '../src/kernel/time.js';
import { DEFAULT_RULES } from '../src/rules/defaults.js';
import { parseRules } from '../src/rules/parse.js';
import type { MessageAccepted } from '../src/sending/events.js';
import type { FixedLimits } from './detection/fixed-limits.js';
import { scoreOf } from './detection/fixed-limits.js';
import type { Message } from './detection/message.js';
import type { Workload } from './detection/workload.js';
import { sourceOf, workload } from './detection/workload.js';
import { isMain, median, print } from './report.js';
import type { Report, Row } from './report.js';

/* bench/detection/README.md says what is measured, and which variables there are. */

const SEEDS = (process.env['BENCH_SEEDS'] ?? '1,2,3,4,5').split(',').map(Number);
const TRACES = (process.env['BENCH_TRACES'] ?? '').split(',').filter((text) => text !== '');
const RULES = process.env['BENCH_RULES'];

const LIMITS: readonly FixedLimits[] = [
  {
    name: '25 messages/h + 100/day',
    count: 'messages',
    limits: [
      { most: 25, window: HOUR },
      { most: 100, window: DAY },
    ],
  },
  { name: '200 messages/h', count: 'messages', limits: [{ most: 200, window: HOUR }] },
  {
    name: '10 recipients/min + 150/day',
    count: 'recipients',
    limits: [
      { most: 10, window: MINUTE },
      { most: 150, window: DAY },
    ],
  },
  {
    name: '500 recipients/h + 1000/day',
    count: 'recipients',
    limits: [
      { most: 500, window: HOUR },
      { most: 1000, window: DAY },
    ],
  },
];

interface Column {
  readonly title: string;
  readonly of: (score: Score) => number;
  readonly text: (value: number) => string;
  /** Whether more of it is better. */
  readonly more?: true;
  /** What the built-in rules must reach on any seed. */
  readonly target: number;
}

const percent = (digits: number) => (value: number) => `${(100 * value).toFixed(digits)} %`;
const COLUMNS: readonly Column[] = [
  {
    title: 'contained',
    of: (one) => one.contained / Math.max(1, one.attacks),
    text: percent(0),
    more: true,
    target: 1,
  },
  { title: 'leaked', of: (one) => one.leakedShare, text: percent(1), target: 0.03 },
  { title: 'median leak', of: (one) => one.leakedMedian, text: String, target: 30 },
  {
    title: 'wrong/1000',
    of: (one) => one.wrongBlocksPer1000SenderDays,
    text: (value) => value.toFixed(2),
    target: 2,
  },
  {
    title: 'proposed/1000',
    of: (one) => one.proposalsPer1000SenderDays,
    text: (value) => value.toFixed(2),
    target: 10,
  },
  { title: 'clean stopped', of: (one) => one.cleanStoppedShare, text: percent(2), target: 0.001 },
  { title: 'owners stopped', of: (one) => one.ownersStoppedShare, text: percent(2), target: 0.005 },
  { title: 'bulk stopped', of: (one) => one.bulkStoppedShare, text: percent(1), target: 0.03 },
];

/** Workloads one after the other: each is large. */
async function* workloads(): AsyncGenerator<Workload> {
  if (TRACES.length === 0) for (const seed of SEEDS) yield workload(seed);
  for (const pair of TRACES) {
    const [trace, labels] = pair.split(':');
    if (labels === undefined) throw new Error(`BENCH_TRACES: "${pair}" must be trace.ndjson:labels.json`);
    yield {
      name: trace!,
      messages: await messagesOf(trace!),
      labels: Labels.parse(readFileSync(labels, 'utf8'), labels),
    };
  }
}

async function messagesOf(trace: string): Promise<readonly Message[]> {
  const messages: Message[] = [];
  for await (const { activities } of new Trace(await openLogFile(trace, trace)).batches()) {
    for (const { at, data } of activities) {
      const {
        account = '',
        returnPath = account,
        ehlo = '',
        ip = '',
        recipients,
        size,
      } = data as MessageAccepted;
      messages.push({ at, account, returnPath, ehlo, ip, recipients, size });
    }
  }
  return messages;
}

async function rulesScore(load: Workload): Promise<Score> {
  const [text, name] =
    RULES === undefined ? [DEFAULT_RULES, 'defaults'] : [readFileSync(RULES, 'utf8'), RULES];
  const candidates = [{ name, rules: parseRules(text, name) }];
  const report = await runBacktest({ source: sourceOf(load), candidates, labels: load.labels, most: 0 });
  return report.candidates[0]!.score!;
}

export async function run(): Promise<Report> {
  const names: string[] = [];
  const ours: Score[] = [];
  const theirs: Score[][] = LIMITS.map(() => []);
  for await (const load of workloads()) {
    names.push(load.name);
    ours.push(await rulesScore(load));
    LIMITS.forEach((limits, index) => theirs[index]!.push(scoreOf(limits, load)));
  }
  const rules = RULES ?? 'built-in rules';
  const lines: readonly (readonly string[])[] = [
    ['', ...COLUMNS.map(({ title }) => title)],
    [rules, ...COLUMNS.map((column) => column.text(median(ours.map(column.of))))],
    [`  worst of ${ours.length}`, ...COLUMNS.map((column) => column.text(worst(column, ours)))],
    ...LIMITS.map(({ name }, index) => [
      name,
      ...COLUMNS.map((column) => column.text(median(theirs[index]!.map(column.of)))),
    ]),
  ];
  const widths = COLUMNS.map((_, column) => Math.max(...lines.map((cells) => cells[column + 1]!.length)));
  const table = lines.map(([label, ...cells]): Row => ({
    label: label!,
    value: cells.map((cell, column) => cell.padStart(widths[column]!)).join('  '),
  }));
  const targets = COLUMNS.map((column): Row => {
    const value = worst(column, ours);
    return {
      label: `${column.title}, worst of ${ours.length}`,
      value: column.text(value),
      target: `${column.more ? 'at least' : 'at most'} ${column.text(column.target)}`,
      ok: column.more ? value >= column.target : value <= column.target,
    };
  });
  return { name: `Detection, the median over ${names.join(', ')}`, rows: [...table, ...targets] };
}

function worst(column: Column, scores: readonly Score[]): number {
  const values = scores.map(column.of);
  return column.more ? Math.min(...values) : Math.max(...values);
}

if (isMain(import.meta.url)) print(await run());
