import { isDeepStrictEqual } from 'node:util';
import type { Command } from 'commander';
import { DIFFERENCES } from '../api/words.js';
import { ConfigError } from '../config.js';
import { geoDataOf } from '../config/schema.js';
import { actorName } from '../kernel/actor.js';
import { StopgapError } from '../kernel/errors.js';
import { printable } from '../kernel/printable.js';
import type { Instant } from '../kernel/time.js';
import { numbersOf } from '../kernel/why.js';
import { DEFAULT_RULES } from '../rules/defaults.js';
import { forgeable, idle, withoutGeoData } from '../rules/explain.js';
import type { RuleSet } from '../rules/model.js';
import { InvalidRules, parseRules } from '../rules/parse.js';
import { SUBJECT_TYPES } from '../sending/subjects.js';
import { relative } from './client-format.js';
import type { ClientOption, JsonOption, Schemas } from './client.js';
import { atVersion, connect, withClient, withJson } from './client.js';
import type { CliIo } from './io.js';
import {
  agreed,
  asJson,
  counted,
  note,
  noteMore,
  print,
  printSource,
  readNamed,
  table,
  tableWithin,
  terminalWidth,
  warn,
  done,
} from './io.js';
import type { ConfigOption } from './options.js';
import { fitCommand } from './rules-fit.js';
import { configForFiles, withConfig, wordsOption } from './options.js';

/** `stopgap rules check|show|defaults|apply|observed|shadow|precision|fit`. */
export function rulesVerb(program: Command, io: CliIo): void {
  const rules = program.command('rules').description('when a volume is abnormal');

  withConfig(
    rules
      .command('check <file>')
      .description('check a rules file; needs no server')
      .option('--json', 'as JSON'),
  ).action(async (file: string, options: ConfigOption & { readonly json?: true }) => {
    const set = parseRules(readNamed(io, file, 'name a rules file'), file);
    const exempt = set.exempt.length === 0 ? '' : `, ${counted(set.exempt.length, 'exemption')}`;
    const text = `${file}: valid, ${counted(set.rules.length, 'rule')}${exempt}, mode ${set.mode}`;
    const warnings = [
      ...forgeable(set),
      ...idle(set, io.clock.now()),
      ...(await warningsHere(io, options, set)),
    ];
    done(io, options, { valid: true, rules: set.rules.length, mode: set.mode, warnings }, text);
    if (options.json !== true) warn(io, warnings);
  });

  withClient(rules.command('show').description('print the rules in force'))
    .option('--json', 'as JSON, parsed')
    .action(async (options: ClientOption & { json?: true }) => {
      const inForce = await (await connect(io, options)).get('/api/v1/rules');
      if (options.json === true) print(io, asJson(inForce));
      else {
        note(io, `version ${inForce.version}, from ${inForce.origin}`);
        warn(io, inForce.warnings);
        printSource(io, inForce.source.trimEnd());
      }
    });

  rules
    .command('defaults')
    .description('print the built-in rules; needs no server')
    .option('--json', 'as JSON, parsed')
    .action(({ json }: { readonly json?: true }) => {
      if (json === true) print(io, asJson(parseRules(DEFAULT_RULES)));
      else printSource(io, DEFAULT_RULES.trimEnd());
    });

  withYes(rules.command('apply <file>').description('put a rules file in force')).action(
    async (file: string, options: YesOption) => {
      const source = readNamed(io, file, 'name a rules file');
      // Parsed here first, so that errors name the file and its lines.
      const wanted = parseRules(source, file);
      const client = await connect(io, options);
      const before = await client.get('/api/v1/rules');
      await agreedTo(io, before, wanted, options);
      const inForce = await client.ask('put', '/api/v1/rules', {
        params: { header: atVersion(before.version) },
        body: { source },
      });
      const text = `rules version ${inForce.version} in force: ${counted(inForce.rules.length, 'rule')}, mode ${inForce.mode}`;
      done(io, options, inForce, text);
      if (options.json !== true) warn(io, inForce.warnings);
    },
  );

  observedCommand(rules, io);
  shadowCommands(rules, io);
  precisionCommand(rules, io);
  fitCommand(rules, io);
}

const UNASKED =
  '--yes puts these rules in force all the same; a file with "extends: defaults" keeps the built-in ones';

interface YesOption extends JsonOption {
  readonly yes?: true;
}

const withYes = (command: Command): Command =>
  withJson(command).option('--yes', 'do not ask, though rules change or go');

/** Says how the rules that are wanted differ from those in force, and asks for consent if they take something away. */
async function agreedTo(
  io: CliIo,
  before: Schemas['Rules'],
  wanted: RuleSet | string,
  { yes }: YesOption,
): Promise<void> {
  const changes = typeof wanted === 'string' ? [wanted] : differences(before, wanted);
  for (const line of changes) note(io, line);
  if (changes.length > 0 && yes !== true) await agreed(io, 'Put these rules in force?', UNASKED);
}

/**
 * Rules as their recorded text says, or why nobody can read that: an earlier version may have taken it, or spoilt it when
 * somebody was forgotten. That is no reason against other rules.
 */
function readRecorded(source: string, name: string): RuleSet | string {
  try {
    return parseRules(source, name);
  } catch (thrown) {
    if (!(thrown instanceof InvalidRules)) throw thrown;
    return `the text of ${name} cannot be read, so not all that changes is known: ${thrown.message.split('\n')[0]}`;
  }
}

/** What would change, a line each. Added rules are not listed: the count tells of them. */
function differences(before: Schemas['Rules'], wanted: RuleSet): readonly string[] {
  const ids = new Map(wanted.rules.map((rule) => [rule.id, rule]));
  const named = (verb: string, list: readonly { readonly id: string }[]): readonly string[] =>
    list.length === 0
      ? []
      : [`${verb} ${counted(list.length, 'rule')} of those in force: ${list.map(({ id }) => id).join(', ')}`];
  const removed = before.rules.filter(({ id }) => !ids.has(id));
  const now = readRecorded(before.source, 'the rules in force');
  if (typeof now === 'string') return [...named('removes', removed), now];
  const changed = now.rules.filter((rule) => ids.has(rule.id) && !isDeepStrictEqual(rule, ids.get(rule.id)));
  const rest = (['mode', 'maxAutomaticBlocks', 'learning', 'exempt'] as const).filter(
    (key) => !isDeepStrictEqual(now[key], wanted[key]),
  );
  return [
    ...named('removes', removed),
    ...named('changes', changed),
    ...(rest.length === 0 ? [] : [`changes ${rest.join(', ')}`]),
  ];
}

/** Warns of rules that ask where clients are, if the configuration here names no databases. */
async function warningsHere(io: CliIo, options: ConfigOption, set: RuleSet): Promise<readonly string[]> {
  if (withoutGeoData(set, { country: false, asn: false }).length === 0) return [];
  try {
    const { config } = await configForFiles(io, options);
    return withoutGeoData(set, geoDataOf(config)).map(({ sentence }) => sentence);
  } catch (thrown) {
    if (!(thrown instanceof ConfigError)) throw thrown;
    const [problem] = thrown.problems;
    return [`rules ask where clients are, and whether geoip is configured is not known: ${problem}`];
  }
}

interface DifferencesOption extends JsonOption {
  readonly kind?: string;
  readonly rule?: string;
  readonly limit: string;
}

/** `stopgap rules shadow show|apply|differences|promote|remove`: asks a running server. */
function shadowCommands(rules: Command, io: CliIo): void {
  const shadow = rules.command('shadow').description('rules that run beside those in force, without acting');

  withJson(shadow.command('show').description('how the shadow rules compare with those in force'))
    .option('--source', 'print the rules themselves')
    .action(async (options: JsonOption & { source?: true }) => {
      const client = await connect(io, options);
      const standing = await inShadow(client.get('/api/v1/rules/shadow'));
      if (options.json === true) return print(io, asJson(standing));
      note(io, headOf(standing));
      warn(io, standing.warnings);
      print(io, options.source === true ? standing.source.trimEnd() : table(comparedRows(standing)));
    });

  withJson(shadow.command('apply <file>').description('run a rules file in the shadow')).action(
    async (file: string, options: JsonOption) => {
      const source = readNamed(io, file, 'name a rules file');
      // Parsed here first, so that errors name the file and its lines.
      parseRules(source, file);
      const client = await connect(io, options);
      const standing = await client.ask('put', '/api/v1/rules/shadow', { body: { source } });
      done(io, options, standing, headOf(standing));
      if (options.json !== true) warn(io, standing.warnings);
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
        client.get('/api/v1/rules/shadow/differences', { params: { query: { kind, rule, limit } } }),
      );
      if (options.json === true) print(io, asJson(listed));
      else if (listed.items.length === 0) note(io, 'no differences');
      else print(io, table(differenceRows(listed.items, io.clock.now())));
      if (listed.next !== null) noteMore(io, limit);
    });

  withYes(shadow.command('promote').description('put the shadow rules in force')).action(
    async (options: YesOption) => {
      const client = await connect(io, options);
      const standing = await inShadow(client.get('/api/v1/rules/shadow'));
      const before = await client.get('/api/v1/rules');
      await agreedTo(io, before, readRecorded(standing.source, 'the shadow rules'), options);
      // What was agreed to is of these two sets.
      const params = { header: atVersion(`${standing.version}.${before.version}`) };
      const inForce = await inShadow(client.ask('post', '/api/v1/rules/shadow/promote', { params }));
      const text = `rules version ${inForce.version} in force, from the shadow, mode ${inForce.mode}`;
      done(io, options, inForce, text);
      if (options.json !== true) warn(io, inForce.warnings);
    },
  );

  withJson(shadow.command('remove').description('stop running rules in the shadow')).action(
    async (options: JsonOption) => {
      const client = await connect(io, options);
      await inShadow(client.ask('delete', '/api/v1/rules/shadow'));
      done(io, options, { removed: true }, 'no rules run in the shadow');
    },
  );
}

/** If no shadow rules run, the server's error names a request. This one names the verb. */
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
function precisionCommand(rules: Command, io: CliIo): void {
  withJson(rules.command('precision').description('how often each rule was right')).action(
    async (options: JsonOption) => {
      const listed = await (await connect(io, options)).get('/api/v1/rules/precision');
      if (options.json === true) print(io, asJson(listed));
      else print(io, table(precisionRows(listed.items)));
    },
  );
}

function headOf({ version, by, since, inForce, open }: Schemas['ShadowRules']): string {
  const head = `shadow rules ${version} by ${printable(actorName(by))} since ${since}, beside version ${inForce} in force`;
  if (open === 0) return head;
  const cases = open === 1 ? '1 case is open: it is' : `${open} cases are open: they are`;
  return `${head}\n${cases} counted once settled, within a day; stopgap rules shadow differences lists what differs so far`;
}

function comparedRows({ byRule, compared, open }: Schemas['ShadowRules']): readonly (readonly string[])[] {
  const rows = [...byRule, { rule: 'all', ...compared, open }];
  return [
    ['RULE', 'BOTH', 'ONLY SHADOW', 'ONLY IN FORCE', 'STRONGER', 'WEAKER', 'OPEN'],
    ...rows.map((row) => [
      row.rule,
      ...[row.both, row.shadowOnly, row.liveOnly, row.stronger, row.weaker, row.open].map(String),
    ]),
  ];
}

function differenceRows(
  items: readonly Schemas['ShadowDifference'][],
  now: number,
): readonly (readonly string[])[] {
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

function precisionRows(items: readonly Schemas['RulePrecision'][]): readonly (readonly string[])[] {
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

interface ObservedOption extends JsonOption {
  readonly rule?: string;
  readonly type?: string;
  readonly since?: string;
  readonly limit: string;
  readonly wide?: true;
}

/** `stopgap rules observed`: asks a running server. */
function observedCommand(rules: Command, io: CliIo): void {
  withJson(rules.command('observed').description('whom rules would have met that only observe'))
    .option('--rule <id>', 'those of one rule')
    .addOption(wordsOption('--type <types>', 'with commas', SUBJECT_TYPES))
    .option('--since <time>', 'from then on, in ISO 8601; UTC unless it says otherwise')
    .option('--limit <number>', 'at most so many, up to 500', '50')
    .option('--wide', 'say what in full, however wide the terminal is')
    .action(async ({ rule, type, since, limit, wide, json, ...options }: ObservedOption) => {
      const client = await connect(io, options);
      const listed = await client.get('/api/v1/rules/observed', {
        params: { query: { rule, type, since, limit } },
      });
      const width = wide === true ? Infinity : terminalWidth(io);
      if (json === true) print(io, asJson(listed));
      else if (listed.items.length === 0) note(io, 'no rule that only observes has tripped');
      else print(io, tableWithin(observedRows(listed.items, io.clock.now()), width));
      if (listed.next !== null) noteMore(io, limit);
    });
}

function observedRows(items: readonly Schemas['Observed'][], now: Instant): readonly (readonly string[])[] {
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
