import type { Command } from 'commander';
import { Option } from 'commander';
import type { BlockJson } from '../api/shapes.js';
import { BLOCK_STATES } from '../api/shapes.js';
import { REFUSALS } from '../blocks/events.js';
import { InvalidInput, StopgapError } from '../kernel/errors.js';
import { printable } from '../kernel/printable.js';
import { DIRECTIONS, SUBJECT_TYPES } from '../sending/subjects.js';
import type { ApiClient, ClientOption } from './client.js';
import { connect, withClient } from './client.js';
import { blockDetails, blockRows, ending } from './client-format.js';
import type { CliIo } from './io.js';
import { asJson, note, print, tableWithin, terminalWidth } from './io.js';

interface Listed {
  readonly items: readonly BlockJson[];
  readonly next: string | null;
}

interface JsonOption extends ClientOption {
  readonly json?: true;
}

interface ListOption extends JsonOption {
  readonly state?: string;
  readonly type?: string;
  readonly q?: string;
  readonly limit: string;
  readonly wide?: true;
}

interface AddOption extends JsonOption {
  readonly for?: string;
  readonly until?: string;
  readonly indefinite?: true;
  readonly direction: string;
  readonly refusal: string;
  readonly description?: string;
}

interface JudgeOption extends JsonOption {
  readonly falsePositive?: boolean;
  readonly note?: string;
}

const FALSE_POSITIVE = 'the rule was wrong: what was sent is usual';

/** `stopgap block list|show|add|release|approve|dismiss`: asks a running server. */
export function blockVerb(program: Command, io: CliIo): void {
  const block = program
    .command('block')
    .description('what is blocked or proposed to be; a block is named by its id, or by its subject');
  listCommand(block, io);
  addCommand(block, io);

  withJson(block.command('show <block>').description('one block with its evidence and history')).action(
    async (id: string, options: JsonOption) => show(io, options, await find(await connect(io, options), id)),
  );
  withJson(block.command('release <block>').description('end a block now'))
    .option('--false-positive', FALSE_POSITIVE)
    .option('--note <text>', 'why')
    .action(async (id: string, options: JudgeOption) => act(io, options, id, 'release', judging(options)));
  withJson(block.command('approve <block>').description('put a proposal in force'))
    .option('--note <text>', 'why')
    .action(async (id: string, options: JsonOption & { note?: string }) =>
      act(io, options, id, 'approve', noted(options.note)),
    );
  withJson(block.command('dismiss <block>').description('dismiss a proposal'))
    .option('--false-positive', FALSE_POSITIVE)
    .option('--note <text>', 'why')
    .action(async (id: string, options: JudgeOption) => act(io, options, id, 'dismiss', judging(options)));
}

function listCommand(block: Command, io: CliIo): void {
  withJson(block.command('list').description('list blocks, newest first'))
    .option('--state <states>', `any of ${BLOCK_STATES.join(',')}, or all (default: active,proposed)`)
    .option('--type <types>', `any of ${SUBJECT_TYPES.join(',')}`)
    .option('--q <text>', 'text within the subject or the description')
    .option('--limit <number>', 'at most so many, up to 500', '50')
    .option('--wide', 'say why in full, however wide the terminal is')
    .action(async (options: ListOption) => {
      const { state = 'active,proposed', type, q, limit } = options;
      const client = await connect(io, options);
      const query = { state: state === 'all' ? undefined : state, type, q, limit };
      const { items, next } = await client.get<Listed>('blocks', query);
      if (options.json === true) print(io, asJson({ items, next }));
      else if (items.length === 0)
        note(
          io,
          state === 'all'
            ? 'no blocks'
            : `no blocks that are ${state.split(',').join(' or ')}; --state all lists every one`,
        );
      else {
        const width = options.wide === true ? Infinity : terminalWidth(io);
        print(io, tableWithin(blockRows(items, io.clock.now()), width));
      }
      if (next !== null && options.json !== true)
        note(io, 'there are more: raise --limit, or narrow the search');
    });
}

function addCommand(block: Command, io: CliIo): void {
  const add = withJson(
    block.command('add <type> <value>').description(`block one of ${SUBJECT_TYPES.join(', ')}`),
  );
  add
    .addOption(
      new Option('--for <duration>', 'how long, such as 1h or 2d').conflicts(['until', 'indefinite']),
    )
    .addOption(
      new Option('--until <time>', 'until when, in ISO 8601; UTC unless it says otherwise').conflicts([
        'for',
        'indefinite',
      ]),
    )
    .addOption(new Option('--indefinite', 'until it is released').conflicts(['for', 'until']))
    .addOption(new Option('--direction <direction>').choices([...DIRECTIONS]).default('outbound'))
    .addOption(new Option('--refusal <refusal>', 'how it refuses').choices([...REFUSALS]).default('soft'))
    .option('--description <text>', 'why')
    .action(async (type: string, value: string, options: AddOption) => {
      const { for: duration, until, indefinite, direction, refusal, description } = options;
      if (duration === undefined && until === undefined && indefinite === undefined) {
        add.error('error: say how long: --for 1h, --until TIME or --indefinite', { exitCode: 2 });
      }
      const client = await connect(io, options);
      const made = await client.send<BlockJson>('POST', 'blocks', {
        subject: { type, value },
        direction,
        refusal,
        duration,
        until,
        indefinite,
        description,
      });
      show(io, options, made);
    });
}

function withJson(command: Command): Command {
  return withClient(command).option('--json', 'as JSON');
}

function show(io: CliIo, options: JsonOption, block: BlockJson): void {
  print(io, options.json === true ? asJson(block) : blockDetails(block, io.clock.now()));
}

async function act(
  io: CliIo,
  options: JsonOption,
  id: string,
  action: 'approve' | 'dismiss' | 'release',
  body: Readonly<Record<string, unknown>>,
): Promise<void> {
  const client = await connect(io, options);
  const { id: whole } = await find(client, id, action === 'release' ? 'active' : 'proposed');
  const block = await client.send<BlockJson>('POST', `blocks/${whole}/${action}`, body);
  if (options.json === true) print(io, asJson(block));
  else {
    const { type, value } = block.subject;
    const ends = block.state === 'active' ? `, ends ${ending(block, io.clock.now())}` : '';
    note(io, `${type} ${printable(value)} is ${block.state}${ends}`);
  }
}

/**
 * The block that a person means: by how its id begins, or by its subject, of whose blocks only those are looked at that
 * the action can be for.
 *
 * @throws StopgapError where there is none; InvalidInput where there is more than one
 */
async function find(client: ApiClient, named: string, state?: 'active' | 'proposed'): Promise<BlockJson> {
  if (/^[0-9a-f-]{1,36}$/i.test(named)) {
    const { items } = await client.get<Listed>('blocks', { id: named.toLowerCase(), limit: '5' });
    if (items.length > 0) return onlyOne(items, `several ids begin with ${named}`, 'give more of it');
  }
  const { items } = await client.get<Listed>('blocks', { value: named, state, limit: '5' });
  if (items.length === 0) throw await noneOf(client, named, state);
  // Of what has ended, the newest is meant.
  if (state === undefined && new Set(items.map(({ subject }) => subject.type)).size === 1) return items[0]!;
  return onlyOne(items, `several blocks are of ${named}`, 'give an id');
}

/** Where the subject has a proposal in place of a block, or the other way round, what to do is another command. */
async function noneOf(
  client: ApiClient,
  named: string,
  state: 'active' | 'proposed' | undefined,
): Promise<StopgapError> {
  if (state === undefined)
    return new StopgapError('not-found', `there is no block ${named}: stopgap block list shows them`);
  const other = state === 'active' ? 'proposed' : 'active';
  const [found] = (await client.get<Listed>('blocks', { value: named, state: other, limit: '1' })).items;
  const instead =
    found === undefined
      ? 'stopgap block list shows them'
      : `one is ${other}: stopgap block ${other === 'active' ? 'release' : 'dismiss'} ${found.id}`;
  return new StopgapError('not-found', `there is no block ${named} that is ${state}: ${instead}`);
}

function onlyOne(items: readonly BlockJson[], why: string, remedy: string): BlockJson {
  const [only, ...others] = items;
  if (others.length === 0) return only!;
  const ids = items.map(({ id, subject }) => `${id} of ${subject.type} ${subject.value}`).join(', ');
  throw new InvalidInput('id', `${why} (${printable(ids)}): ${remedy}`);
}

function judging({ falsePositive = false, note: text }: JudgeOption): Readonly<Record<string, unknown>> {
  return { falsePositive, ...noted(text) };
}

function noted(text: string | undefined): { readonly note?: string } {
  return text === undefined ? {} : { note: text };
}
