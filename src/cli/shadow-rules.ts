import type { Command } from 'commander';
import type { DifferenceJson, PrecisionJson, ShadowJson } from '../api/shadow-shapes.js';
import { DIFFERENCES } from '../api/shadow-shapes.js';
import type { RulesJson } from '../api/shapes.js';
import { StopgapError } from '../kernel/errors.js';
import { parseRules } from '../rules/parse.js';
import { relative } from './client-format.js';
import { printable } from '../kernel/printable.js';
import type { ClientOption, JsonOption, Listed } from './client.js';
import { connect, withClient, withJson } from './client.js';
import type { CliIo } from './io.js';
import { asJson, note, print, table, warn } from './io.js';
import { readNamed } from './named-file.js';

interface DifferencesOption extends JsonOption {
  readonly kind?: string;
  readonly rule?: string;
  readonly limit: string;
}

/** `stopgap rules shadow show|apply|differences|promote|remove`: asks a running server. */
export function shadowCommands(rules: Command, io: CliIo): void {
  const shadow = rules.command('shadow').description('rules that run beside those in force, without acting');

  withJson(shadow.command('show').description('how the shadow rules compare with those in force'))
    .option('--source', 'print the rules themselves')
    .action(async (options: JsonOption & { source?: true }) => {
      const client = await connect(io, options);
      const standing = await inShadow(client.get<ShadowJson>('rules/shadow'));
      if (options.json === true) return print(io, asJson(standing));
      note(io, headOf(standing));
      warn(io, standing.warnings);
      print(io, options.source === true ? standing.source.trimEnd() : table(comparedRows(standing)));
    });

  withClient(shadow.command('apply <file>').description('run a rules file in the shadow')).action(
    async (file: string, options: ClientOption) => {
      const source = readNamed(io, file, 'name a rules file');
      // Here already, so that faults name the file and its lines.
      parseRules(source, file);
      const client = await connect(io, options);
      const standing = await client.send<ShadowJson>('PUT', 'rules/shadow', { source });
      note(io, headOf(standing));
      warn(io, standing.warnings);
    },
  );

  withJson(shadow.command('differences').description('what the shadow rules would have done otherwise'))
    .option('--kind <kinds>', `any of ${DIFFERENCES.join(',')}`)
    .option('--rule <id>', 'those of one rule, of either set')
    .option('--limit <number>', 'at most so many, up to 500', '50')
    .action(async (options: DifferencesOption) => {
      const { kind, rule, limit } = options;
      const client = await connect(io, options);
      const listed = await inShadow(
        client.get<Listed<DifferenceJson>>('rules/shadow/differences', { kind, rule, limit }),
      );
      if (options.json === true) return print(io, asJson(listed));
      if (listed.items.length === 0) note(io, 'no differences');
      else print(io, table(differenceRows(listed.items, io.clock.now())));
      if (listed.next !== null) note(io, 'there are more: raise --limit, or narrow the search');
    });

  withClient(shadow.command('promote').description('put the shadow rules in force')).action(
    async (options: ClientOption) => {
      const client = await connect(io, options);
      const inForce = await inShadow(client.send<RulesJson>('POST', 'rules/shadow/promote', {}));
      note(io, `rules version ${inForce.version} in force, from the shadow, mode ${inForce.mode}`);
      warn(io, inForce.warnings);
    },
  );

  withClient(shadow.command('remove').description('stop running rules in the shadow')).action(
    async (options: ClientOption) => {
      const client = await connect(io, options);
      await inShadow(client.send('DELETE', 'rules/shadow', undefined));
      note(io, 'no rules run in the shadow');
    },
  );
}

/** Where nothing runs in the shadow the server names the request that loads some; here it is a verb. */
async function inShadow<Body>(asked: Promise<Body>): Promise<Body> {
  try {
    return await asked;
  } catch (thrown) {
    if (!(thrown instanceof StopgapError) || !thrown.message.startsWith(NOTHING_THERE)) throw thrown;
    throw new StopgapError(thrown.code, `${NOTHING_THERE}: stopgap rules shadow apply FILE loads some`);
  }
}

const NOTHING_THERE = 'no rules run in the shadow';

/** `stopgap rules precision`: asks a running server. */
export function precisionCommand(rules: Command, io: CliIo): void {
  withJson(rules.command('precision').description('how often each rule was right')).action(
    async (options: JsonOption) => {
      const listed = await (await connect(io, options)).get<Listed<PrecisionJson>>('rules/precision');
      if (options.json === true) print(io, asJson(listed));
      else print(io, table(precisionRows(listed.items)));
    },
  );
}

function headOf({ version, by, since, inForce, open }: ShadowJson): string {
  const head = `shadow rules ${version} by ${by} since ${since}, beside version ${inForce} in force`;
  if (open === 0) return head;
  const cases = open === 1 ? '1 case is open: it is' : `${open} cases are open: they are`;
  return `${head}\n${cases} counted once settled, within a day; stopgap rules shadow differences lists what differs so far`;
}

function comparedRows({ byRule, compared, open }: ShadowJson): readonly (readonly string[])[] {
  const rows = [...byRule, { rule: 'all', ...compared, open }];
  return [
    ['RULE', 'BOTH', 'ONLY SHADOW', 'ONLY IN FORCE', 'STRONGER', 'WEAKER', 'OPEN'],
    ...rows.map((row) => [
      row.rule,
      ...[row.both, row.shadowOnly, row.liveOnly, row.stronger, row.weaker, row.open].map(String),
    ]),
  ];
}

function differenceRows(items: readonly DifferenceJson[], now: number): readonly (readonly string[])[] {
  return [
    ['WHEN', 'KIND', 'SETTLED', 'WHAT'],
    ...items.map(({ live, shadow, kind, settled, sentence, falsePositive }) => [
      relative((live ?? shadow!).at, now),
      kind,
      settled ? 'yes' : 'no',
      `${printable(sentence)}${falsePositive ? ' It was taken back as a false positive.' : ''}`,
    ]),
  ];
}

function precisionRows(items: readonly PrecisionJson[]): readonly (readonly string[])[] {
  return [
    ['RULE', 'PRECISION', 'CONFIRMED', 'FALSE POSITIVES', 'DISMISSED', 'LAPSED', 'OPEN', 'IN FORCE'],
    ...items.map((item) => [
      item.rule,
      item.precision === null ? '-' : `${Math.floor(item.precision * 100)}%`,
      ...[item.confirmed, item.falsePositives, item.dismissed, item.lapsed, item.open].map(String),
      item.inForce ? 'yes' : 'no',
    ]),
  ];
}
