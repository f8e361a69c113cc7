import type { Logger } from 'pino';
import type { BlockFact, BlockReleased, HeldMailDecided, Until } from '../blocks/events.js';
import { formatInstant } from '../kernel/time.js';
import type { GeoData } from '../rules/explain.js';
import { withoutGeoData } from '../rules/explain.js';
import type { VersionedRules } from '../rules/model.js';
import type { Verdict } from '../rules/respond.js';
import type { Subject } from '../sending/subjects.js';
import { traceIdOf } from '../tracing/spans.js';

/** The fields of each decision's log line: the actor, the subject and the result. */
export interface DecisionFields {
  readonly correlation: string | undefined;
  readonly by: string;
  readonly subject: Subject;
  /** The type of the last resulting event; `none` if there was nothing left to do. */
  readonly outcome: BlockFact['type'] | 'none';
  readonly block: string | undefined;
  /** ISO 8601, or `indefinite`. */
  readonly until: string | undefined;
  /** Of a release or dismissal that calls the rule wrong, which raises limits. */
  readonly falsePositive: true | undefined;
  /** What was asked to become of held mail. */
  readonly held: string | undefined;
  /** The trace that it belongs to, under the name that OpenTelemetry has for it in logs. */
  readonly trace_id: string | undefined;
}

/** The result of a command, and its traceparent if it is traced. */
interface DecisionOutcome {
  readonly facts: readonly BlockFact[];
  readonly trace?: string | undefined;
}

export function decisionFields(
  by: string,
  subject: Subject,
  { facts, trace }: DecisionOutcome,
  correlation: string | undefined,
): DecisionFields {
  const last = facts.at(-1);
  const data = (last?.data ?? {}) as Partial<
    Pick<BlockReleased, 'block' | 'falsePositive' | 'held'> &
      Pick<HeldMailDecided, 'action'> & { until: Until }
  >;
  return {
    correlation,
    by,
    subject,
    outcome: last?.type ?? 'none',
    block: data.block,
    until:
      data.until === undefined ? undefined : data.until === null ? 'indefinite' : formatInstant(data.until),
    falsePositive: data.falsePositive === true ? true : undefined,
    held: last?.type === 'HeldMailDecided' ? data.action : data.held,
    trace_id: trace === undefined ? undefined : traceIdOf(trace),
  };
}

/** The same for a rule that tripped, with the numbers that it rests on. */
export function verdictFields(
  { kind, subject, evidence, at }: Verdict,
  by: string,
  outcome: DecisionOutcome,
  correlation: string,
): DecisionFields & Readonly<Record<string, unknown>> {
  const { rule, version, count, window, limit, observed, sentence } = evidence;
  const numbers = { count, observed, limit, windowMs: window };
  const verdict = { kind, rule, version, ...numbers, trippedAt: formatInstant(at), sentence };
  return { ...decisionFields(by, subject, outcome, correlation), ...verdict };
}

/** Tells of rules that come into force, and of those among them that cannot do what they are meant to. */
export function tellRulesInForce(rules: VersionedRules, places: GeoData, log: Logger): void {
  const { version } = rules;
  // None ever were: a node that takes mail may be there before the first detector.
  if (version === 0) return;
  log.info({ version }, 'rules are in force');
  for (const { rule, setting, never } of withoutGeoData(rules, places))
    log.warn({ version, rule, setting, never }, 'a rule asks where clients are, and no database tells');
}
