import type { BlockEntry } from '../../projections/blocks/block-entry.js';
import type { RulePrecisionRow } from '../../projections/blocks/rule-precision.js';
import { precisionOf } from '../../projections/blocks/rule-precision.js';
import type {
  ComparedCase,
  ComparedVerdict,
  Tally,
  VerdictComparison,
} from '../../projections/blocks/shadow.js';
import { comparisonOf, COMPARISONS, NOTHING } from '../../projections/blocks/shadow.js';
import { entriesOf } from './block-entries.js';
import type { ApiDependencies } from './dependencies.js';
import { formatInstant } from '../kernel/time.js';
import { amount } from '../rules/explain.js';
import { ruleSetView, rulesWarningsOf } from './rules-view.js';
import type { DifferenceJson, PrecisionJson, ShadowJson } from './shadow-shapes.js';
import { evidenceView, subjectView, windowView } from './views.js';

/** What runs in the shadow, and how it compares; undefined where nothing does. */
export function shadowView({
  models: { shadow, sendVolume },
  places,
}: Pick<ApiDependencies, 'models' | 'places'>): ShadowJson | undefined {
  const { set, rules, comparison } = shadow;
  if (set === undefined || rules === undefined || comparison === undefined) return undefined;
  const [tallies, open] = [comparison.tallies(), comparison.openByRule()];
  const byRule = [...new Set([...tallies.keys(), ...open.keys()])].map((rule) => ({
    ...{ rule, ...(tallies.get(rule) ?? NOTHING), open: open.get(rule) ?? 0 },
  }));
  return {
    version: set.version,
    since: formatInstant(set.since),
    by: set.by,
    source: set.source,
    ...ruleSetView(rules),
    warnings: rulesWarningsOf(rules, places),
    inForce: sendVolume.rules.version,
    open: comparison.open,
    compared: total(byRule),
    byRule: byRule.sort((a, b) => (a.rule < b.rule ? -1 : 1)),
  };
}

function total(tallies: readonly Tally[]): Tally {
  const sums = COMPARISONS.map((kind) => [kind, tallies.reduce((sum, each) => sum + each[kind], 0)]);
  return Object.fromEntries(sums) as Tally;
}

/** @param difference none that both sets agree on */
export async function differenceView(
  sources: Pick<ApiDependencies, 'models' | 'store'>,
  difference: ComparedCase,
  comparison: VerdictComparison,
): Promise<DifferenceJson> {
  const { number, subject, live, shadow, nearest } = difference;
  const block = live === undefined ? undefined : await blockOf(sources, difference, live);
  return {
    number,
    kind: comparisonOf(difference) as DifferenceJson['kind'],
    settled: !comparison.isOpen(difference),
    subject: subjectView(subject),
    sentence: sentenceOf(difference),
    live: askedView(live),
    shadow: askedView(shadow),
    nearest: nearest === undefined ? null : windowView(subject, nearest),
    block: block?.id ?? null,
    falsePositive: block?.falsePositive ?? false,
  };
}

/** The case that rests on what the rules in force saw: the one that went on then, or the next that began. */
async function blockOf(
  sources: Pick<ApiDependencies, 'models' | 'store'>,
  { subject }: ComparedCase,
  { evidence: { rule, lastPosition } }: ComparedVerdict,
): Promise<BlockEntry | undefined> {
  const { rows } = sources.models.ledger;
  const candidates: number[] = [];
  for (const row of rows.on(subject)) {
    if (rows.at(row).begin > lastPosition) candidates.pop();
    candidates.push(row);
    if (rows.at(row).begin <= lastPosition) break;
  }
  const entries = await entriesOf(sources, candidates);
  return entries.find(({ history }) =>
    history.some((item) => item.evidence?.rule === rule && item.evidence.lastPosition === lastPosition),
  );
}

const DONE = { propose: 'proposed', block: 'blocked' } as const;

/** What the difference is, and the numbers behind it. */
function sentenceOf({ live, shadow, nearest }: ComparedCase): string {
  const seen = (shadow ?? live!).evidence.sentence;
  if (live !== undefined && shadow !== undefined) {
    return `Would have been ${DONE[shadow.action]}, not ${DONE[live.action]}. ${seen}`;
  }
  const others = live === undefined ? 'in force' : 'in the shadow';
  const far =
    nearest === undefined
      ? `No rule ${others} looks at this.`
      : `The nearest rule ${others}, "${nearest.rule}", stood at ${amount(nearest.count, nearest.observed)}, of ${nearest.limit} that it allows.`;
  const what =
    live === undefined
      ? `Would have been ${DONE[shadow!.action]}.`
      : `Would not have been ${DONE[live.action]}.`;
  return `${what} ${seen} ${far}`;
}

function askedView(asked: ComparedVerdict | undefined): DifferenceJson['live'] {
  if (asked === undefined) return null;
  const { action, at, evidence } = asked;
  return { action, at: formatInstant(at), evidence: evidenceView(evidence) };
}

export function precisionView(judged: RulePrecisionRow): PrecisionJson {
  const { rule, inForce, imposed, proposed, confirmed, falsePositives, dismissed, lapsed, open } = judged;
  const counts = { imposed, proposed, confirmed, falsePositives, dismissed, lapsed, open };
  return { rule, inForce, ...counts, precision: precisionOf(judged) ?? null };
}
