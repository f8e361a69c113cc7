import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';

/** The repository: compiled tests lie in `dist…/test/support/watch`. */
export const REPOSITORY = fileURLToPath(new URL('../../../../', import.meta.url));
/** If the rules, their tests and the examples of configuration lie. */
export const PROMETHEUS = path.join(REPOSITORY, 'grafana/prometheus');

export interface AlertRule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: { readonly severity: string };
  readonly annotations: Readonly<Record<string, string>>;
}

export interface RecordingRule {
  readonly record: string;
  readonly expr: string;
}

interface RuleFile {
  readonly groups: readonly {
    readonly name: string;
    readonly rules: readonly (AlertRule | RecordingRule)[];
  }[];
}

/** A test of `promtool test rules`. */
export interface RuleTest {
  readonly name: string;
  readonly external_labels?: Readonly<Record<string, string>>;
  readonly input_series: readonly { readonly series: string; readonly values: string }[];
  readonly alert_rule_test: readonly {
    readonly eval_time: string;
    readonly alertname: string;
    readonly exp_alerts: readonly {
      readonly exp_labels: Readonly<Record<string, string>>;
      readonly exp_annotations?: Readonly<Record<string, string>>;
    }[];
  }[];
}

interface RuleTestFile {
  readonly rule_files: readonly string[];
  readonly group_eval_order?: readonly string[];
  readonly tests: readonly RuleTest[];
}

/** Names of the files of one folder below {@link PROMETHEUS}. */
export function filesOf(folder: 'rules' | 'tests'): readonly string[] {
  return readdirSync(path.join(PROMETHEUS, folder)).sort();
}

export function readYaml<T>(...names: readonly string[]): T {
  return parse(readFileSync(path.join(PROMETHEUS, ...names), 'utf8')) as T;
}

/** All rules that ship. */
export function shippedRules(): {
  readonly alerts: readonly AlertRule[];
  readonly recorded: readonly RecordingRule[];
} {
  const rules = filesOf('rules').flatMap((file) => groupsOf(file).flatMap((group) => group.rules));
  return {
    alerts: rules.filter((rule) => 'alert' in rule),
    recorded: rules.filter((rule) => 'record' in rule),
  };
}

export function groupsOf(file: string): RuleFile['groups'] {
  return readYaml<RuleFile>('rules', file).groups;
}

export function ruleTestFile(file: string): RuleTestFile {
  return readYaml<RuleTestFile>('tests', file);
}

/** The PromQL of a page: one expression a paragraph, after a comment or none. */
export function queriesIn(text: string): readonly string[] {
  return [...text.matchAll(/^```promql\n([\s\S]*?)^```$/gm)].flatMap(([, code]) =>
    code!
      .split(/\n{2,}/)
      .map((part) => part.replace(/^#.*$/gm, '').trim())
      .filter((query) => query !== ''),
  );
}
