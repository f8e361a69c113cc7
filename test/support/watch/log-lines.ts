import { readFileSync } from 'node:fs';
import path from 'node:path';
import { composeForm, systemdForm } from './forms.js';
import { REPOSITORY } from './rules.js';
import { composeCallOf, matching, unitsOf, wordsAfter } from './runbooks.js';
import type { Command, Pipeline } from './shell.js';

/** A line that the log may have, as it stands there. */
export interface LogLine {
  readonly text: string;
  readonly level: string;
  readonly component: string;
}

/** Which processes write the lines of a component, where not all of them do. */
const ROLES_OF: Readonly<Record<string, readonly string[]>> = {
  smtp: ['smtp'],
  relay: ['smtp'],
  rules: ['detector'],
  expiry: ['worker'],
  api: ['api'],
};
/** Of the component `rules`, what SMTP nodes write that contain a sender by themselves; and what everybody does. */
const OF_SMTP_NODES = /"msg":"(refused by this node alone|the store is away|an event could not be counted)/;
const OF_ALL = /"msg":"rules are in force"/;
/** What may come of a rule that has tripped: fields that are looked for. */
const OUTCOMES = ['BlockImposed', 'BlockProposed', 'ExemptionApplied', 'RuleObserved'];

/** Every line of docs/reference/logging.md, and the last words of a process that ends by a fault. */
export function documentedLines(): readonly LogLine[] {
  const lines: LogLine[] = [];
  let component = '';
  for (const row of readFileSync(path.join(REPOSITORY, 'docs/reference/logging.md'), 'utf8').split('\n')) {
    component = /^### (\w+)$/.exec(row)?.[1] ?? component;
    const [msg, level] = row
      .split('|')
      .slice(1)
      .map((cell) => cell.trim());
    if (!/^(fatal|error|warn|info|debug|trace)$/.test(level ?? '')) continue;
    for (const outcome of msg === 'a rule tripped' ? OUTCOMES : [undefined])
      lines.push({
        text: JSON.stringify({ level, component, outcome, msg }),
        ...{ level: level!, component },
      });
  }
  return [...lines, { text: 'stopgap: stopped by a fault: …', level: 'fatal', component: 'app' }];
}

/** Something that is looked for in the log of processes of Stopgap. */
export interface LookUp {
  readonly command: string;
  readonly form: 'systemd' | 'compose';
  /** Of the processes whose log it is; the one process that has all roles is left out. */
  readonly roles: readonly string[];
  readonly finds: (line: LogLine) => boolean;
}

/** What a pipeline looks for; undefined where it looks for nothing, or elsewhere. */
export function lookUpOf(pipeline: Pipeline): LookUp | undefined {
  const [first] = pipeline;
  if (first === undefined) return undefined;
  const command = pipeline.map((words) => words.join(' ')).join(' | ');
  const pattern = optionOf('-g', wordsAfter('journalctl', first));
  if (pattern !== undefined && !first.includes('-k')) {
    const { units } = systemdForm();
    const several = unitsOf(first).filter((unit) => unit !== 'stopgap');
    const names = several.flatMap((glob) => matching(glob, units.keys()));
    // Without an upper-case letter journalctl does not care for case.
    const found = new RegExp(pattern, /[A-Z]/.test(pattern) ? '' : 'i');
    const roles = rolesOf(names.map((name) => units.get(name)!));
    return { command, form: 'systemd', roles, finds: ({ text }) => found.test(text) };
  }
  const call = composeCallOf(first);
  const grep = pipeline
    .flatMap((words) => [wordsAfter('grep', words) ?? []])
    .find((words) => words.length > 0);
  const { processes } = composeForm();
  const ours = call?.services.flatMap((name) => processes.get(name) ?? []) ?? [];
  if (call?.verb !== 'logs' || grep === undefined || ours.length === 0) return undefined;
  const wanted = grep.at(-1)!;
  // Basic expressions have none of these.
  const found = new RegExp(grep.includes('-E') ? wanted : wanted.replace(/[|()+?{}]/g, '\\$&'));
  return { command, form: 'compose', roles: rolesOf(ours), finds: ({ text }) => found.test(text) };
}

/** Whether a process with one of these roles may write it. */
export function mayWrite(roles: readonly string[], { component, text }: LogLine): boolean {
  if (OF_ALL.test(text)) return true;
  const writers = OF_SMTP_NODES.test(text) ? ['smtp'] : ROLES_OF[component];
  return writers === undefined || writers.some((role) => roles.includes(role));
}

/** The word behind an option. */
export function optionOf(option: string, words: Command | undefined): string | undefined {
  const at = words?.indexOf(option) ?? -1;
  return at === -1 ? undefined : words![at + 1];
}

function rolesOf(processes: readonly { readonly roles: readonly string[] }[]): readonly string[] {
  return [...new Set(processes.flatMap(({ roles }) => roles))].sort();
}
