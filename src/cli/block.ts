import type { Command } from 'commander';
import { Option } from 'commander';
import { BLOCK_STATES, decidedAlready } from '../api/words.js';
import type { HeldWish, Refusal } from '../blocks/events.js';
import { HELD_WISHES, REFUSALS } from '../blocks/events.js';
import { InvalidInput, StopgapError } from '../kernel/errors.js';
import { printable } from '../kernel/printable.js';
import type { Direction, SubjectType } from '../sending/subjects.js';
import { BLOCK_SORTS } from '../../projections/blocks/block-segments.js';
import { parseInstant } from '../kernel/time.js';
import { askedSubject, DIRECTIONS, SUBJECT_TYPES } from '../sending/subjects.js';
import { runsOnHeld } from '../kernel/given-up.js';
import type { ApiClient, JsonOption, QueryOf } from './client.js';
import { connect, PART_OF_ID, withJson } from './client.js';
import type { Block, HeldMail } from './client-format.js';
import { blockDetails, blockRows, ending, heldState, heldText, OPERATOR_DECIDES } from './client-format.js';
import { orNote, refusedBy } from './refused.js';
import { reportText } from './report-format.js';
import type { CliIo } from './io.js';
import type { SpanOption } from './options.js';
import { requireSpan, spanOf, withSpan, wordsArgument, wordsOption } from './options.js';
import { asJson, note, noteMore, print, tableWithin, terminalWidth } from './io.js';

interface ListOption extends JsonOption {
  readonly state?: string;
  readonly type?: string;
  readonly q?: string;
  readonly rule?: string;
  readonly since?: string;
  readonly until?: string;
  readonly at?: string;
  readonly sort?: QueryOf<'/api/v1/blocks'>['sort'];
  readonly limit: string;
  readonly wide?: true;
}

interface AddOption extends JsonOption, SpanOption {
  readonly direction: Direction;
  readonly refusal?: Refusal;
  readonly description?: string;
}

interface JudgeOption extends JsonOption {
  readonly falsePositive?: boolean;
  readonly note?: string;
}

interface ReleaseOption extends JudgeOption {
  readonly held?: HeldWish;
}

interface HeldOption extends JsonOption {
  readonly release?: true;
  readonly delete?: true;
  readonly keep?: true;
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
        'what becomes of the mail that is held for it: release for a false positive, else what was decided before',
      ).choices(HELD_WISHES),
    )
    .option('--note <text>', 'why')
    .action(async (block: string, value: string | undefined, options: ReleaseOption) =>
      act(io, options, named(block, value), 'release', (client, params) => {
        const body = { ...judging(options), held: options.held };
        return client.ask('post', '/api/v1/blocks/{id}/release', { params, body });
      }),
    );
  withJson(
    block
      .command('held <block> [value]')
      .description('the mail that is held for a block; with an option what becomes of it'),
  )
    .addOption(new Option('--release', 'it is to be sent on').conflicts(['delete', 'keep']))
    .addOption(new Option('--delete', 'it is to be deleted').conflicts('keep'))
    .option('--keep', 'what was decided and is not done is withdrawn')
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
      ) =>
        act(io, options, named(block, value), 'approve', (client, params) => {
          const body = { ...spanOf(options), ...noted(options.note) };
          return client.ask('post', '/api/v1/blocks/{id}/approve', { params, body });
        }),
    );
  withJson(block.command('dismiss <block> [value]').description('dismiss a proposal'))
    .option('--false-positive', FALSE_POSITIVE)
    .option('--note <text>', 'why')
    .action(async (block: string, value: string | undefined, options: JudgeOption) =>
      act(io, options, named(block, value), 'dismiss', (client, params) =>
        client.ask('post', '/api/v1/blocks/{id}/dismiss', { params, body: judging(options) }),
      ),
    );
}

const HELD = '/api/v1/blocks/{id}/held';
const REPORT = '/api/v1/blocks/{id}/report';
/** How many of the held messages `block show` names. */
const HELD_SHOWN = '10';

async function showWithHeld(io: CliIo, options: JsonOption, what: Named): Promise<void> {
  const client = await connect(io, options);
  const block = await find(client, what);
  const asked = { params: { path: { id: block.id }, query: { limit: HELD_SHOWN } } };
  const held = await client.get(HELD, asked).catch((error: unknown) => {
    // The block is in memory; what is held for it is in the store, which may be away.
    if (!(error instanceof StopgapError) || error.code !== 'unavailable') throw error;
    note(io, `whether mail is held for it is not known now: ${error.message}`);
    return undefined;
  });
  if (options.json === true) return print(io, asJson(held?.count ? { ...block, held } : block));
  const hasHeld = held !== undefined && (held.count > 0 || heldState(block, held) !== '');
  print(io, `${blockDetails(block, io.clock.now())}${hasHeld ? `\n\n${heldText(block, held)}` : ''}`);
}

async function report(io: CliIo, options: JsonOption & { text?: true }, what: Named): Promise<void> {
  const client = await connect(io, options);
  const { id } = await find(client, what);
  const path = { id };
  if (options.text === true) {
    const letter = await client.text(REPORT, { params: { path, query: { format: 'text' } } });
    return print(io, letter.trimEnd());
  }
  const found = await client.get(REPORT, { params: { path } });
  print(io, options.json === true ? asJson(found) : reportText(found, io.clock.now()));
}

async function heldMail(io: CliIo, options: HeldOption, what: Named): Promise<void> {
  const client = await connect(io, options);
  const found = await find(client, what);
  const { id } = found;
  const action = HELD_WISHES.find((wish) => options[wish] === true);
  if (action !== undefined) {
    const listed = options.json === true ? undefined : await heldNow(io, client, id);
    const block = await client.ask('post', HELD, {
      params: { path: { id } },
      body: { action, ...noted(options.note) },
    });
    if (options.json === true) return print(io, asJson(block));
    const before = listed?.decided;
    if (before && !before.failed && before.action !== action)
      note(
        io,
        `that replaces the decision to ${before.action} ${before.count} of it, which no hook had done`,
      );
    if (action === 'keep') {
      if ((await tellHeld(io, client, block)) === 0) note(io, nothingKept(block));
      return;
    }
    // A call that was to hold what waits in the queue may have held some that is listed nowhere.
    return note(
      io,
      listed?.count === 0
        ? `no mail is listed as held for this block: stopgap block show ${id} tells if anything comes of that decision`
        : `the hook (hooks.run) is to ${action} it, and without one nothing does: stopgap block show ${id} tells what came of it`,
    );
  }
  const held = await client.get(HELD, { params: { path: { id }, query: { limit: options.limit } } });
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
    .option(
      '--since <time>',
      'proposed, or came into force, from then on, in ISO 8601; UTC unless it says otherwise',
    )
    .option('--until <time>', 'proposed, or came into force, before then')
    .option('--at <time>', 'what was in force or proposed then, as it was then')
    .addOption(
      new Option('--sort <order>', 'newest begins last, until ends first, refused refused most').choices([
        'newest',
        'oldest',
        ...BLOCK_SORTS,
      ]),
    )
    .option('--limit <number>', 'at most so many, up to 500', '50')
    .option('--wide', 'say why in full, however wide the terminal is')
    .action(async (options: ListOption) => {
      const { state = 'active,proposed', type, q, rule, since, until, at, sort, limit } = options;
      const client = await connect(io, options);
      const states = state === 'all' ? (at === undefined ? undefined : BLOCK_STATES.join(',')) : state;
      const { items, next } = await client.get('/api/v1/blocks', {
        params: { query: { state: states, type, q, rule, since, until, at, sort, limit } },
      });
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
      if (next !== null) noteMore(io, limit);
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
    .action(async (type: SubjectType, value: string, options: AddOption) => {
      requireSpan(add, options);
      const { direction, refusal, description } = options;
      const client = await connect(io, options);
      const made = await client.ask('post', '/api/v1/blocks', {
        body: { subject: { type, value }, direction, refusal, description, ...spanOf(options) },
      });
      show(io, options, made);
    });
}

interface EditOption extends JsonOption, SpanOption {
  readonly description?: string;
  readonly refusal?: Refusal;
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
    .option('--note <text>', 'why it changes')
    .action(async (name: string, value: string | undefined, options: EditOption) => {
      const { description, refusal } = options;
      const span = spanOf(options);
      const isSpan = Object.values(span).some((given) => given !== undefined);
      if (!isSpan && description === undefined && refusal === undefined)
        edit.error('error: say what: --for, --until, --indefinite, --description or --refusal', {
          exitCode: 2,
        });
      const client = await connect(io, options);
      const { id } = await find(client, named(name, value), 'active');
      const changed = await client.ask('patch', '/api/v1/blocks/{id}', {
        params: { path: { id } },
        body: { ...span, description, refusal, ...noted(options.note) },
      });
      show(io, options, changed);
    });
}

function show(io: CliIo, options: JsonOption, block: Block): void {
  print(io, options.json === true ? asJson(block) : blockDetails(block, io.clock.now()));
}

/** The state that an action leads to. */
const LEADS_TO = { approve: 'active', dismiss: 'dismissed', release: 'released' } as const;

async function act(
  io: CliIo,
  options: ReleaseOption & SpanOption,
  what: Named,
  action: 'approve' | 'dismiss' | 'release',
  ask: (client: ApiClient, params: { readonly path: { readonly id: string } }) => Promise<Block>,
): Promise<void> {
  const client = await connect(io, options);
  const found = await find(client, what, action === 'release' ? 'active' : 'proposed');
  const { id } = found;
  const asksMore =
    options.falsePositive === true ||
    options.held !== undefined ||
    Object.values(spanOf(options)).some((given) => given !== undefined);
  const tellAlready = async (decided: Block): Promise<void> => {
    if (options.json === true) return print(io, asJson(decided));
    note(io, `${decided.subject.type} ${printable(decided.subject.value)} is ${decidedAlready(decided)!}`);
    if (action === 'release') await tellRefused(io, client, decided);
  };
  if (found.state === LEADS_TO[action] && !asksMore) return tellAlready(found);
  let block: Block;
  try {
    block = await ask(client, { path: { id } });
  } catch (error) {
    if (asksMore || !(error instanceof StopgapError) || error.code !== 'conflict') throw error;
    // Somebody else may have decided the same at the same time.
    const decided = await client.get('/api/v1/blocks/{id}', { params: { path: { id } } });
    if (decided.state !== LEADS_TO[action]) throw error;
    return tellAlready(decided);
  }
  if (options.json === true) print(io, asJson(block));
  else {
    const { type, value } = block.subject;
    const ends = block.state === 'active' ? `, ends ${ending(block, io.clock.now())}` : '';
    note(io, `${type} ${printable(value)} is ${block.state}${ends}`);
    if (action === 'release') {
      await tellRefused(io, client, block);
      await tellHeld(io, client, block);
    }
  }
}

/** Another block may refuse the sender: of its domain, or of where it came from last. */
async function tellRefused(io: CliIo, client: ApiClient, { subject, direction }: Block): Promise<void> {
  const other = await orNote(io, 'whether another block refuses it', refusedBy(client, subject, direction));
  if (other !== undefined) note(io, `still refused: ${other}`);
}

const heldNow = (io: CliIo, client: ApiClient, id: string): Promise<HeldMail | undefined> =>
  orNote(
    io,
    'whether mail is held for it',
    client.get(HELD, { params: { path: { id }, query: { limit: '1' } } }),
  );

/**
 * What becomes of the mail that is still held after a release: nothing else would tell of it.
 *
 * @returns how many messages are; undefined if that is not known
 */
async function tellHeld(io: CliIo, client: ApiClient, { id }: Block): Promise<number | undefined> {
  const held = await heldNow(io, client, id);
  if (held === undefined) return undefined;
  const { count, decided, others } = held;
  const messages = (number: number): string => (number === 1 ? '1 message' : `${number} messages`);
  const left = count - (decided?.count ?? 0);
  if (decided !== null)
    note(
      io,
      `${messages(decided.count)} ${decided.count === 1 ? 'is' : 'are'} to be ${decided.action}d by the hook, and without one (hooks.run) nothing does: stopgap block show ${id} tells what came of it`,
    );
  const decides = others
    ? OPERATOR_DECIDES
    : `stopgap block held ${id} with --release or --delete decides on ${decided === null ? 'them' : `all ${count}`}`;
  if (left > 0) note(io, `${messages(left)} ${left === 1 ? 'stays' : 'stay'} on hold: ${decides}`);
  return count;
}

/** Who wants to keep what has gone has to know that it has gone. */
function nothingKept({ history }: Block): string {
  const done = runsOnHeld(history).findLast(({ outcome }) => outcome === 'done');
  const { action, acted = 0 } = done ?? {};
  const gone = acted === 0 ? '' : `: the hook ${action}d ${acted} before, which cannot be taken back`;
  return `nothing is kept, since no mail is listed as held for this block${gone}`;
}

/** How a person names a block: by the beginning of its id, or by its subject, with or without the type. */
interface Named {
  readonly text: string;
  readonly type?: SubjectType;
}

/** @throws InvalidInput for two words of which the first is no type of subjects */
function named(block: string, value: string | undefined): Named {
  if (value === undefined) return { text: block };
  const { type } = askedSubject(block, value);
  return { text: value, type };
}

/**
 * The block that a person means. If a subject has several, one that the action applies to.
 *
 * @throws StopgapError if there is none; InvalidInput if there is more than one
 */
async function find(client: ApiClient, what: Named, state?: 'active' | 'proposed'): Promise<Block> {
  const { text, type } = what;
  if (type === undefined && WHOLE_ID.test(text)) {
    // This request waits for a block that another server has just made; a list does not.
    return client
      .get('/api/v1/blocks/{id}', { params: { path: { id: text.toLowerCase() } } })
      .catch(async (thrown: unknown) => {
        const isNone = thrown instanceof StopgapError && thrown.code === 'not-found';
        throw isNone ? await noneOf(client, what, state) : thrown;
      });
  }
  if (type === undefined && PART_OF_ID.test(text)) {
    const { items } = await client.get('/api/v1/blocks', {
      params: { query: { id: text.toLowerCase(), limit: '5' } },
    });
    if (items.length > 0) return onlyOne(items, `several ids begin with ${text}`, 'give more of it');
  }
  const { items } = await client.get('/api/v1/blocks', {
    params: { query: { type, value: text, state, limit: '5' } },
  });
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
  const { items } = await client.get('/api/v1/blocks', {
    params: { query: { type, value: text, state: other, limit: '1' } },
  });
  const [found] = items;
  const instead =
    found === undefined
      ? 'stopgap block list shows them, and stopgap check says what refuses a sender'
      : other === 'active'
        ? `one is active: stopgap block release ${found.id}`
        : `one is proposed: stopgap block approve ${found.id}, or dismiss`;
  return new StopgapError('not-found', `there is no block ${asked} that is ${state}: ${instead}`);
}

function onlyOne(items: readonly Block[], why: string, remedy: string): Block {
  const [only, ...others] = items;
  if (others.length === 0) return only!;
  const ids = items.map(({ id, subject }) => `${id} of ${subject.type} ${subject.value}`).join(', ');
  throw new InvalidInput('id', `${why} (${printable(ids)}): ${remedy}`);
}

function judging({ falsePositive = false, note: text }: JudgeOption) {
  return { falsePositive, ...noted(text) };
}

function noted(text: string | undefined): { readonly note?: string } {
  return text === undefined ? {} : { note: text };
}
