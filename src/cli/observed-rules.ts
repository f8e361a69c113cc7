import type { Command } from 'commander';
import type { ObservedJson } from '../api/shadow-shapes.js';
import type { Instant } from '../kernel/time.js';
import { SUBJECT_TYPES } from '../sending/subjects.js';
import { numbersOf } from './block-why.js';
import { relative } from './client-format.js';
import { printable } from '../kernel/printable.js';
import type { JsonOption, Listed } from './client.js';
import { connect, withJson } from './client.js';
import type { CliIo } from './io.js';
import { asJson, note, print, tableWithin, terminalWidth } from './io.js';

interface ObservedOption extends JsonOption {
  readonly rule?: string;
  readonly type?: string;
  readonly since?: string;
  readonly limit: string;
  readonly wide?: true;
}

/** `stopgap rules observed`: asks a running server. */
export function observedCommand(rules: Command, io: CliIo): void {
  withJson(rules.command('observed').description('whom rules would have met that only observe'))
    .option('--rule <id>', 'those of one rule')
    .option('--type <types>', `any of ${SUBJECT_TYPES.join(',')}`)
    .option('--since <time>', 'from then on, in ISO 8601; UTC unless it says otherwise')
    .option('--limit <number>', 'at most so many, up to 500', '50')
    .option('--wide', 'say what in full, however wide the terminal is')
    .action(async ({ rule, type, since, limit, wide, json, ...options }: ObservedOption) => {
      const client = await connect(io, options);
      const listed = await client.get<Listed<ObservedJson>>('rules/observed', { rule, type, since, limit });
      if (json === true) return print(io, asJson(listed));
      const width = wide === true ? Infinity : terminalWidth(io);
      if (listed.items.length === 0) note(io, 'no rule that only observes has tripped');
      else print(io, tableWithin(observedRows(listed.items, io.clock.now()), width));
      if (listed.next !== null) note(io, 'there are more: raise --limit, or narrow the search');
    });
}

function observedRows(items: readonly ObservedJson[], now: Instant): readonly (readonly string[])[] {
  return [
    ['WHEN', 'SUBJECT', 'RULE', 'ASKS FOR', 'WHAT'],
    ...items.map(({ at, subject, rule, action, evidence }) => [
      relative(at, now),
      `${subject.type} ${printable(subject.value)}`,
      rule,
      action,
      printable(numbersOf(subject, evidence)),
    ]),
  ];
}
