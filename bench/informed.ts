import { readFileSync } from 'node:fs';
import type { AttackScore, Score } from '../src/backtest/labels.js';
import type { CaseReport } from '../src/backtest/report.js';
import { runBacktest } from '../src/backtest/run.js';
import { parseInstant } from '../src/kernel/time.js';
import { DEFAULT_RULES } from '../src/rules/defaults.js';
import { parseRules } from '../src/rules/parse.js';
import { SLOWER } from './detection/informed.js';
import type { Move } from './detection/message.js';
import { MOVES } from './detection/message.js';
import type { Workload } from './detection/workload.js';
import { informedWorkload, sourceOf } from './detection/workload.js';
import { isMain, print } from './report.js';
import type { Report, Row } from './report.js';

/* Attacks by those who have read the documents: bench/detection/README.md says what is measured. */

const SEEDS = (process.env['BENCH_SEEDS'] ?? '11,12,13').split(',').map(Number);
const RULES = process.env['BENCH_RULES'];

interface Result {
  readonly score: Score;
  /** Wrong blocks by the move of the message that tripped the rule. */
  readonly moved: readonly Move[];
}

async function resultOf(load: Workload): Promise<Result> {
  const [text, name] =
    RULES === undefined ? [DEFAULT_RULES, 'defaults'] : [readFileSync(RULES, 'utf8'), RULES];
  const candidates = [{ name, rules: parseRules(text, name) }];
  const { labels } = load;
  const report = await runBacktest({ source: sourceOf(load), candidates, labels, most: Infinity });
  const { score, cases } = report.candidates[0]!;
  if (process.env['BENCH_CASES'] === 'wrong')
    for (const one of cases.filter(({ judged, blockedAt }) => judged === 'wrong' && blockedAt !== null))
      process.stderr.write(
        `${load.name} ${one.rule}, ${one.blockedAt} to ${one.until}, ${one.refused.messages} refused: ${one.evidence.sentence}\n`,
      );
  return { score: score!, moved: movesOf(load, cases) };
}

/** Of each wrong block, how the mail moves that it stopped, as far as it does. */
function movesOf({ messages }: Workload, cases: readonly CaseReport[]): readonly Move[] {
  const wrong = cases.filter(({ judged, blockedAt }) => judged === 'wrong' && blockedAt !== null);
  return wrong.flatMap(({ subject, blockedAt }) => {
    const at = parseInstant(blockedAt!)!;
    const last = messages.findLast(
      ({ account, ip, ehlo, ...message }) =>
        message.at <= at &&
        { account, ip, ehlo }[subject.type as 'account' | 'ip' | 'ehlo'] === subject.value,
    );
    return last?.move ?? [];
  });
}

/** How many are contained at least, and how much leaks at most. */
const FLOORS: Readonly<Record<string, readonly [contained: number, leaked: number]>> = {
  drip: [1, 0.03],
  office: [1, 0.07],
  wide: [1, 0.02],
  comeback: [1, 0.04],
  fleet: [0.9, 0.15],
  ramp: [0.9, 0.12],
  fresh: [1, 0.11],
};

interface Price {
  readonly label: string;
  readonly of: (score: Score) => number;
  readonly text: (value: number) => string;
  readonly most: number;
}

const percent = (value: number, digits = 1): string => `${(100 * value).toFixed(digits)} %`;
const PRICES: readonly Price[] = [
  {
    label: 'wrong blocks in 1,000 sender-days',
    of: (one) => one.wrongBlocksPer1000SenderDays,
    text: (value) => value.toFixed(2),
    most: 1,
  },
  {
    label: 'proposals in 1,000 sender-days',
    of: (one) => one.proposalsPer1000SenderDays,
    text: (value) => value.toFixed(2),
    most: 5,
  },
  {
    label: 'clean mail stopped',
    of: (one) => one.cleanStoppedShare,
    text: (value) => percent(value, 2),
    most: 0.003,
  },
  {
    label: 'owners stopped',
    of: (one) => one.ownersStoppedShare,
    text: (value) => percent(value, 2),
    most: 0.0075,
  },
  { label: 'bulk stopped', of: (one) => one.bulkStoppedShare, text: percent, most: 0.005 },
];

export async function run(): Promise<Report> {
  const results: Result[] = [];
  for (const seed of SEEDS) results.push(await resultOf(informedWorkload(seed)));
  const kinds = Object.keys(results[0]!.score.byKind);
  const rows: Row[] = kinds.map((kind) => ofKind(kind, results));
  for (const { label, of, text, most } of PRICES) {
    const values = results.map(({ score }) => of(score));
    const worst = Math.max(...values);
    const value = `${text(mean(values))}, at worst ${text(worst)}`;
    rows.push({ label, value, target: `at most ${text(most)}`, ok: mean(values) <= most });
  }
  for (const move of MOVES) {
    const count = results.flatMap(({ moved }) => moved).filter((each) => each === move).length;
    rows.push({ label: `wrong blocks of clean mail: ${move}`, value: String(count) });
  }
  return { name: `Attacks by those who know the rules, seeds ${SEEDS.join(', ')}`, rows };
}

function ofKind(kind: string, results: readonly Result[]): Row {
  const scores = results.map(({ score }) => score.byKind[kind]!);
  const sum = (of: (one: AttackScore) => number): number => scores.reduce((all, one) => all + of(one), 0);
  const contained =
    sum((one) => one.contained) /
    Math.max(
      1,
      sum((one) => one.attacks),
    );
  const leaked = mean(scores.map((one) => one.leakedShare));
  const rules = new Map<string, number>();
  for (const { caughtBy } of scores)
    for (const [rule, times] of Object.entries(caughtBy)) rules.set(rule, (rules.get(rule) ?? 0) + times);
  const by = [...rules].sort((a, b) => b[1] - a[1]).map(([rule, times]) => `${rule} ${times}`);
  const figures = `${percent(contained, 0).padStart(5)} contained  ${percent(leaked).padStart(7)} leaked`;
  const value = `${figures}  ${by.join(', ') || 'no rule'}`;
  const floor = FLOORS[kind];
  if (floor === undefined) return { label: SLOWER.includes(kind) ? `(${kind})` : kind, value };
  const [least, most] = floor;
  const target = `at least ${percent(least, 0)}, at most ${percent(most, 0)}`;
  return { label: kind, value, target, ok: contained >= least && leaked <= most };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

if (isMain(import.meta.url)) print(await run());
