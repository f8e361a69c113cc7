import type { Command } from 'commander';
import { Option } from 'commander';
import type { BlockJson } from '../api/block-view.js';
import type { HeldJson } from '../api/held.js';
import type { ReportJson } from '../api/block-report.js';
import { BLOCK_STATES } from '../api/block-view.js';
import { HELD_ACTIONS, REFUSALS } from '../blocks/events.js';
import { InvalidInput, StopgapError } from '../kernel/errors.js';
import { printable } from '../kernel/printable.js';
import type { SubjectType } from '../sending/subjects.js';
import { BLOCK_SORTS } from '../../projections/blocks/block-segments.js';
import { parseInstant } from '../kernel/time.js';
import { DIRECTIONS, SUBJECT_TYPES, parseSubject } from '../sending/subjects.js';
import type { ApiClient, JsonOption, Listed } from './client.js';
import { connect, withJson } from './client.js';
import { blockDetails, blockRows, ending, heldState, heldText } from './client-format.js';
import { reportText } from './report-format.js';
import type { CliIo } from './io.js';
import type { SpanOption } from './options.js';
import { requireSpan, spanOf, withSpan, wordsArgument, wordsOption } from './options.js';
import { asJson, note, print, tableWithin, terminalWidth } from './io.js';

interface ListOption extends JsonOption {
  readonly state?: string;
  readonly type?: string;
  readonly q?: string;
  readonly rule?: string;
  readonly since?: string;
  readonly until?: string;
  readonly at?: string;
  readonly sort?: string;
  readonly limit: string;
  readonly wide?: true;
}

interface AddOption extends JsonOption, SpanOption {
  readonly direction: string;
  readonly refusal?: string;
  readonly description?: string;
}

interface JudgeOption extends JsonOption {
  readonly falsePositive?: boolean;
  readonly note?: string;
}

interface ReleaseOption extends JudgeOption {
  readonly held?: string;
}

interface HeldOption extends JsonOption {
  readonly release?: true;
  readonly delete?: true;
  readonly limit: string;
  readonly note?: string;
}

const WHOLE_ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const FALSE_POSITIVE = 'the rule was wrong: what was sent is usual';

/** `stopgap block list|show|report|add|edit|release|held|approve|dismiss`: asks a running server. */
export function blockVerb(program: Command, io: CliIo): void {
  const block = program
    .command('block')
    .description('what is blocked or proposed to be; a block is named by its id, or by its subject');
  listCommand(block, io);
  addCommand(block, io);
  editCommand(block, io);

  withJson(
    block.command('show <block> [value]').description('one block with its evidence and history'),
  ).action(async (block: string, value: string | undefined, options: JsonOption) =>
    showWithHeld(io, options, named(block, value)),
  );
  withJson(
    block
      .command('report <block> [value]')
      .description('what got through, what a block stopped, and what clients were told'),
  )
    .addOption(new Option('--text', 'as a letter that can be sent to the customer').conflicts('json'))
    .action(async (block: string, value: string | undefined, options: JsonOption & { text?: true }) =>
      report(io, options, named(block, value)),
    );
  withJson(block.command('release <block> [value]').description('end a block now'))
    .option('--false-positive', FALSE_POSITIVE)
    .addOption(
      new Option(
        '--held <what>',
        'what becomes of the mail that is held for it: release for a false positive, else keep',
      ).choices([...HELD_ACTIONS, 'keep']),
    )
    .option('--note <text>', 'why')
    .action(async (block: string, value: string | undefined, options: ReleaseOption) =>
      act(io, options, named(block, value), 'release', { ...judging(options), held: options.held }),
    );
  withJson(
    block
      .command('held <block> [value]')
      .description('the mail that is held for a block; with --release or --delete what becomes of it'),
  )
    .addOption(new Option('--release', 'it is to be sent on').conflicts('delete'))
    .option('--delete', 'it is to be deleted')
    .option('--limit <number>', 'list at most so many, up to 500', '50')
    .option('--note <text>', 'why')
    .action(async (block: string, value: string | undefined, options: HeldOption) =>
      heldMail(io, options, named(block, value)),
    );
  withSpan(
    withJson(
      block.command('approve <block> [value]').description('put a proposal in force, for as long as it says'),
    ),
  )
    .option('--note <text>', 'why')
    .action(
      async (
        block: string,
        value: string | undefined,
        options: JsonOption & SpanOption & { note?: string },
      ) => act(io, options, named(block, value), 'approve', { ...spanOf(options), ...noted(options.note) }),
    );
  withJson(block.command('dismiss <block> [value]').description('dismiss a proposal'))
    .option('--false-positive', FALSE_POSITIVE)
    .option('--note <text>', 'why')
    .action(async (block: string, value: string | undefined, options: JudgeOption) =>
      act(io, options, named(block, value), 'dismiss', judging(options)),
    );
}

/** How many of the held messages `block show` names. */
const HELD_SHOWN = '10';

async function showWithHeld(io: CliIo, options: JsonOption, what: Named): Promise<void> {
  const client = await connect(io, options);
  const block = await find(client, what);
  const held = await client.get<HeldJson>(`blocks/${block.id}/held`, { limit: HELD_SHOWN });
  const isNone = held.count === 0;
  if (options.json === true) return print(io, asJson(isNone ? block : { ...block, held }));
  const isSaid = isNone && heldState(block, held) === '';
  print(io, `${blockDetails(block, io.clock.now())}${isSaid ? '' : `\n\n${heldText(block, held)}`}`);
}

async function report(io: CliIo, options: JsonOption & { text?: true }, what: Named): Promise<void> {
  const client = await connect(io, options);
  const { id } = await find(client, what);
  const target = `blocks/${id}/report`;
  if (options.text === true) return print(io, (await client.text(target, { format: 'text' })).trimEnd());
  const found = await client.get<ReportJson>(target);
  print(io, options.json === true ? asJson(found) : reportText(found, io.clock.now()));
}

async function heldMail(io: CliIo, options: HeldOption, what: Named): Promise<void> {
  const client = await connect(io, options);
  const found = await find(client, what);
  const { id } = found;
  const action = options.release === true ? 'release' : options.delete === true ? 'delete' : undefined;
  if (action !== undefined) {
    const block = await client.send<BlockJson>('POST', `blocks/${id}/held`, {
      action,
      ...noted(options.note),
    });
    if (options.json === true) print(io, asJson(block));
    else note(io, `it is to be ${action}d: stopgap block show ${id} tells what came of it`);
    return;
  }
  const held = await client.get<HeldJson>(`blocks/${id}/held`, { limit: options.limit });
  if (options.json === true) print(io, asJson(held));
  else if (held.count === 0 && heldState(found, held) === '') note(io, 'no mail is held for this block');
  else print(io, heldText(found, held));
}

function listCommand(block: Command, io: CliIo): void {
  withJson(block.command('list').description('list blocks, newest first'))
    .addOption(
      wordsOption('--state <states>', 'with commas; active,proposed unless given', [...BLOCK_STATES, 'all']),
    )
    .addOption(wordsOption('--type <types>', 'with commas', SUBJECT_TYPES))
    .option('--q <text>', 'text within the subject or the description')
    .option('--rule <id>', 'those of one rule')
    .option('--since <time>', 'proposed or in force since then, in ISO 8601; UTC unless it says otherwise')
    .option('--until <time>', 'proposed or in force before then')
    .option('--at <time>', 'what was in force or proposed then, as it was then')
    .addOption(
      new Option('--sort <order>', 'newest begins last, until ends first, refused refused most').choices([
        ...['newest', 'oldest'],
        ...BLOCK_SORTS,
      ]),
    )
    .option('--limit <number>', 'at most so many, up to 500', '50')
    .option('--wide', 'say why in full, however wide the terminal is')
    .action(async (options: ListOption) => {
      const { state = 'active,proposed', type, q, rule, since, until, at, sort, limit } = options;
      const client = await connect(io, options);
      const states = state === 'all' ? (at === undefined ? undefined : BLOCK_STATES.join(',')) : state;
      const query = { state: states, type, q, rule, since, until, at, sort, limit };
      const { items, next } = await client.get<Listed<BlockJson>>('blocks', query);
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
        print(io, tableWithin(blockRows(items, parseInstant(at ?? '') ?? io.clock.now()), width));
      }
      if (next !== null && options.json !== true)
        note(io, 'there are more: raise --limit, or narrow the search');
    });
}

function addCommand(block: Command, io: CliIo): void {
  const add = withSpan(
    withJson(
      block
        .command('add')
        .addArgument(wordsArgument('<type>', SUBJECT_TYPES))
        .argument('<value>')
        .description(`block one of ${SUBJECT_TYPES.join(', ')}`),
    ),
  );
  add
    .addOption(new Option('--direction <direction>').choices([...DIRECTIONS]).default('outbound'))
    .addOption(
      new Option('--refusal <refusal>', 'how it refuses; soft, or as the block in force').choices([
        ...REFUSALS,
      ]),
    )
    .option('--description <text>', 'why')
    .action(async (type: string, value: string, options: AddOption) => {
      requireSpan(add, options);
      const { direction, refusal, description } = options;
      const client = await connect(io, options);
      const made = await client.send<BlockJson>('POST', 'blocks', {
        subject: { type, value },
        direction,
        refusal,
        description,
        ...spanOf(options),
      });
      show(io, options, made);
    });
}

interface EditOption extends JsonOption, SpanOption {
  readonly description?: string;
  readonly refusal?: string;
  readonly note?: string;
}

function editCommand(block: Command, io: CliIo): void {
  const edit = withSpan(
    withJson(
      block
        .command('edit <block> [value]')
        .description(
          'change a block in force: when it ends, sooner or later, its description, how it refuses',
        ),
    ),
  );
  edit
    .option('--description <text>', 'why it is there')
    .addOption(new Option('--refusal <refusal>', 'how it refuses').choices([...REFUSALS]))
    .option('--note <text>', 'why its end changes')
    .action(async (name: string, value: string | undefined, options: EditOption) => {
      const { description, refusal } = options;
      const span = spanOf(options);
      const isSpan = Object.values(span).some((given) => given !== undefined);
      if (!isSpan && description === undefined && refusal === undefined)
        edit.error('error: say what: --for, --until, --indefinite, --description or --refusal', {
          exitCode: 2,
        });
      const client = await connect(io, options);
      let changed = await find(client, named(name, value), 'active');
      if (isSpan)
        changed = await client.send<BlockJson>('PATCH', `blocks/${changed.id}`, {
          ...span,
          ...noted(options.note),
        });
      if (description !== undefined || refusal !== undefined) {
        const { subject, direction, until, indefinite } = changed;
        const same = indefinite ? { indefinite } : { until };
        const body = { subject, direction, ...same, description, refusal };
        changed = await client.send<BlockJson>('POST', 'blocks', body);
      }
      show(io, options, changed);
    });
}

function show(io: CliIo, options: JsonOption, block: BlockJson): void {
  print(io, options.json === true ? asJson(block) : blockDetails(block, io.clock.now()));
}

async function act(
  io: CliIo,
  options: JsonOption,
  what: Named,
  action: 'approve' | 'dismiss' | 'release',
  body: Readonly<Record<string, unknown>>,
): Promise<void> {
  const client = await connect(io, options);
  const { id: whole } = await find(client, what, action === 'release' ? 'active' : 'proposed');
  const block = await client.send<BlockJson>('POST', `blocks/${whole}/${action}`, body);
  if (options.json === true) print(io, asJson(block));
  else {
    const { type, value } = block.subject;
    const ends = block.state === 'active' ? `, ends ${ending(block, io.clock.now())}` : '';
    note(io, `${type} ${printable(value)} is ${block.state}${ends}`);
    if (action === 'release') await tellHeld(io, client, block, (body as ReleaseOption).held);
  }
}

/** What becomes of the mail that is still held after a release: nothing else would tell of it. */
async function tellHeld(
  io: CliIo,
  client: ApiClient,
  block: BlockJson,
  wish: string | undefined,
): Promise<void> {
  // It is released all the same.
  const held = await client.get<HeldJson>(`blocks/${block.id}/held`, { limit: '1' }).catch(() => undefined);
  if (held === undefined || held.count === 0) return;
  const [messages, be] = held.count === 1 ? ['1 message', 'is'] : [`${held.count} messages`, 'are'];
  const action = wish ?? (block.falsePositive ? 'release' : 'keep');
  note(
    io,
    action === 'keep'
      ? `${messages} ${held.count === 1 ? 'stays' : 'stay'} on hold: stopgap block held ${block.id} with --release or --delete decides on them`
      : `${messages} ${be} to be ${action}d: stopgap block show ${block.id} tells what came of it`,
  );
}

/** How a person names a block: by the beginning of its id, or by its subject, with or without the type. */
interface Named {
  readonly text: string;
  readonly type?: SubjectType;
}

/** @throws InvalidInput for two words of which the first is no type of subjects */
function named(block: string, value: string | undefined): Named {
  if (value === undefined) return { text: block };
  const { type } = parseSubject(block, value);
  return { text: value, type };
}

/**
 * The block that a person means. If a subject has several, one that the action applies to.
 *
 * @throws StopgapError if there is none; InvalidInput if there is more than one
 */
async function find(client: ApiClient, what: Named, state?: 'active' | 'proposed'): Promise<BlockJson> {
  const { text, type } = what;
  if (type === undefined && WHOLE_ID.test(text)) {
    // This request waits for a block that another server has just made; a list does not.
    return client.get<BlockJson>(`blocks/${text.toLowerCase()}`).catch(async (thrown: unknown) => {
      const isNone = thrown instanceof StopgapError && thrown.code === 'not-found';
      throw isNone ? await noneOf(client, what, state) : thrown;
    });
  }
  if (type === undefined && /^[0-9a-f-]{1,36}$/i.test(text)) {
    const { items } = await client.get<Listed<BlockJson>>('blocks', { id: text.toLowerCase(), limit: '5' });
    if (items.length > 0) return onlyOne(items, `several ids begin with ${text}`, 'give more of it');
  }
  const { items } = await client.get<Listed<BlockJson>>('blocks', { type, value: text, state, limit: '5' });
  if (items.length === 0) throw await noneOf(client, what, state);
  // If all have ended, the newest is meant.
  if (state === undefined && new Set(items.map(({ subject }) => subject.type)).size === 1) return items[0]!;
  return onlyOne(items, `several blocks are of ${text}`, 'give an id, or the type before it');
}

/** If the subject has a proposal and no block, or the other way round, the error names the right command. */
async function noneOf(
  client: ApiClient,
  { text, type }: Named,
  state: 'active' | 'proposed' | undefined,
): Promise<StopgapError> {
  const asked = type === undefined ? text : `of ${type} ${text}`;
  if (state === undefined)
    return new StopgapError('not-found', `there is no block ${asked}: stopgap block list shows them`);
  const other = state === 'active' ? 'proposed' : 'active';
  const [found] = (
    await client.get<Listed<BlockJson>>('blocks', { type, value: text, state: other, limit: '1' })
  ).items;
  const instead =
    found === undefined
      ? 'stopgap block list shows them, and stopgap check says what refuses a sender'
      : `one is ${other}: stopgap block ${other === 'active' ? 'release' : 'dismiss'} ${found.id}`;
  return new StopgapError('not-found', `there is no block ${asked} that is ${state}: ${instead}`);
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
