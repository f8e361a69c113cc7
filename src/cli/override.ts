import type { Command } from 'commander';
import { InvalidArgumentError, Option } from 'commander';
import { OVERRIDE_TYPES } from '../overrides/model.js';
import type { Limit } from '../overrides/model.js';
import type { JsonOption, Schemas } from './client.js';
import { atVersion, connect, withJson } from './client.js';
import { relative } from './client-format.js';
import { actorName } from '../kernel/actor.js';
import { printable } from '../kernel/printable.js';
import type { Milliseconds } from '../kernel/time.js';
import { DAY, formatInstant, LONGEST_SPAN, parseDuration } from '../kernel/time.js';
import type { CliIo } from './io.js';
import { wordsOption } from './options.js';
import { asJson, done, note, noteMore, print, readNamed, table, warn } from './io.js';

interface ListOption extends JsonOption {
  readonly type?: string;
  readonly prefix?: string;
  readonly limit: string;
}

type Detail = Schemas['OverrideDetail'];
type Limits = Readonly<Record<string, Limit>>;

interface SetOption extends JsonOption {
  readonly limit?: Limits;
  readonly factor?: number;
  readonly totalLimit?: Limits;
  readonly totalFactor?: number;
  readonly for?: Milliseconds;
  readonly until?: string;
  readonly plan?: string;
  readonly reason?: string;
  readonly replace?: true;
}

/** `stopgap override list|show|set|remove|check`. */
export function overrideVerb(program: Command, io: CliIo): void {
  const override = program.command('override').description('limits of single accounts and domains');
  listCommand(override, io);
  setCommand(override, io);

  withJson(
    override.command('show <type> <value>').description('what is set, what holds, and the history'),
  ).action(async (type: string, value: string, options: JsonOption) => {
    const detail = await (await connect(io, options)).get(ONE, { params: of(type, value) });
    warnOfUnused(io, detail);
    print(io, options.json === true ? asJson(detail) : details(detail, io.clock.now()));
  });

  withJson(override.command('remove <type> <value>').description('remove what the API has set'))
    .option('--note <text>', 'why')
    .action(async (type: string, value: string, options: JsonOption & { note?: string }) => {
      const body = options.note === undefined ? {} : { note: options.note };
      await (await connect(io, options)).ask('delete', ONE, { params: of(type, value), body });
      done(io, options, { removed: { type, value } }, `the override of ${type} ${value} is removed`);
    });

  override
    .command('check <file>')
    .description('check an overrides file; needs no server')
    .option('--json', 'as JSON')
    .action(async (file: string, options: { readonly json?: true }) => {
      const { parseOverrides } = await import('../accounts/overrides.js');
      const entries = parseOverrides(readNamed(io, file, 'name an overrides file'), file);
      const text = `${file}: valid, ${entries.length} ${entries.length === 1 ? 'entry' : 'entries'}`;
      done(io, options, { valid: true, entries: entries.length }, text);
    });
}

function listCommand(override: Command, io: CliIo): void {
  withJson(override.command('list').description('list who has overrides, accounts before domains'))
    .addOption(wordsOption('--type <types>', 'with commas', OVERRIDE_TYPES))
    .option('--prefix <text>', 'how the account or domain begins')
    .option('--limit <number>', 'at most so many, up to 500', '50')
    .action(async (options: ListOption) => {
      const { type, prefix, limit } = options;
      const client = await connect(io, options);
      const found = await client.get('/api/v1/overrides', { params: { query: { type, prefix, limit } } });
      if (options.json === true) print(io, asJson(found));
      else if (found.items.length === 0) note(io, 'no overrides');
      else {
        const head = ['SUBJECT', 'LIMITS', 'PLAN', 'UNTIL', 'BY', 'REASON'];
        print(io, table([head, ...found.items.flatMap((item) => rows(item, io.clock.now()))]));
      }
      if (found.next !== null) noteMore(io, limit);
    });
}

function setCommand(override: Command, io: CliIo): void {
  const set = override
    .command('set <type> <value>')
    .description(
      `set the override of an ${OVERRIDE_TYPES.join(' or a ')}; what it does not name stays as the API had set it`,
    );
  withJson(set)
    .option('--limit <rule=limit>', "a limit in place of a rule's, or off; may stand several times", limitOf)
    .option('--factor <number>', 'multiplies every other limit', Number)
    .option('--total-limit <rule=limit>', 'of a domain: for a rule per domain', limitOf)
    .option('--total-factor <number>', 'of a domain: for its rules per domain', Number)
    .addOption(
      new Option('--for <duration>', 'how long from now, such as 1h or 30d')
        .argParser(durationOf)
        .conflicts('until'),
    )
    .option('--until <time>', 'until when, in ISO 8601 (UTC unless it says otherwise), or never')
    .option('--replace', 'take away what is set and not named here')
    .option('--plan <text>', 'what was bought')
    .option('--reason <text>', 'why')
    .action(async (type: string, value: string, options: SetOption) => {
      const client = await connect(io, options);
      const { api, version } = await client.get(ONE, { params: of(type, value) });
      const until = options.for === undefined ? options.until : formatInstant(io.clock.now() + options.for);
      const before = options.replace === true || api?.inForce === false ? null : api;
      const body = merged(before, { ...options, until });
      const params = { ...of(type, value), header: atVersion(version) };
      const detail = await client.ask('put', ONE, { params, body });
      warnOfUnused(io, detail);
      print(io, options.json === true ? asJson(detail) : details(detail, io.clock.now()));
    });
}

function warnOfUnused(io: CliIo, { unused }: Detail): void {
  warn(
    io,
    unused.map(({ field, message }) => `${field}: ${message}`),
  );
}

export function durationOf(text: string): Milliseconds {
  const span = parseDuration(text);
  if (span === undefined)
    throw new InvalidArgumentError('It must be a duration such as 90s, 10m, 24h or 35d.');
  if (span > LONGEST_SPAN) throw new InvalidArgumentError(`It must be at most ${LONGEST_SPAN / DAY}d.`);
  return span;
}

/** The new override: the one before, with the given values over it. */
function merged(before: Layer | null, options: SetOption) {
  const { limit, factor, totalLimit, totalFactor, until, plan, reason } = options;
  const total = {
    limits: { ...before?.total?.limits, ...totalLimit },
    factor: totalFactor ?? before?.total?.factor ?? undefined,
  };
  const hasTotal = total.factor !== undefined || Object.keys(total.limits).length > 0;
  return {
    limits: { ...before?.limits, ...limit },
    factor: factor ?? before?.factor ?? undefined,
    total: hasTotal ? total : undefined,
    until: until === 'never' ? null : (until ?? before?.until ?? null),
    plan: plan ?? before?.plan ?? undefined,
    reason: reason ?? before?.reason ?? undefined,
  };
}

const ONE = '/api/v1/overrides/{type}/{value}';
const of = (type: string, value: string) => ({ path: { type, value } });

/** `burst=500` or `day=off`, added to those before it. What is no limit is the server's to refuse. */
function limitOf(text: string, before: Limits = {}): Limits {
  const [, rule, limit] = /^([^=]+)=(off|\d{1,15})$/.exec(text) ?? [];
  if (rule === undefined) throw new InvalidArgumentError('write it as burst=500, or day=off.');
  return { ...before, [rule]: limit === 'off' ? 'off' : Number(limit) };
}

type Layer = Schemas['OverrideLayer'];

function rows(
  { subject, api, file, unused }: Pick<Detail, 'subject' | 'api' | 'file' | 'unused'>,
  now: number,
): string[][] {
  const vain = new Set(unused.map(({ field }) => field));
  return [api, file]
    .filter((layer) => layer !== null)
    .map((layer) => [
      `${subject.type} ${printable(subject.value)}`,
      words(layer, vain),
      printable(layer.plan ?? '-'),
      layer.until === null ? '-' : `${relative(layer.until, now)}${layer.inForce ? '' : ' (over)'}`,
      layer === file ? 'file' : printable(actorName(layer.by)),
      noted(layer.reason ?? undefined),
    ]);
}

/**
 * `burst=500 day=off old=1 (unused) x2, in all domain=9000`
 *
 * @param vain the fields that no rule in force looks at
 */
function words(
  { total, ...each }: Pick<Layer, 'limits' | 'factor' | 'total'>,
  vain: ReadonlySet<string> = NONE,
): string {
  const of = ({ limits, factor }: Pick<Layer, 'limits' | 'factor'>, path: string): string =>
    [
      ...Object.entries(limits).map(
        ([rule, limit]) => `${rule}=${limit}${vain.has(`${path}.${rule}`) ? ' (unused)' : ''}`,
      ),
      ...(factor === null ? [] : [`x${factor}`]),
    ].join(' ');
  return [of(each, 'limits'), total === null ? '' : `in all ${of(total, 'total.limits')}`]
    .filter((text) => text !== '')
    .join(', ');
}

const NONE: ReadonlySet<string> = new Set();

function details(detail: Detail, now: number): string {
  const { subject, effective, history } = detail;
  const set = rows(detail, now).map(([, ...cells]) => ['  ', ...cells]);
  const holds = effective.map(({ rule, per, sentence }) => [
    `  ${rule}`,
    subject.type === 'account' ? '' : per === 'domain' ? 'in all' : 'each account',
    printable(sentence),
  ]);
  const past = history.map(({ type, origin, at, by, note: text, set: terms }) =>
    [
      `  ${at}  ${type}  ${origin}  ${printable(actorName(by))}`,
      terms === undefined ? '' : words(terms),
      noted(text),
    ]
      .filter((part) => part !== '')
      .join('  '),
  );
  return [
    `${subject.type} ${printable(subject.value)}`,
    set.length === 0 ? '  nothing is set' : table(set),
    ...(holds.length === 0 ? [] : ['holds', table(holds)]),
    ...(past.length === 0 ? [] : ['history', ...past]),
  ].join('\n');
}

function noted(text: string | undefined): string {
  return text === undefined ? '' : `"${printable(text)}"`;
}
