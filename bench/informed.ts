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
const STILL = process.env['BENCH_STILL'] !== undefined;

interface Result {
  readonly score: Score;
  /** The recipients of attacks, by their kind. */
  readonly tried: ReadonlyMap<string, number>;
  /** The rules of wrong blocks. */
  readonly wrong: readonly string[];
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
  const wrong = cases.filter(({ judged, blockedAt }) => judged === 'wrong' && blockedAt !== null);
  if (process.env['BENCH_CASES'] === 'wrong')
    for (const one of wrong)
      process.stderr.write(
        `${load.name} ${one.rule}, ${one.blockedAt} to ${one.until}, ${one.refused.messages} refused: ${one.evidence.sentence}\n`,
      );
  return {
    score: score!,
    tried: triedOf(load),
    wrong: wrong.map(({ rule }) => rule),
    moved: movesOf(load, wrong),
  };
}

function triedOf({ messages, labels }: Workload): ReadonlyMap<string, number> {
  const tried = new Map<string, number>();
  for (const { attack, recipients } of messages) {
    if (attack === undefined) continue;
    const { kind } = labels.attacks[attack]!;
    tried.set(kind, (tried.get(kind) ?? 0) + recipients);
  }
  return tried;
}

/** Of each wrong block, how the mail moves that it stopped, as far as it does. */
function movesOf({ messages }: Workload, wrong: readonly CaseReport[]): readonly Move[] {
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
  spread: [1, 0.04],
  single: [1, 0.25],
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
  for (const seed of SEEDS) results.push(await resultOf(informedWorkload(seed, !STILL)));
  const kinds = Object.keys(results[0]!.score.byKind);
  const rows: Row[] = [...kinds.map((kind) => ofKind(kind, results)), together(kinds, results)];
  for (const { label, of, text, most } of PRICES) {
    const values = results.map(({ score }) => of(score));
    const worst = Math.max(...values);
    const value = `${text(mean(values))}, at worst ${text(worst)}`;
    rows.push({ label, value, target: `at most ${text(most)}`, ok: mean(values) <= most });
  }
  rows.push({ label: 'wrong blocks by rule', value: rulesOf(results.flatMap(({ wrong }) => wrong)) });
  for (const move of MOVES) {
    const count = results.flatMap(({ moved }) => moved).filter((each) => each === move).length;
    rows.push({ label: `wrong blocks of clean mail: ${move}`, value: String(count) });
  }
  return { name: `Attacks by those who know the rules, seeds ${SEEDS.join(', ')}`, rows };
}

/** Kinds of so many recipients that the others would not show beside them. */
const MANY: readonly string[] = ['spread', 'single'];

/** All kinds but the slower ones, by recipients. */
function together(all: readonly string[], results: readonly Result[]): Row {
  const kinds = all.filter((kind) => !SLOWER.includes(kind) && !MANY.includes(kind));
  const sum = (of: (one: AttackScore) => number): number =>
    results.flatMap(({ score }) => kinds.map((kind) => of(score.byKind[kind]!))).reduce((a, b) => a + b, 0);
  const contained = sum((one) => one.contained) / sum((one) => one.attacks);
  const leaked = results.map((one) => {
    const tried = kinds.reduce((all, kind) => all + (one.tried.get(kind) ?? 0), 0);
    return leakedOf(kinds, [one]) / tried;
  });
  return {
    label: 'all but spread, single and those in brackets',
    value: `${percent(contained, 1)} contained  ${percent(mean(leaked), 2)} leaked (${leaked.map((one) => percent(one)).join(', ')})`,
    target: 'at least 97 %, at most 4 %',
    ok: contained >= 0.97 && mean(leaked) <= 0.04,
  };
}

/** The recipients that leaked. */
function leakedOf(kinds: readonly string[], results: readonly Result[]): number {
  const scores = results.flatMap(({ score }) => kinds.map((kind) => score.byKind[kind]!));
  return scores.reduce((sum, { leakedBefore, leakedAfter }) => sum + leakedBefore + leakedAfter, 0);
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
  const caught = scores.flatMap(({ caughtBy }) =>
    Object.entries(caughtBy).flatMap(([rule, times]) => Array<string>(times).fill(rule)),
  );
  const figures = `${percent(contained, 0).padStart(5)} contained  ${percent(leaked).padStart(7)} leaked`;
  const part = percent(leakedOf([kind], results) / leakedOf(Object.keys(results[0]!.score.byKind), results));
  const value = `${figures}  ${part.padStart(6)} of all that leaked  ${rulesOf(caught)}`;
  const floor = FLOORS[kind];
  if (floor === undefined) return { label: SLOWER.includes(kind) ? `(${kind})` : kind, value };
  const [least, most] = floor;
  const target = `at least ${percent(least, 0)}, at most ${percent(most, 0)}`;
  return { label: kind, value, target, ok: contained >= least && leaked <= most };
}

/** How many times each is named, the most frequent first. */
function rulesOf(named: readonly string[]): string {
  const times = new Map<string, number>();
  for (const rule of named) times.set(rule, (times.get(rule) ?? 0) + 1);
  const sorted = [...times].sort((a, b) => b[1] - a[1]).map(([rule, count]) => `${rule} ${count}`);
  return sorted.join(', ') || 'no rule';
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

if (isMain(import.meta.url)) print(await run());
